"""Rows that are copies of each other, as in a bootstrap sample: they tell no more than one of them, however heavy.

Of data of few different numbers rows are equal as well, each of which is a draw of its own: many that differ have the
same y there.
"""

import numpy as np

from sklearn_robust._fit.drawn import too_wide_for_subsets
from sklearn_robust._rows.blocks import Rows

# The share of different rows whose y is their own, at least, where equal ones are copies.
_OWN_Y = 0.9
# Of so many rows a coefficient copies are not looked for: they would have to be as many.
_MANY_ROWS = 40


def are_many(rows: Rows) -> bool:
    """Whether rows are too many to look for copies, or too wide."""
    return max(len(rows), rows.total_weight) > _MANY_ROWS * rows.frame.n_coefs or too_wide_for_subsets(rows)


def different(rows: Rows) -> np.ndarray:
    """The weights (m,) of different rows, each that of all its copies; of all rows where equal ones are no copies."""
    weights = rows.all_weights
    index = np.flatnonzero(weights > 0.0)
    y = rows.targets(index)
    order = np.argsort(y, kind="stable")
    index, y = index[order], y[order]
    is_next = np.diff(y) == 0.0
    shares = np.append(is_next, False) | np.append(False, is_next)  # its y with another: X is looked at there alone
    alone, index, y = weights[index[~shares]], index[shares], y[shares]
    if not len(index):
        return alone
    columns = rows.dense(index)[0]
    order = np.lexsort((columns.sum(axis=0), y))
    apart = (np.diff(y[order]) != 0.0) | (np.diff(columns[:, order]) != 0.0).any(axis=0)
    if np.count_nonzero(~is_next) < _OWN_Y * (len(alone) + np.count_nonzero(apart)):
        return weights[weights > 0.0]
    return np.append(alone, np.add.reduceat(weights[index[order]], np.flatnonzero(np.append(True, apart))))


def has_more_different(rows: Rows, most: float) -> bool:
    """Whether more rows than that are different, and as much weight."""
    return min(len(rows), rows.total_weight) > most and (are_many(rows) or len(different(rows)) > most)


def share_of_different(rows: Rows) -> float:
    """How many different rows there are for each of all, by weight: of what all gain they gain that share."""
    return 1.0 if are_many(rows) else min(len(different(rows)) / rows.total_weight, 1.0)

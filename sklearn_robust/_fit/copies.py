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
    index = np.flatnonzero(rows.all_weights > 0.0)
    columns, y, weights = rows.dense(index)
    if len(y) < 2:
        return weights
    order = np.lexsort((columns.sum(axis=0), y))
    apart = (np.diff(y[order]) != 0.0) | (np.diff(columns[:, order]) != 0.0).any(axis=0)
    if np.count_nonzero(np.diff(y[order])) < _OWN_Y * np.count_nonzero(apart):
        return weights
    return np.add.reduceat(weights[order], np.flatnonzero(np.concatenate(([True], apart))))


def has_more_different(rows: Rows, most: float) -> bool:
    """Whether more rows than that are different, and as much weight."""
    return min(len(rows), rows.total_weight) > most and (are_many(rows) or len(different(rows)) > most)


def share_of_different(rows: Rows) -> float:
    """How many different rows there are for each of all, by weight: of what all gain they gain that share."""
    return 1.0 if are_many(rows) else min(len(different(rows)) / rows.total_weight, 1.0)

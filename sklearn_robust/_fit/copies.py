"""Rows that are copies of each other, as in a bootstrap sample: they tell no more than one of them, however heavy.

Of data of few different numbers rows are equal as well, each of which is a draw of its own: many that differ have the
same y there.
"""

import math

import numpy as np

from sklearn_robust._fit.drawn import too_wide_for_subsets
from sklearn_robust._rows.blocks import Rows

# How many times as many rows are looked at for copies before all, and of how many at most.
_LOOKED_AT_FIRST, _MOST_COUNTED = 2, 20_000
# The share of different rows whose y is their own, at least, where equal ones are copies.
_OWN_Y = 0.9


def different(rows: Rows, n_looked_at: int) -> np.ndarray:
    """The weights (m,) of different rows: each that of all its copies among so many rows, evenly spread.

    Ones for all rows where equal rows are no copies.
    """
    columns, y, weights = rows.dense(np.linspace(0, len(rows) - 1, n_looked_at).astype(np.intp))
    columns, y, weights = columns[:, weights > 0.0], y[weights > 0.0], weights[weights > 0.0]
    if len(y) < 2:
        return weights
    order = np.lexsort((columns.sum(axis=0), y))
    apart = (np.diff(y[order]) != 0.0) | (np.diff(columns[:, order]) != 0.0).any(axis=0)
    if np.count_nonzero(np.diff(y[order])) < _OWN_Y * np.count_nonzero(apart):
        return np.ones(len(y))
    return np.add.reduceat(weights[order], np.flatnonzero(np.concatenate(([True], apart))))


def has_more_different(rows: Rows, most: float) -> bool:
    """Whether more rows than that are different, and as much weight; some of them tell where hardly any are copies."""
    n = len(rows)
    if min(n, rows.total_weight) <= most:
        return False
    if n > _MOST_COUNTED or too_wide_for_subsets(rows):
        return True
    sizes = min(_LOOKED_AT_FIRST * math.ceil(most) + 1, n), n
    return any(len(different(rows, size)) > most for size in sizes)

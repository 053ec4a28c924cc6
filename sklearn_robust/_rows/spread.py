"""Some of the rows, spread over all of them: sorted rows, or a trend along them, are seen as a whole."""

import numpy as np


def evenly_spread(n_rows: int, most: int) -> np.ndarray:
    """At most so many row numbers, in increasing order, from the first to the last."""
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.intp)


def spread_index(n_rows: int, size: int, rng) -> np.ndarray:
    """Row numbers in increasing order, one drawn from each of ``size`` equal stretches of the rows."""
    return ((np.arange(size) + rng.uniform(size=size)) * (n_rows / size)).astype(np.intp).clip(max=n_rows - 1)

"""Rows that stand out, and columns by few rows of theirs, found where they lie, so that little comes from a GPU.

Arrays are asked in words that those of NumPy and of a GPU have in common.
"""

import numpy as np

_LOOKED_AT = 2**13  # numbers at a time
_FAR_OUT = 1e4  # how many times as large as most a row is that hides these in a gram


def below(values, weights, limit: float):
    """The numbers of the rows of some weight whose value (n,) is below a limit, and the weighted sum of all values."""
    is_below = values < limit
    if weights.size:
        is_below &= weights > 0.0
    return is_below.nonzero()[0], float(weights @ values if weights.size else values.sum())


def far_out(sizes):
    """Sizes of rows (n,), divided by that from which on a row hides the others in a gram; None where none does."""
    sizes /= _FAR_OUT * float(np.median(sizes)) or np.inf
    return sizes if float(sizes.max()) > 1.0 else None


def spreads(X):
    """Of columns of X (n, k), the sums over the rows of the squared deviations from the means, and of their squares."""
    squares = X - X.mean(axis=0)
    squares *= squares
    return squares.sum(axis=0), np.einsum("ij,ij->j", squares, squares)


def beyond(values, reach: float, nearest=0.0, falling=False, at_once=_LOOKED_AT, here=np.asarray):
    """The numbers of the values (n,) beyond reach, and the last of the others before it, from ``nearest`` on.

    Above it and the largest, or where they are falling below it and the smallest. ``here`` brings numbers to the CPU.
    """
    numbers, last = [], np.minimum if falling else np.maximum
    for first in range(0, len(values), at_once):
        part = values[first : first + at_once]
        far = part < reach if falling else part > reach
        (found,) = far.nonzero()
        numbers.append(first + here(found))
        others = part[~far] if found.size else part
        if others.size:
            nearest = float(last(nearest, float(others.min() if falling else others.max())))
    return np.concatenate(numbers), nearest

"""Small data sets with outliers whose truth is known: one made, one real."""

import math
import numbers
from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch, check_random_state

__all__ = ["load_phone_calls", "make_outlier_line"]


def make_outlier_line(
    n_samples: int = 100,
    *,
    slope: float = 2.0,
    intercept: float = 1.0,
    noise: float = 1.0,
    contamination: float = 0.1,
    return_outliers: bool = False,
    random_state: int | np.random.RandomState | None = 0,
) -> tuple[np.ndarray, ...]:
    """Make a line with Gaussian noise, some of whose rows lie on the mirrored line.

    The clean rows are ``y = slope * x + intercept + noise * N(0, 1)``, with x uniform in [0, 10). The outliers are rows
    drawn at random whose y has its sign changed, so they lie about ``-(slope * x + intercept)``. With one
    `random_state` the other rows are the same for every `contamination`.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    slope : float, default=2.0
        Slope of the line.
    intercept : float, default=1.0
        Value of the line at x = 0.
    noise : float, default=1.0
        Standard deviation of the Gaussian noise, in units of y.
    contamination : float, default=0.1
        Share of outliers, in [0, 0.5): ``round(contamination * n_samples)`` rows are mirrored.
    return_outliers : bool, default=False
        Whether to return the mask of the outliers as well.
    random_state : int, RandomState instance or None, default=0
        Source of the random numbers. The same int gives the same data.

    Returns
    -------
    X : ndarray of shape (n_samples, 1)
        The position of each row.
    y : ndarray of shape (n_samples,)
        The response.
    is_outlier : ndarray of bool of shape (n_samples,)
        True for the mirrored rows. Only with ``return_outliers=True``.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Examples
    --------
    >>> from sklearn_robust.datasets import make_outlier_line
    >>> X, y, is_outlier = make_outlier_line(n_samples=50, contamination=0.2, return_outliers=True)
    >>> X.shape, y.shape, int(is_outlier.sum())
    ((50, 1), (50,), 10)
    """
    if not isinstance(n_samples, numbers.Integral) or n_samples < 1:
        raise ValueError(
            f"n_samples must be an integer of at least 1. Got n_samples={n_samples!r}; pass the number of rows to make."
        )
    for name, value in (("slope", slope), ("intercept", intercept), ("noise", noise)):
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number. Got {name}={value!r}; pass a number in units of y.")
    if noise < 0:
        raise ValueError(
            f"noise must not be negative. Got noise={noise!r}; pass a standard deviation, or 0 for an exact line."
        )
    if not isinstance(contamination, numbers.Real) or not 0 <= contamination < 0.5:
        raise ValueError(
            f"contamination must lie in [0, 0.5). Got contamination={contamination!r}; "
            "pass the share of rows to mirror, which must leave the clean rows in the majority."
        )
    rng = check_random_state(random_state)
    x = rng.uniform(0.0, 10.0, size=n_samples)
    y = slope * x + intercept + noise * rng.standard_normal(n_samples)
    is_outlier = np.zeros(n_samples, dtype=bool)
    is_outlier[rng.permutation(n_samples)[: round(contamination * n_samples)]] = True
    y[is_outlier] *= -1.0
    X = x.reshape(-1, 1)
    return (X, y, is_outlier) if return_outliers else (X, y)


_PHONE_CALLS = (
    (1950, 4.4), (1951, 4.7), (1952, 4.7), (1953, 5.9), (1954, 6.6), (1955, 7.3),
    (1956, 8.1), (1957, 8.8), (1958, 10.6), (1959, 12.0), (1960, 13.5), (1961, 14.9),
    (1962, 16.1), (1963, 21.2), (1964, 119.0), (1965, 124.0), (1966, 142.0), (1967, 159.0),
    (1968, 182.0), (1969, 212.0), (1970, 43.0), (1971, 24.0), (1972, 27.0), (1973, 29.0),
)  # fmt: skip

_PHONE_CALLS_DESCR = """\
Belgian international phone calls
---------------------------------

The number of international phone calls from Belgium in each year from 1950 to 1973, from the Belgian Statistical
Survey of the Ministry of Economy.

:Number of rows: 24
:Feature: year, 1950 to 1973
:Target: calls, in millions

In the years 1964 to 1969 another quantity was recorded, the total length of the calls in minutes: these six rows are
the outliers (`is_outlier`). The change did not fall on New Year's Day, so 1963 and 1970 are partly affected as well.

The source prints the year with two digits and the calls in tens of millions; the values here are those of the data set
`phones` of the R package MASS, with 1900 added to the year, which moves the intercept and leaves the slope alone.

Source: P. J. Rousseeuw and A. M. Leroy, Robust Regression and Outlier Detection, Wiley, 1987, page 26, table 2.
"""


@overload
def load_phone_calls(*, return_X_y: Literal[False] = False, as_frame: bool = False) -> Bunch: ...
@overload
def load_phone_calls(*, return_X_y: Literal[True], as_frame: bool = False) -> tuple[Any, Any]: ...
def load_phone_calls(*, return_X_y: bool = False, as_frame: bool = False) -> Bunch | tuple[Any, Any]:
    """Load the Belgian international phone calls of 1950 to 1973.

    24 rows: the year, and the calls in millions. From 1964 to 1969 minutes were recorded instead of calls, so that a
    quarter of the rows are outliers, all in one block. Least squares follows them; a robust line does not.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether data and target are a pandas DataFrame and Series.

    Returns
    -------
    data : Bunch
        Dictionary-like object with the attributes

        data : ndarray or DataFrame of shape (24, 1)
            The year, 1950 to 1973.
        target : ndarray or Series of shape (24,)
            The calls, in millions.
        is_outlier : ndarray of bool of shape (24,)
            True for the years 1964 to 1969.
        feature_names, target_names : list of str
            ``["year"]`` and ``["calls"]``.
        frame : DataFrame of shape (24, 2) or None
            Both columns. Only with ``as_frame=True``.
        DESCR : str
            Description and source.

    (data, target) : tuple
        Only with ``return_X_y=True``.

    References
    ----------
    P. J. Rousseeuw and A. M. Leroy, Robust Regression and Outlier Detection, Wiley, 1987, page 26, table 2.

    Examples
    --------
    >>> from sklearn_robust.datasets import load_phone_calls
    >>> calls = load_phone_calls()
    >>> calls.data[calls.is_outlier].ravel().tolist()
    [1964.0, 1965.0, 1966.0, 1967.0, 1968.0, 1969.0]
    """
    table = np.array(_PHONE_CALLS)
    data, target = table[:, :1].copy(), table[:, 1].copy()
    is_outlier = (table[:, 0] >= 1964) & (table[:, 0] <= 1969)
    frame = None
    if as_frame:
        import pandas as pd

        frame = pd.DataFrame(table, columns=["year", "calls"])
        data, target = frame[["year"]], frame["calls"]
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        is_outlier=is_outlier,
        frame=frame,
        feature_names=["year"],
        target_names=["calls"],
        DESCR=_PHONE_CALLS_DESCR,
    )

"""Small data sets with outliers whose truth is known: one made, two real."""

from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sklearn_robust import _checks

__all__ = ["load_phone_calls", "load_star_cluster", "make_outlier_line"]


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
    if not _checks.is_count(n_samples, 1):
        _checks.refuse("n_samples", n_samples, "an integer of at least 1", "pass the number of rows to make")
    for name, value in (("slope", slope), ("intercept", intercept), ("noise", noise)):
        if not (_checks.is_real(value) and abs(value) < np.inf):
            _checks.refuse(name, value, "a finite number", "pass a number in units of y")
    if noise < 0:
        raise ValueError(
            f"noise must not be negative. Got noise={noise!r}; pass a standard deviation, or 0 for an exact line."
        )
    if not (_checks.is_real(contamination) and 0 <= contamination < 0.5):
        raise ValueError(
            f"contamination must lie in [0, 0.5). Got contamination={_checks.shown(contamination)}; "
            "pass the share of rows to mirror, which must leave the clean rows in the majority."
        )
    _checks.check_flag("return_outliers", return_outliers)
    _checks.check_random_state(random_state)
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
    is_outlier = (table[:, 0] >= 1964) & (table[:, 0] <= 1969)
    return _bunch(table, ["year", "calls"], is_outlier, _PHONE_CALLS_DESCR, return_X_y, as_frame)


_STAR_CLUSTER = (
    (4.37, 5.23), (4.56, 5.74), (4.26, 4.93), (4.56, 5.74), (4.30, 5.19), (4.46, 5.46), (3.84, 4.65), (4.57, 5.27),
    (4.26, 5.57), (4.37, 5.12), (3.49, 5.73), (4.43, 5.45), (4.48, 5.42), (4.01, 4.05), (4.29, 4.26), (4.42, 4.58),
    (4.23, 3.94), (4.42, 4.18), (4.23, 4.18), (3.49, 5.89), (4.29, 4.38), (4.29, 4.22), (4.42, 4.42), (4.49, 4.85),
    (4.38, 5.02), (4.42, 4.66), (4.29, 4.66), (4.38, 4.90), (4.22, 4.39), (3.48, 6.05), (4.38, 4.42), (4.56, 5.10),
    (4.45, 5.22), (3.49, 6.29), (4.23, 4.34), (4.62, 5.62), (4.53, 5.10), (4.45, 5.22), (4.53, 5.18), (4.43, 5.57),
    (4.38, 4.62), (4.45, 5.06), (4.50, 5.34), (4.45, 5.34), (4.55, 5.54), (4.45, 4.98), (4.42, 4.50),
)  # fmt: skip

_STAR_CLUSTER_DESCR = """\
Star cluster CYG OB1
--------------------

The Hertzsprung-Russell diagram of the stars in the direction of Cygnus: surface temperature and light intensity of each
star, both as decimal logarithms.

:Number of rows: 47
:Feature: log_temperature, 3.48 to 4.62
:Target: log_light, 3.94 to 6.29

43 of the stars lie on the main sequence, where hotter stars are brighter. The other four are red giants, cool and very
bright (`is_outlier`). Their temperature alone sets them apart, so they are bad leverage points: they turn the line of
least squares round, and that of Huber with it.

The values are those of the data set `starsCYG` of the R package robustbase.

Source: P. J. Rousseeuw and A. M. Leroy, Robust Regression and Outlier Detection, Wiley, 1987, page 27, table 3.
"""


@overload
def load_star_cluster(*, return_X_y: Literal[False] = False, as_frame: bool = False) -> Bunch: ...
@overload
def load_star_cluster(*, return_X_y: Literal[True], as_frame: bool = False) -> tuple[Any, Any]: ...
def load_star_cluster(*, return_X_y: bool = False, as_frame: bool = False) -> Bunch | tuple[Any, Any]:
    """Load the stars of the cluster CYG OB1.

    47 rows: the logarithms of temperature and of light intensity. 43 stars lie on the main sequence, where light grows
    with temperature; four are red giants, cool and bright. Least squares follows the four: its slope is negative.

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

        data : ndarray or DataFrame of shape (47, 1)
            The decimal logarithm of the surface temperature.
        target : ndarray or Series of shape (47,)
            The decimal logarithm of the light intensity.
        is_outlier : ndarray of bool of shape (47,)
            True for the four red giants.
        feature_names, target_names : list of str
            ``["log_temperature"]`` and ``["log_light"]``.
        frame : DataFrame of shape (47, 2) or None
            Both columns. Only with ``as_frame=True``.
        DESCR : str
            Description and source.

    (data, target) : tuple
        Only with ``return_X_y=True``.

    References
    ----------
    P. J. Rousseeuw and A. M. Leroy, Robust Regression and Outlier Detection, Wiley, 1987, page 27, table 3.

    Examples
    --------
    >>> from sklearn_robust.datasets import load_star_cluster
    >>> stars = load_star_cluster()
    >>> stars.data[stars.is_outlier].ravel().tolist()
    [3.49, 3.49, 3.48, 3.49]
    """
    table = np.array(_STAR_CLUSTER)
    is_outlier = table[:, 0] < 3.5
    return _bunch(table, ["log_temperature", "log_light"], is_outlier, _STAR_CLUSTER_DESCR, return_X_y, as_frame)


def _bunch(table, names, is_outlier, description, return_X_y, as_frame):
    """Return what a loader promises of a table (n, 2): one feature and the target."""
    _checks.check_flag("return_X_y", return_X_y)
    _checks.check_flag("as_frame", as_frame)
    data, target = table[:, :1].copy(), table[:, 1].copy()
    frame = None
    if as_frame:
        import pandas as pd

        frame = pd.DataFrame(table, columns=names)
        data, target = frame[names[:1]], frame[names[1]]
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        is_outlier=is_outlier,
        frame=frame,
        feature_names=names[:1],
        target_names=names[1:],
        DESCR=description,
    )

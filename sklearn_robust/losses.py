"""The general and adaptive robust loss and its derivatives, as functions of arrays.

With u = x / c, ``b = |alpha - 2|``, r = u² / b (J. T. Barron, A General and Adaptive Robust Loss Function, CVPR 2019)::

    rho(x, alpha, c) = (b / alpha) ((1 + r)^(alpha/2) - 1)     0: log(1 + u²/2)    2: u²/2    ±inf: ±(exp(±u²/2) - 1)
    Z(alpha)         = ∫ exp(-rho(x, alpha, 1)) dx             alpha >= 0

Every function broadcasts, computes in float64 and returns the floating type of its first argument.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_robust._loss import log_partition as _partition
from sklearn_robust._loss import rho as _scalar
from sklearn_robust._loss.jit import ufunc

__all__ = ["log_partition", "psi", "psi_prime", "rho", "rho_alpha", "rho_c", "scipy_loss", "weight"]


@ufunc
def _rho(x, alpha, c):
    return _scalar.rho(x, alpha, c)


@ufunc
def _psi(x, alpha, c):
    return _scalar.psi(x, alpha, c)


@ufunc
def _psi_prime(x, alpha, c):
    return _scalar.psi_prime(x, alpha, c)


@ufunc
def _weight(x, alpha, c):
    return _scalar.weight(x, alpha, c)


@ufunc
def _rho_alpha(x, alpha, c):
    return _scalar.rho_alpha(x, alpha, c)


@ufunc
def _rho_c(x, alpha, c):
    return _scalar.rho_c(x, alpha, c)


@ufunc
def _log_partition(alpha):
    return _partition.log_partition(alpha, 1)[0]


@ufunc
def _log_partition_slope(alpha):
    return _partition.log_partition(alpha, 1)[1]


def _as_float64(name, values):
    """Array of float64, and the floating type in which the answer goes out."""
    try:
        values = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name} must be real numbers. Got rows of several lengths; pass a number or an array."
        ) from None
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers. Got dtype {values.dtype}; convert it to float first.")
    out = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    return values.astype(np.float64), out


def _demand(name, values, good, expectation, remedy):
    """Raise with the first value that is not good."""
    if not np.all(good):
        bad = values[~good].flat[0]
        raise ValueError(f"{name} must be {expectation}. Got {name}={bad}; {remedy}.")


def _shape(alpha):
    """Alpha as float64, checked."""
    alpha, _ = _as_float64("alpha", alpha)
    remedy = "pass 2 for least squares, 1 for Charbonnier, 0 for Cauchy"
    _demand("alpha", alpha, ~np.isnan(alpha), "a number in [-inf, inf]", remedy)
    return alpha


def _evaluate(function, x, alpha, c):
    x, out = _as_float64("x", x)
    alpha = _shape(alpha)
    c, _ = _as_float64("c", c)
    remedy = "pass the scale of the residuals, in units of y"
    _demand("c", c, (c > 0) & np.isfinite(c), "a positive finite number", remedy)
    try:
        np.broadcast(x, alpha, c)
    except ValueError:
        raise ValueError(
            f"x, alpha and c must have shapes that broadcast. Got {x.shape}, {alpha.shape} and {c.shape}; add axes of "
            "length 1, as alpha[:, None] does."
        ) from None
    with np.errstate(all="ignore"):
        return function(x, alpha, c).astype(out)[()]


def rho(x: ArrayLike, alpha: ArrayLike, c: ArrayLike = 1.0) -> Any:
    """Loss of a residual.

    Parameters
    ----------
    x : array_like
        Residuals, in units of y.
    alpha : array_like
        Shape of the loss, in [-inf, inf]: 2 least squares, 1 Charbonnier or pseudo-Huber, 0 Cauchy, -2 Geman-McClure,
        -inf Welsch. Broadcasts with `x`.
    c : array_like, default=1.0
        Scale of the loss, positive and finite, in units of y. Broadcasts with `x`.

    Returns
    -------
    ndarray or numpy scalar
        The loss, without unit, in the broadcast shape and in the floating type of `x` (float64 for integers).
        nan where `x` is nan, inf where the value exceeds the type.

    Raises
    ------
    ValueError
        If `alpha` is nan, `c` is not positive and finite, or an argument is not real.

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 8.

    Examples
    --------
    >>> from sklearn_robust import losses
    >>> losses.rho([0.0, 1.0, 10.0], alpha=2.0).tolist()
    [0.0, 0.5, 50.0]
    """
    return _evaluate(_rho, x, alpha, c)


def psi(x: ArrayLike, alpha: ArrayLike, c: ArrayLike = 1.0) -> Any:
    """Influence of a residual: derivative of the loss with respect to `x`.

    Parameters
    ----------
    x, alpha, c : array_like
        As in `rho`.

    Returns
    -------
    ndarray or numpy scalar
        d rho / d x, in units of 1/y; shape and type as in `rho`.

    Raises
    ------
    ValueError
        As in `rho`.

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 9.
    """
    return _evaluate(_psi, x, alpha, c)


def psi_prime(x: ArrayLike, alpha: ArrayLike, c: ArrayLike = 1.0) -> Any:
    """Curvature of the loss: second derivative with respect to `x`.

    Parameters
    ----------
    x, alpha, c : array_like
        As in `rho`.

    Returns
    -------
    ndarray or numpy scalar
        d² rho / d x², in units of 1/y²; negative in the tails where alpha < 1. Shape and type as in `rho`.

    Raises
    ------
    ValueError
        As in `rho`.

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 9, differentiated.
    """
    return _evaluate(_psi_prime, x, alpha, c)


def weight(x: ArrayLike, alpha: ArrayLike, c: ArrayLike = 1.0) -> Any:
    """Weight of a residual in iteratively reweighted least squares: psi(x) / x times c².

    Parameters
    ----------
    x, alpha, c : array_like
        As in `rho`.

    Returns
    -------
    ndarray or numpy scalar
        The weight, without unit: 1 at x = 0, in [0, 1] for alpha <= 2. Shape and type as in `rho`.

    Raises
    ------
    ValueError
        As in `rho`.

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 9 divided by x.
    """
    return _evaluate(_weight, x, alpha, c)


def rho_alpha(x: ArrayLike, alpha: ArrayLike, c: ArrayLike = 1.0) -> Any:
    """Differentiate the loss with respect to its shape.

    Parameters
    ----------
    x, alpha, c : array_like
        As in `rho`.

    Returns
    -------
    ndarray or numpy scalar
        d rho / d alpha, without unit: never negative, inf at alpha = 2 (x != 0), 0 at alpha = ±inf. Shape and type as
        in `rho`.

    Raises
    ------
    ValueError
        As in `rho`.

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 8, differentiated.
    """
    return _evaluate(_rho_alpha, x, alpha, c)


def rho_c(x: ArrayLike, alpha: ArrayLike, c: ArrayLike = 1.0) -> Any:
    """Differentiate the loss with respect to its scale.

    Parameters
    ----------
    x, alpha, c : array_like
        As in `rho`.

    Returns
    -------
    ndarray or numpy scalar
        d rho / d c = -(x / c) psi(x), in units of 1/y, never positive. Shape and type as in `rho`.

    Raises
    ------
    ValueError
        As in `rho`.

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 8, differentiated.
    """
    return _evaluate(_rho_c, x, alpha, c)


def log_partition(alpha: ArrayLike, order: int = 0) -> Any:
    """Log of the partition function Z(alpha), or its derivative.

    The density of the noise with scale c is exp(-rho(x, alpha, c)) / (c Z(alpha)).

    Parameters
    ----------
    alpha : array_like
        Shape of the loss, in [0, inf].
    order : {0, 1}, default=0
        0 for log Z, 1 for d log Z / d alpha (-inf at alpha = 2, 0 at alpha = inf).

    Returns
    -------
    ndarray or numpy scalar
        In the shape and the floating type of `alpha` (float64 for integers).

    Raises
    ------
    ValueError
        If `alpha` is negative or nan, or `order` is neither 0 nor 1.

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, section 2.

    Examples
    --------
    >>> from sklearn_robust import losses
    >>> round(float(losses.log_partition(2.0)), 12)  # log(2 pi) / 2
    0.918938533205
    """
    if np.ndim(order) or order not in (0, 1):
        raise ValueError(f"order must be 0 or 1. Got order={order!r}; pass 0 for log Z, 1 for its derivative.")
    shape, out = _as_float64("alpha", alpha)
    remedy = "there is no density for alpha < 0, as the loss is bounded; pass alpha >= 0"
    _demand("alpha", shape, shape >= 0, "in [0, inf]", remedy)
    with np.errstate(all="ignore"):
        return (_log_partition_slope if order else _log_partition)(shape).astype(out)[()]


def _scipy_rows(z, alpha):
    """Loss, slope and curvature in z = u², (3, m): 2 rho(sqrt(z)) and its derivatives."""
    z = np.asarray(z, dtype=np.float64)
    u = np.sqrt(z)
    with np.errstate(all="ignore"):
        slope = _weight(u, alpha, 1.0)
        curvature = 0.5 * np.sign(alpha - 2.0) * slope / (1.0 + z / abs(alpha - 2.0)) if alpha != 2.0 else 0.0 * z
        return np.stack([2.0 * _rho(u, alpha, 1.0), slope, curvature])


def scipy_loss(alpha: float) -> Callable[[np.ndarray], np.ndarray]:
    """Loss for `scipy.optimize.least_squares(loss=...)`; its `f_scale` is the scale c.

    Parameters
    ----------
    alpha : float
        Shape of the loss, in [-inf, inf].

    Returns
    -------
    callable
        Takes z = (f / f_scale)², shape (m,), and returns an array of shape (3, m): 2 rho(sqrt(z)), which is z for
        small z, and its first and second derivative with respect to z. It can be pickled.

    Raises
    ------
    ValueError
        If `alpha` is nan.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import least_squares
    >>> from sklearn_robust import losses
    >>> y = np.array([0.9, 1.0, 1.1, 50.0])
    >>> fit = least_squares(lambda m: y - m, [1.0], loss=losses.scipy_loss(-2.0), f_scale=0.1)
    >>> round(float(fit.x[0]), 2)
    1.0
    """
    shape = _shape(alpha)
    if shape.ndim:
        raise ValueError(f"alpha must be one number. Got an array of shape {shape.shape}; make one loss for each.")
    return partial(_scipy_rows, alpha=float(shape))

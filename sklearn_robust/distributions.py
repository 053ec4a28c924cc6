"""The law of the noise: density exp(-rho((x - loc) / scale, alpha, 1)) / (scale Z(alpha)), alpha >= 0.

Both tails come from the level sets of the loss (_loss/tails.py), exact to about 1e-12. Sampling is by ratio of
uniforms: (u, v) uniform on (0, 1) x (-sqrt 2, sqrt 2), x = v / u kept if u² <= exp(-rho(x)). The box holds for every
alpha, because rho grows with alpha and sup |x| exp(-rho(x)/2) = sqrt 2 at alpha = 0; it keeps Z / (4 sqrt 2), at least
36%.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import CensoredData, FitError, rv_continuous

from sklearn_robust import _checks
from sklearn_robust._loss import tails
from sklearn_robust._loss.jit import ufunc
from sklearn_robust.losses import log_partition, psi, psi_prime, rho

__all__ = ["general_robust"]


@ufunc
def _sf(x, alpha, log_z):
    return tails.sf(x, alpha, log_z)


@ufunc
def _log_sf(x, alpha, log_z):
    return tails.log_sf(x, alpha, log_z)


@ufunc
def _isf(q, alpha, log_z):
    return tails.isf(q, alpha, log_z)


@ufunc
def _log_moment(order, alpha, log_z):
    return tails.log_moment(order, alpha, log_z)


@ufunc
def _mean_rho(alpha, log_z):
    return tails.mean_rho(alpha, log_z)


def _log_z(alpha):
    """Log Z(alpha), computed once for each value in the array."""
    values, inverse = np.unique(np.asarray(alpha, dtype=np.float64), return_inverse=True)
    return log_partition(values)[inverse].reshape(np.shape(alpha))


def _evaluate(function, x, alpha):
    # copies: scipy passes views of broadcast arrays, whose flags an older numba must not touch
    x, alpha = np.array(x, dtype=np.float64), np.array(alpha, dtype=np.float64)
    with np.errstate(all="ignore"):
        return function(x, alpha, _log_z(alpha))


class GeneralRobust(rv_continuous):
    r"""The law of the general and adaptive robust loss, from Cauchy over Gaussian to lighter tails.

    %(before_notes)s

    Notes
    -----
    The density is

    .. math:: f(x, \alpha) = \exp(-\rho(x, \alpha, 1)) / Z(\alpha), \qquad
        \rho = \frac{|\alpha - 2|}{\alpha} \left[\left(1 + \frac{x^2}{|\alpha - 2|}\right)^{\alpha / 2} - 1\right]

    for :math:`0 \le \alpha \le \infty`. `alpha` = 2 is ``norm``, `alpha` = 0 is ``cauchy(scale=sqrt(2))``; between
    them the tails fall like :math:`\exp(-k |x|^\alpha)`. For `alpha` < 0 the loss is bounded and there is no density.
    `scale` is the scale c of the loss.

    The distribution function keeps a relative accuracy of about 1e-12 in both tails. Odd moments are 0; at `alpha` = 0
    the mean is nan and the variance inf. Variates are exact and independent.

    ``fit`` maximises the likelihood over `alpha`, `loc` and `scale` to many digits, following the optimum from light to
    heavy tails, unless another `optimizer` is given; `alpha` may come out as 0 or inf.

    %(after_notes)s

    References
    ----------
    .. [1] J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, section 2.

    %(example)s
    """

    def _argcheck(self, alpha):
        return np.asarray(alpha) >= 0

    def _logpdf(self, x, alpha):
        return -rho(x, alpha) - _log_z(alpha)

    def _pdf(self, x, alpha):
        return np.exp(self._logpdf(x, alpha))

    def _sf(self, x, alpha):
        return _evaluate(_sf, x, alpha)

    def _cdf(self, x, alpha):
        return _evaluate(_sf, -x, alpha)

    def _logsf(self, x, alpha):
        return _evaluate(_log_sf, x, alpha)

    def _logcdf(self, x, alpha):
        return _evaluate(_log_sf, -x, alpha)

    def _isf(self, q, alpha):
        return _evaluate(_isf, q, alpha)

    def _ppf(self, q, alpha):
        return -_evaluate(_isf, q, alpha)

    def _rvs(self, alpha, size=None, random_state=None):
        alpha = np.broadcast_to(np.asarray(alpha, dtype=np.float64), size).ravel()
        out = np.empty(alpha.shape)
        pending = np.arange(alpha.size)
        while pending.size:
            u = 1.0 - random_state.uniform(size=pending.size)
            x = np.sqrt(2.0) * random_state.uniform(-1.0, 1.0, size=pending.size) / u
            kept = 2.0 * np.log(u) <= -rho(x, alpha[pending])
            out[pending[kept]] = x[kept]
            pending = pending[~kept]
        return out.reshape(size)[()]

    def _munp(self, n, alpha):
        alpha = np.asarray(alpha, dtype=np.float64)
        if n == 0:
            return np.ones_like(alpha)
        if n % 2:
            return np.where(alpha > 0, 0.0, np.nan)
        with np.errstate(all="ignore"):
            return np.exp(_evaluate(_log_moment, float(n), alpha))

    def _stats(self, alpha):
        zero = self._munp(1, alpha)
        with np.errstate(all="ignore"):
            log_variance, log_fourth = (_evaluate(_log_moment, n, alpha) for n in (2.0, 4.0))
            return zero, np.exp(log_variance), zero, np.exp(log_fourth - 2.0 * log_variance) - 3.0

    def _entropy(self, alpha):
        alpha = np.asarray(alpha, dtype=np.float64)
        log_z = _log_z(alpha)
        with np.errstate(all="ignore"):
            mean = _mean_rho(alpha, log_z)
        return log_z + mean  # outside, so that NumPy clears the flags before scipy's vectorize reads them

    def _fitstart(self, data, args=None):
        if isinstance(data, CensoredData):
            data = data._uncensor()
        loc, scale = _robust_start(data)
        return 1.0, loc, scale

    def fit(self, data: ArrayLike, *args: float, **kwds: Any) -> tuple[float, float, float]:
        """Estimate shape, location and scale from data by maximum likelihood.

        Parameters
        ----------
        data : array_like
            Sample, in units of y; it is flattened.
        *args, **kwds
            As in `scipy.stats.rv_continuous.fit`: starting values (`alpha` by position, ``loc``, ``scale``), parameters
            held fixed (``falpha``, ``floc``, ``fscale``), ``method`` and ``optimizer``.

        Returns
        -------
        alpha, loc, scale : float
            The estimates; `loc` and `scale` in units of y.

        Raises
        ------
        ValueError
            If data are empty or not finite numbers, if fscale is not positive, or if every parameter is fixed.
        scipy.stats.FitError
            If the likelihood has no maximum, as with constant data.
        """
        if not isinstance(data, CensoredData):
            with _checks.naming("data"):
                data = np.asarray(data, dtype=np.float64).ravel()
            if not data.size:
                raise ValueError("data must not be empty. Got 0 values; pass at least two.")
        if (scale := kwds.get("fscale")) is not None:
            _checks.check_positive("fscale", scale, "leave it out to estimate the scale")
        if not (isinstance(data, CensoredData) or "optimizer" in kwds or kwds.get("method", "mle").lower() != "mle"):
            shape = next((kwds[name] for name in ("f0", "falpha", "fix_alpha") if name in kwds), None)
            fixed = (shape, kwds.get("floc"), kwds.get("fscale"))
            kwds["optimizer"] = partial(_maximum_likelihood, fixed=fixed)
        return super().fit(data, *args, **kwds)


def _robust_start(data):
    """Median and median absolute deviation, or the next best where more than half of the data are equal."""
    loc = np.median(data)
    distance = np.abs(data - loc)
    scale = np.median(distance) or np.mean(distance)
    return float(loc), float(scale or 1.0)


# Shapes at which the profile likelihood is tried, each from the optimum of the one before: for alpha >= 1 the problem
# is convex in (loc / scale, 1 / scale), and its optimum leads down to the others by graduated non-convexity.
_SHAPES = (np.inf, 100.0, 20.0, 8.0, 5.0, 3.5, 2.7, 2.3, 2.0, 1.8, 1.6, 1.3, 1.0, 0.8, 0.6, 0.4, 0.25, 0.1, 0.04, 0.0)


def _objective(data, alpha, loc, scale):
    """Mean of rho + log scale."""
    value = np.mean(rho((data - loc) / scale, alpha)) + np.log(scale)
    return value if value < 1e100 else np.inf


def _location_scale(data, alpha, loc, scale, free):
    """(objective, loc, scale) by Newton in (loc / scale, log scale), of which `free` lists the free ones."""
    value = _objective(data, alpha, loc, scale)
    smallest = 1e-12 * scale
    for _ in range(200):
        if not free or not np.isfinite(value):
            break
        u = (data - loc) / scale
        p, q = psi(u, alpha), psi_prime(u, alpha)
        gradient = np.array([-np.mean(p), 1.0 - np.mean(u * p)])[free]
        cross = np.mean(p + u * q)
        hessian = np.array([[np.mean(q), cross], [cross, np.mean(u * (p + u * q))]])[np.ix_(free, free)]
        curvature, axes = np.linalg.eigh(hessian)
        step = np.zeros(2)
        step[free] = -axes @ (axes.T @ gradient / np.maximum(np.abs(curvature), 1e-8))
        step /= max(1.0, np.linalg.norm(step))
        while (size := np.linalg.norm(step)) > 1e-10:
            new_loc, new_scale = loc + scale * step[0], scale * np.exp(step[1])
            new_value = _objective(data, alpha, new_loc, new_scale)
            if new_value <= value:
                break
            step *= 0.5
        else:
            break
        value, loc, scale = new_value, new_loc, new_scale
        if scale < smallest:
            raise FitError("The likelihood has no maximum: half of the data or more are equal; pass fscale.")
        if size < 1e-8:
            break
    return value, loc, scale


def _maximum_likelihood(func, x0, args=(), disp=0, *, fixed):
    """Optimizer for `rv_continuous.fit`: profile likelihood in alpha, then its best bracket refined."""
    (data,) = args
    values = iter(x0)
    alpha, loc, scale = (next(values) if value is None else float(value) for value in fixed)
    log_partition(alpha)  # raises for alpha < 0
    free = [i for i, value in enumerate(fixed[1:]) if value is None]
    wide = scale if fixed[2] is not None else max(scale, float(np.max(np.abs(data - loc))))

    def profile(shape, start):
        with np.errstate(all="ignore"):
            value, *best = _location_scale(data, shape, *start, free)
        return value + log_partition(shape), shape, *best

    shapes = _SHAPES if fixed[0] is None else (*(s for s in _SHAPES if s > alpha), alpha)
    path = []
    for shape in shapes:
        path.append(profile(shape, path[-1][2:] if path else (loc, wide)))
    if fixed[0] is None:
        k = min(range(len(path)), key=lambda i: path[i][0])
        above, best, below = path[max(k - 1, 0)], path[k], path[min(k + 1, len(path) - 1)]

        def at(a):
            return profile(a / (1.0 - a), above[2:])

        low, high = (1.0 if np.isinf(end[1]) else end[1] / (1.0 + end[1]) for end in (below, above))
        found = minimize_scalar(lambda a: at(a)[0], bounds=(low, high), method="bounded", options={"xatol": 1e-7})
        best = min(best, at(found.x))
    else:
        best = path[-1]
    return [value for value, held in zip(best[1:], fixed, strict=True) if held is None]


general_robust = GeneralRobust(name="general_robust")

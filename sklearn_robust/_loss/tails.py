"""Tails, quantiles and moments of the standard law exp(-rho(x, alpha, 1)) / Z, alpha >= 0.

Over the level sets t of the loss (see log_partition), with t0 = rho(x, alpha, 1) and x >= 0,

    sf(x)     = exp(-t0) / Z  ∫_0^∞ (X(t0 + t) - x) exp(-t) dt
    X(t0 + t) - x = h E / (k + sqrt(k² + E)),     h = sqrt(b + x²),   k = x / h,
    E         = (1 + t / (b / alpha + t0))^(2 / alpha) - 1
    E |x|^n   = 2 / ((n + 1) Z)  ∫_0^∞ X(t)^(n + 1) exp(-t) dt
    E rho     = 2 / Z  ∫_0^∞ X(t) (t - 1) exp(-t) dt

Every term of sf is positive, so it keeps its digits however far out; the other tail follows by symmetry. The integrals
are by the trapezoid rule in log t, which converges as in log_partition, and over steps as small wherever x is. log_z =
log Z(alpha) is an argument: one number for a whole array.
"""

import math

from sklearn_robust._loss.jit import jit, jit_within
from sklearn_robust._loss.log_partition import inverse_rho
from sklearn_robust._loss.rho import _NODES, _WEIGHTS, LARGE_ALPHA, SMALL_ALPHA, psi, rho

# Nodes of the trapezoid rule in log t.
_STEP, _FIRST, _COUNT = 0.2, -26.0, 153
_T = tuple(math.exp(_FIRST + _STEP * k) for k in range(_COUNT))
_MASS = tuple(_STEP * t * math.exp(-t) for t in _T)

# Below this alpha the variance exceeds the largest float64.
_NO_VARIANCE = 1e-4
_LARGEST = 1.7e308


@jit_within
def _log_sf_at(x, t0, alpha, log_z):
    """log P(X > x) for x >= 0, where rho is t0."""
    if math.isinf(x):
        return -math.inf
    b = abs(alpha - 2.0)
    root_b = math.sqrt(b)
    size = root_b if root_b > x else x
    h = size * math.sqrt((root_b / size) * (root_b / size) + (x / size) * (x / size))
    offset = b / alpha + t0 if alpha >= SMALL_ALPHA else 1.0
    if alpha == 2.0 or alpha > LARGE_ALPHA:
        h = 1.0
        offset = 1.0 + t0
    k = x / h
    total = 0.0
    for i in range(_COUNT):
        log_t = _FIRST + _STEP * i
        t = math.exp(log_t)
        if alpha == 2.0:
            gain = 2.0 * t
        elif alpha > LARGE_ALPHA:
            gain = 2.0 * math.log1p(t / offset)
        elif alpha < SMALL_ALPHA:
            gain = math.expm1(t)
        else:
            gain = math.expm1(2.0 / alpha * math.log1p(t / offset))
        total += math.exp(log_t - t) * gain / (k + math.sqrt(k * k + gain))
    return math.log(h) + math.log(_STEP * total) - t0 - log_z


@jit_within
def _log_sf_right(x, alpha, log_z):
    """log P(X > x) for x >= 0."""
    return _log_sf_at(x, rho(x, alpha, 1.0), alpha, log_z)


@jit
def log_sf(x, alpha, log_z):
    """log P(X > x)."""
    if x >= 0.0:
        return _log_sf_right(x, alpha, log_z)
    return math.log1p(-math.exp(_log_sf_right(-x, alpha, log_z)))


@jit
def sf(x, alpha, log_z):
    """P(X > x); P(X <= x) is sf(-x)."""
    if x >= 0.0:
        return math.exp(_log_sf_right(x, alpha, log_z))
    return -math.expm1(_log_sf_right(-x, alpha, log_z))


@jit_within
def _centre(x, alpha, log_z):
    """P(0 < X < x) for an x >= 0 that is not far out: to the middle of a tail the density is smooth enough."""
    total = 0.0
    for i in range(len(_NODES)):
        total += _WEIGHTS[i] * math.exp(-rho(_NODES[i] * x, alpha, 1.0) - log_z)
    return total * x


@jit_within
def _isf_right(q, alpha, log_z):
    """The x >= 0 with P(X > x) = q, for 0 <= q <= 1/2."""
    if q == 0.0:
        return math.inf
    if q > 0.24:  # the probability between 0 and x is sooner found, and keeps its digits; Newton rises to its root
        x = (0.5 - q) * math.exp(log_z)
        for _ in range(30):
            step = (0.5 - q - _centre(x, alpha, log_z)) * math.exp(rho(x, alpha, 1.0) + log_z)
            x += step
            if step <= 1e-14 * x:
                break
        return x
    # log sf is concave in v, x = X(v²), and nearly a parabola: Newton in v, kept between two bounds
    log_q = math.log(q)
    if log_q < -700.0 and _log_sf_right(_LARGEST, alpha, log_z) > log_q:
        return math.inf
    low = 0.0
    high = math.inf
    v = math.sqrt(-log_q - math.log(2.0))
    for _ in range(100):
        x = inverse_rho(v * v, alpha)
        value = _log_sf_at(x, v * v, alpha, log_z)
        if value > log_q:
            low = v
        else:
            high = v
        slope = -2.0 * v * math.exp(-v * v - log_z - value - math.log(psi(x, alpha, 1.0)))
        new = v - (value - log_q) / slope
        if not low <= new <= high:
            new = 0.5 * (low + high) if math.isfinite(high) else 2.0 * v
        done = abs(new - v) <= 1e-14 * v
        v = new
        if done:
            break
    return inverse_rho(v * v, alpha)


@jit_within
def isf(q, alpha, log_z):
    """The x with P(X > x) = q; the x with P(X <= x) = q is -isf(q)."""
    if q <= 0.5:
        return _isf_right(q, alpha, log_z)
    return -_isf_right(1.0 - q, alpha, log_z)


@jit
def _log_inverse_rho(t, alpha):
    """log X(t), also where X overflows."""
    x = inverse_rho(t, alpha)
    if x < _LARGEST:
        return math.log(x)
    b = abs(alpha - 2.0)
    return 0.5 * math.log(b) + math.log1p(alpha * t / b) / alpha


@jit
def log_moment(order, alpha, log_z):
    """Log of E |X|^order, for alpha > 0 and order >= 2."""
    if alpha < _NO_VARIANCE:
        return math.inf
    # the peak in log t is narrow for small alpha and for high orders
    width = min(alpha, 1.0) / (order + 1.0)
    step = min(_STEP, 0.5 * math.sqrt(width))
    last = math.log(100.0 + 20.0 / width)
    largest = -math.inf
    total = 0.0
    for i in range(int((last - _FIRST) / step)):
        log_t = _FIRST + step * i
        t = math.exp(log_t)
        term = (order + 1.0) * _log_inverse_rho(t, alpha) + log_t - t
        if term > largest:
            total = total * math.exp(largest - term) + 1.0
            largest = term
        else:
            total += math.exp(term - largest)
    return largest + math.log(2.0 * step * total / (order + 1.0)) - log_z


@jit
def mean_rho(alpha, log_z):
    """E rho(X): entropy less log_z."""
    total = 0.0
    for i in range(_COUNT):
        total += _MASS[i] * (_T[i] - 1.0) * inverse_rho(_T[i], alpha)
    return 2.0 * total * math.exp(-log_z)

"""What one row adds to the sums of a fit, from one logarithm and one exponential.

The same formulas as in ``rho``, arranged for speed: absolute errors of a few ulps, which is what a sum over rows needs,
where ``rho`` keeps relative ones. With q = r / (1 + r), D = L - q, g = (1 + r)^(alpha/2), t = alpha L / 2:

    d weight / d alpha   = weight D / 2
    rho_alpha            = (s/2) (g D - L² G(t))
    rho_alpha_alpha      = (s/2) (g D t' + g D' - 2 L L' G(t) - L² G'(t) t'),   L' = -s q / b, D' = -s q² / b
"""

import math

from sklearn_robust._loss.jit import jit
from sklearn_robust._loss.rho import LARGE_ALPHA, growing_mean, log_weight, psi_prime, rho, rho_alpha

_LARGE_U = 1e150


@jit
def _mean_exp(t, g):
    """(exp(t) - 1) / t, given g = exp(t)."""
    if abs(t) > 0.05:
        return (g - 1.0) / t
    return 1.0 + t / 2.0 * (1.0 + t / 3.0 * (1.0 + t / 4.0 * (1.0 + t / 5.0 * (1.0 + t / 6.0 * (1.0 + t / 7.0)))))


@jit
def coef_terms(u, alpha):
    """rho, weight and the curvature psi_prime c² at u = x / c."""
    z = u * u
    if alpha == 2.0:
        return 0.5 * z, 1.0, 1.0
    if abs(u) > _LARGE_U:
        return rho(u, alpha, 1.0), math.exp(log_weight(u, alpha)), psi_prime(u, alpha, 1.0)
    if abs(alpha) > LARGE_ALPHA:
        sign = math.copysign(1.0, alpha)
        loss = sign * math.expm1(0.5 * sign * z)
        w = 1.0 + sign * loss
        return loss, w, (w * (1.0 + sign * z) if w > 0.0 else 0.0)
    b = abs(alpha - 2.0)
    r = z / b
    log1p_r = math.log1p(r)
    t = 0.5 * alpha * log1p_r
    w = math.exp(t - log1p_r)
    loss = (z * w + b * (w - 1.0)) / alpha if alpha > 1.5 else 0.5 * b * log1p_r * _mean_exp(t, (1.0 + r) * w)
    return loss, w, w * (1.0 + (alpha - 2.0) * r / (1.0 + r))


@jit
def shape_terms(u, alpha):
    """d weight / d alpha, rho_alpha and its derivative in alpha, at u = x / c; finite alpha other than 2."""
    if abs(u) > _LARGE_U:
        return 0.0, rho_alpha(u, alpha, 1.0), 0.0
    b = abs(alpha - 2.0)
    sign = math.copysign(1.0, alpha - 2.0)
    r = u * u / b
    log1p_r = math.log1p(r)
    t = 0.5 * alpha * log1p_r
    w = math.exp(t - log1p_r)
    g = (1.0 + r) * w
    q = r / (1.0 + r)
    d = log1p_r - q
    if abs(t) > 0.5:
        mean1 = (g - (g - 1.0) / t) / t
        mean2 = (g - 2.0 * mean1) / t
    else:
        mean1 = growing_mean(t)
        mean2 = _second_mean(t)
    log_slope = -sign * q / b
    t_slope = 0.5 * (log1p_r + alpha * log_slope)
    slope = 0.5 * sign * (g * d - log1p_r * log1p_r * mean1)
    curvature = g * (d * t_slope - sign * q * q / b) - log1p_r * (2.0 * log_slope * mean1 + log1p_r * mean2 * t_slope)
    return 0.5 * w * d, slope, 0.5 * sign * curvature


@jit
def _second_mean(t):
    """∫_0^1 u² exp(t u) du for small t."""
    term = 1.0
    total = 1.0 / 3.0
    for k in range(1, 13):
        term *= t / k
        total += term / (k + 3.0)
    return total

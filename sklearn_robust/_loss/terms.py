"""What one row adds to the sums of a fit, given L = log(1 + r) and its weight w: no further transcendental.

The formulas of ``rho``, arranged for speed and free of branches, so that a loop over them becomes vector code. Their
errors are absolute, a few ulps, which is what a sum over rows needs, where those of ``rho`` are relative. With

    q = z / (b + z),   D = L - q,   t = alpha L / 2,   g = exp(t) = (1 + r) w,   E_k = ∫_0^1 u^k exp(t u) du,

    rho                  = (b/2) L E_0                   psi_prime c²  = w (1 + (alpha - 2) q)
    pull                 = u w, also where w underflows      d pull / d alpha = pull D / 2
    rho_alpha            = (s/2) (g D - L² E_1)
    rho_alpha_alpha      = (s/2) (g D t' + g D' - 2 L L' E_1 - L² E_2 t'),   L' = -s q / b,   D' = -s q² / b
"""

import math

from sklearn_robust._loss.jit import jit, jit_exact
from sklearn_robust._loss.rho import LARGE_ALPHA, log1p_ratio, log_weight, psi, psi_prime, rho, rho_alpha

# Below this |alpha| the integrals E_k are summed as series in t, good while |t| < 2.
SERIES_ALPHA = 0.05
_SERIES_TERMS = 18
# Beyond these r = z / b or an exponential may overflow, and alpha is infinite to every digit.
LARGEST_U, LARGEST_EXPONENT, LARGEST_ALPHA = 1e140, 700.0, 1e20
_LARGE_U = 1e150


@jit_exact
def integrals(t, g):
    """E_0, E_1, E_2 by the recurrence from g = exp(t): their errors grow as t falls, but slower than L^(k + 1)."""
    inverse = 1.0 / t
    e0 = (g - 1.0) * inverse if abs(t) > 1e-4 else 1.0 + t * (0.5 + t * (1.0 / 6.0 + t * (1.0 / 24.0)))
    e1 = (g - e0) * inverse if abs(t) > 1e-4 else 0.5 + t * (1.0 / 3.0 + t * 0.125)
    e2 = (g - 2.0 * e1) * inverse if abs(t) > 1e-4 else 1.0 / 3.0 + t * (0.25 + 0.1 * t)
    return e0, e1, e2


@jit_exact
def integrals_by_series(t, g):
    """E_0, E_1, E_2 by the series of E_2 and the recurrence downwards."""
    e2 = 1.0 / (_SERIES_TERMS + 3.0)
    for k in range(_SERIES_TERMS, 0, -1):
        e2 = 1.0 / (k + 2.0) + t * (1.0 / k) * e2
    e1 = 0.5 * (g - t * e2)
    return g - t * e1, e1, e2


@jit_exact
def coef_terms(q, log1p_r, w, e0, alpha, b):
    """Rho and the curvature psi_prime c²."""
    return 0.5 * b * log1p_r * e0, w * (1.0 + (alpha - 2.0) * q)


@jit_exact
def shape_terms(q, log1p_r, pull, g, e1, e2, alpha, inv_b):
    """d pull / d alpha, rho_alpha and d rho_alpha / d alpha; ``inv_b`` is s / b."""
    sign = math.copysign(1.0, alpha - 2.0)
    d = log1p_r - q
    log_slope = -q * inv_b
    t_slope = 0.5 * (log1p_r + alpha * log_slope)
    slope = g * d - log1p_r * log1p_r * e1
    curvature = g * (d * t_slope - q * q * inv_b) - log1p_r * (2.0 * log_slope * e1 + log1p_r * e2 * t_slope)
    return 0.5 * pull * d, 0.5 * sign * slope, 0.5 * sign * curvature


@jit
def is_near(u, alpha):
    """Whether ``near_terms`` knows the terms at u: no exponential overflows."""
    if not abs(u) < LARGEST_U:
        return False
    alpha = min(alpha, LARGEST_ALPHA)
    return alpha <= 2.0 or 0.5 * alpha * math.log1p(u * u / (alpha - 2.0)) <= LARGEST_EXPONENT


@jit
def log1p_and_inverse(r):
    """log(1 + r) and 1 / (1 + r), r >= 0, one way for all r: threads of a GPU would go both of log1p's."""
    one_plus_r = 1.0 + r
    inverse = 1.0 / one_plus_r
    return math.log(one_plus_r) + (r - (one_plus_r - 1.0)) * inverse, inverse


@jit
def near_terms(u, alpha, learn_shape):
    """What ``all_terms`` gives, where that is far from overflow; the last three are 0 if the shape is not learned."""
    if alpha == 2.0:
        return 0.5 * u * u, 1.0, u, 1.0, 0.0, 0.0, 0.0
    alpha = min(max(alpha, -LARGEST_ALPHA), LARGEST_ALPHA)
    b, inv_b = abs(alpha - 2.0), 1.0 / (alpha - 2.0)
    r = u * u * abs(inv_b)
    log1p_r, inverse = log1p_and_inverse(r)
    q, w = r * inverse, math.exp((0.5 * alpha - 1.0) * log1p_r)
    t, g, pull = 0.5 * alpha * log1p_r, (1.0 + r) * w, u * w
    e0, e1, e2 = integrals_by_series(t, g) if abs(alpha) < SERIES_ALPHA else integrals(t, g)
    loss, curvature = coef_terms(q, log1p_r, w, e0, alpha, b)
    if not learn_shape:
        return loss, w, pull, curvature, 0.0, 0.0, 0.0
    pull_alpha, shape, shape_shape = shape_terms(q, log1p_r, pull, g, e1, e2, alpha, inv_b)
    return loss, w, pull, curvature, pull_alpha, shape, shape_shape


@jit
def all_terms(u, alpha):
    """(rho, weight, pull, curvature, d pull / d alpha, rho_alpha, d rho_alpha / d alpha) at any u and alpha.

    The slow way, with libm, for what vector code leaves out. At alpha = 2 and ±inf the last three are 0.
    """
    z = u * u
    if alpha == 2.0:
        return 0.5 * z, 1.0, u, 1.0, 0.0, 0.0, 0.0
    w = math.exp(log_weight(u, alpha, 1.0))
    if abs(alpha) > LARGE_ALPHA or abs(u) > _LARGE_U:
        pull = psi(u, alpha, 1.0)
        d = log1p_ratio(u, 1.0, abs(alpha - 2.0)) - 1.0 if abs(alpha) <= LARGE_ALPHA else 0.0
        return rho(u, alpha, 1.0), w, pull, psi_prime(u, alpha, 1.0), 0.5 * pull * d, rho_alpha(u, alpha, 1.0), 0.0
    b = abs(alpha - 2.0)
    log1p_r = math.log1p(z / b)
    t = 0.5 * alpha * log1p_r
    g = math.exp(t)
    e0, e1, e2 = integrals(t, g) if abs(t) > 0.5 else integrals_by_series(t, g)
    q, inv_b = z / (b + z), 1.0 / (alpha - 2.0)
    loss, curvature = coef_terms(q, log1p_r, w, e0, alpha, b)
    pull_alpha, slope, slope_alpha = shape_terms(q, log1p_r, u * w, g, e1, e2, alpha, inv_b)
    return loss, w, u * w, curvature, pull_alpha, slope, slope_alpha

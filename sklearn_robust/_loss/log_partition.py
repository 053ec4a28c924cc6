"""log Z(alpha) of the standard law exp(-rho(x, alpha, 1)) / Z(alpha), alpha >= 0, and its derivatives.

The level sets of the loss give one integral for every alpha, without a table. With X(t) the inverse of rho,

    Z = 2 ∫_0^∞ X(t) exp(-t) dt,        X(t)² = b ((1 + alpha t / b)^(2/alpha) - 1),   b = |alpha - 2|
    Z' = -2 ∫_0^∞ rho_alpha(X(t)) / psi(X(t)) exp(-t) dt

    Z'' = 2 ∫_0^∞ (rho_alpha² - rho_alpha_alpha) / psi exp(-t) dt

and the trapezoid rule in log t converges geometrically: the integrand is analytic in a strip about the real line.
The law is thus a scale mixture of uniforms: t with density proportional to X(t) exp(-t), x uniform in [-X(t), X(t)].
"""

import math

from sklearn_robust._loss.jit import jit
from sklearn_robust._loss.rho import LARGE_ALPHA, SMALL_ALPHA, psi, rho_alpha
from sklearn_robust._loss.terms import all_terms

# Nodes of the trapezoid rule in log t.
STEP = 0.2
FIRST = -26.0
COUNT = 153


@jit
def inverse_rho(t, alpha):
    """The x >= 0 with rho(x, alpha, 1) = t, for t >= 0 and alpha >= 0."""
    if alpha == 2.0:
        return math.sqrt(2.0 * t)
    if alpha > LARGE_ALPHA:
        return math.sqrt(2.0 * math.log1p(t))
    b = abs(alpha - 2.0)
    q = alpha * t / b
    if 1.5 < alpha < 3.0:
        # near 2 the logarithm is large and the exponent is not: (1 + q)^(2/alpha) - 1 = q v + (v - 1), as in rho
        exponent = (2.0 - alpha) / alpha * math.log1p(q)
        return math.sqrt(alpha * t * math.exp(exponent) + b * math.expm1(exponent))
    exponent = t if alpha < SMALL_ALPHA else 2.0 / alpha * math.log1p(q)
    if exponent > 700.0:  # X² may overflow where X does not
        return math.sqrt(b) * math.exp(0.5 * exponent)
    return math.sqrt(b * math.expm1(exponent))


@jit
def log_partition(alpha):
    """log Z(alpha)."""
    total = 0.0
    for k in range(COUNT):
        log_t = FIRST + STEP * k
        t = math.exp(log_t)
        total += inverse_rho(t, alpha) * math.exp(log_t - t)
    return math.log(2.0 * STEP * total)


@jit
def log_partition_slope(alpha):
    """d log Z / d alpha: -inf at alpha = 2, 0 at alpha = inf."""
    if alpha == 2.0:
        return -math.inf
    partition = 0.0
    slope = 0.0
    for k in range(COUNT):
        log_t = FIRST + STEP * k
        t = math.exp(log_t)
        x = inverse_rho(t, alpha)
        mass = math.exp(log_t - t)
        partition += x * mass
        slope -= rho_alpha(x, alpha, 1.0) / psi(x, alpha, 1.0) * mass
    return slope / partition


@jit
def log_partition_curvature(alpha):
    """d² log Z / d alpha², finite alpha other than 2; to the few digits that steer a Newton step."""
    partition = 0.0
    first = 0.0
    second = 0.0
    for k in range(COUNT):
        log_t = FIRST + STEP * k
        t = math.exp(log_t)
        x = inverse_rho(t, alpha)
        _, _, pull, _, _, slope, slope_alpha = all_terms(x, alpha)
        mass = math.exp(log_t - t)
        partition += x * mass
        first -= slope / pull * mass
        second += (slope * slope - slope_alpha) / pull * mass
    return second / partition - (first / partition) ** 2

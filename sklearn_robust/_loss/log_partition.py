"""log Z(alpha) of the standard law exp(-rho(x, alpha, 1)) / Z(alpha), alpha >= 0, and its derivatives.

The level sets of the loss give one integral for every alpha, without a table. With X(t) the inverse of rho,

    Z = 2 ∫_0^∞ X(t) exp(-t) dt,        X(t)² = b ((1 + q)^(2/alpha) - 1),   q = alpha t / b,   b = |alpha - 2|

and with t = exp(v - exp(-v)) the trapezoid rule in v converges geometrically, for the integrand is analytic in a strip
about the real line, and over few nodes, for it falls off doubly exponentially (H. Takahasi, M. Mori, Publications of
the Research Institute for Mathematical Sciences 9, 1974).
The law is thus a scale mixture of uniforms: t with density proportional to X(t) exp(-t), x uniform in [-X(t), X(t)].
The slope is the integral of X' = (X²)' / (2 X). With l = log(1 + q), m = l / alpha, s = sign(alpha - 2), e = -s b m and
K the ``fading_mean`` of rho_alpha, (X²)' is either of

    exp(e) (t - 2 (b + alpha t) m² K(l)) + s (exp(e) - 1)     good unless alpha is large
    4 s m² exp(2 m) (K(l) - K(2 m))                           good unless alpha is near 2
"""

import math

from sklearn_robust._loss.jit import jit, jit_within
from sklearn_robust._loss.rho import LARGE_ALPHA, SMALL_ALPHA, fading_mean

# Nodes of the trapezoid rule in v, and every how many of them do for some digits.
_STEP = 0.14
_FIRST = -3.2
_COUNT = 55
_ROUGHLY = 2
# Between two slopes: relative to the distance from alpha = 2 where that is small, and where alpha is large.
_DIFFERENCE = 1e-6


@jit_within
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
def log_partition(alpha, stride):
    """Log Z(alpha) and its slope: -inf at alpha = 2, 0 at alpha = inf; from every so many nodes, 1 for all digits."""
    b = abs(alpha - 2.0)
    sign = math.copysign(1.0, alpha - 2.0)
    total = 0.0
    slope = 0.0
    for k in range(0, _COUNT, stride):
        v = _FIRST + _STEP * k
        inverse = math.exp(-v)
        t = math.exp(v - inverse)
        mass = t * (1.0 + inverse) * math.exp(-t)
        x = inverse_rho(t, alpha)
        total += x * mass
        if alpha == 2.0 or alpha > LARGE_ALPHA:
            continue
        log1p_q = math.log1p(alpha * t / b)
        m = log1p_q / alpha if alpha > SMALL_ALPHA else t / b
        mean = m * m * fading_mean(log1p_q)
        if alpha < 3.0:
            gain = math.expm1(-sign * b * m)
            square_slope = (1.0 + gain) * (t - 2.0 * (b + alpha * t) * mean) + sign * gain
        else:
            square_slope = 4.0 * math.exp(2.0 * m) * (mean - m * m * fading_mean(2.0 * m))
        slope += 0.5 * square_slope / x * mass
    return math.log(2.0 * _STEP * stride * total), -math.inf if alpha == 2.0 else slope / total


def log_partition_curvature(alpha):
    """d² log Z / d alpha² to some digits, alpha other than 2: a difference of slopes on this side of 2."""
    if alpha > LARGE_ALPHA:
        return 0.0
    step = max(_DIFFERENCE * min(abs(alpha - 2.0), max(alpha, 1.0)), 4.5e-16)
    low, high = max(alpha - step, 0.0), alpha + step
    if low <= 2.0 <= high:
        low, high = (low, alpha) if alpha < 2.0 else (alpha, high)
    return (log_partition(high, _ROUGHLY)[1] - log_partition(low, _ROUGHLY)[1]) / (high - low)

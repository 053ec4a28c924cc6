"""The general and adaptive robust loss, and its derivatives, of one number.

Source: J. T. Barron, A General and Adaptive Robust Loss Function, CVPR 2019, equations 8 to 12. With

    u = x / c,   z = u²,   b = |alpha - 2|,   s = sign(alpha - 2),   r = z / b,   L = log(1 + r)

    rho       = (b / alpha) ((1 + r)^(alpha/2) - 1)         0: L      2: z/2     ±inf: ±(exp(±z/2) - 1)
    weight    = (1 + r)^(alpha/2 - 1) = exp((alpha - 2) L / 2)
    psi       = d rho / d x        = (u / c) weight
    psi_prime = d psi / d x        = weight (b + (alpha - 1) z) / (b + z) / c²
    rho_c     = d rho / d c        = -u psi
    rho_alpha = d rho / d alpha    = (s/2) L² ∫_0^1 u exp(t u) (exp((alpha - 2) (1 - u) L / 2) - 1) du,  t = alpha L / 2

The last line is the derivative written without a difference, so that it keeps its digits where the textbook form
loses all of them: near x = 0, alpha = 0 and alpha = 2. Every term of the integrand has the sign of alpha - 2, hence
rho grows with alpha everywhere. Where u, a weight or a product of both is no number of float64 but the value is, it
comes from logarithms of x and c.
"""

import math

from sklearn_robust._loss.jit import jit, jit_within

# Beyond these the limit in alpha (alpha = ±inf, alpha = 0) is the value, to every digit of float64.
LARGE_ALPHA = 1e150
SMALL_ALPHA = 1e-290
_LARGE, _SMALL = 1e300, 1e-300

# Gauss-Legendre nodes and weights of order 20 on [0, 1].
_NODES = (
    0.0034357004074525377, 0.018014036361043106, 0.04388278587433705, 0.0804415140888906, 0.1268340467699246,
    0.1819731596367425, 0.24456649902458646, 0.3131469556422902, 0.38610707442917747, 0.46173673943325133,
    0.5382632605667487, 0.6138929255708225, 0.6868530443577098, 0.7554335009754135, 0.8180268403632576,
    0.8731659532300754, 0.9195584859111094, 0.956117214125663, 0.9819859636389568, 0.9965642995925474,
)  # fmt: skip
_WEIGHTS = (
    0.008807003569576059, 0.02030071490019347, 0.031336024167054534, 0.04163837078835238, 0.05096505990862022,
    0.059097265980759206, 0.06584431922458832, 0.07104805465919102, 0.07458649323630187, 0.07637669356536292,
    0.07637669356536292, 0.07458649323630187, 0.07104805465919102, 0.06584431922458832, 0.059097265980759206,
    0.05096505990862022, 0.04163837078835238, 0.031336024167054534, 0.02030071490019347, 0.008807003569576059,
)  # fmt: skip


@jit_within
def log_ratio(x, c):
    """log |x / c|, also where x / c overflows."""
    u = abs(x / c)
    return math.log(u) if u < math.inf else math.log(abs(x)) - math.log(c)


@jit_within
def log1p_ratio(x, c, b):
    """log(1 + (x/c)²/b), also where (x/c)² overflows."""
    u = x / c
    r = u * u / b
    if r < _LARGE:
        return math.log1p(r)
    return 2.0 * log_ratio(x, c) - math.log(b)


@jit_within
def scaled_exp(exponent, factor):
    """factor exp(exponent), also where exp alone would overflow or be subnormal."""
    if -700.0 < exponent < 700.0 or factor == 0.0:
        return factor * math.exp(exponent) if factor != 0.0 else 0.0
    return math.copysign(math.exp(exponent + math.log(abs(factor))), factor)


@jit_within
def has_digits(exponent, value):
    """Whether a multiple of exp(exponent) is far from over- and underflow, as exp(exponent) is."""
    return exponent == 0.0 or (abs(exponent) < 700.0 and _SMALL < abs(value) < _LARGE)


@jit_within
def log_weight(x, alpha, c):
    """log weight: (alpha - 2)/2 log(1 + u²/b)."""
    u = x / c
    if alpha == 2.0:
        return u if math.isnan(u) else 0.0
    if abs(alpha) > LARGE_ALPHA:
        return math.copysign(0.5 * u * u, alpha)
    return 0.5 * (alpha - 2.0) * log1p_ratio(x, c, abs(alpha - 2.0))


@jit
def weight(x, alpha, c):
    """psi(x) / x times c²: 1 at x = 0."""
    return math.exp(log_weight(x, alpha, c))


@jit_within
def rho(x, alpha, c):
    """The loss."""
    u = x / c
    z = u * u
    if alpha == 2.0 or z < 1e-17:  # z/2 (1 + (alpha - 2)/(4 b) z) to first order; z/b may be subnormal
        return 0.5 * z
    if abs(alpha) > LARGE_ALPHA:
        return math.expm1(0.5 * z) if alpha > 0.0 else -math.expm1(-0.5 * z)
    b = abs(alpha - 2.0)
    log1p_r = log1p_ratio(x, c, b)
    t = 0.5 * alpha * log1p_r
    if alpha == 0.0 or abs(t) < 1e-17:  # expm1(t) = t, also where t underflows
        return 0.5 * b * log1p_r
    if alpha > 1.5 and z < _LARGE:
        # (1 + r)^(alpha/2) - 1 = r w + (w - 1): near alpha = 2 the logarithm is large and the exponent is not
        exponent = 0.5 * (alpha - 2.0) * log1p_r
        return scaled_exp(exponent, z / alpha) + b / alpha * math.expm1(exponent)
    return b / alpha * math.expm1(t) if t < 700.0 else scaled_exp(t, b / alpha)


@jit_within
def psi(x, alpha, c):
    """d rho / d x."""
    u = x / c
    if math.isinf(x):
        return 0.0 if alpha < 1.0 else math.copysign(1.0 / c if alpha == 1.0 else math.inf, u)
    exponent = log_weight(x, alpha, c)
    value = scaled_exp(exponent, u)
    if has_digits(exponent, value):
        return value / c
    return math.copysign(math.exp(exponent + log_ratio(x, c) - math.log(c)), u)


@jit
def rho_c(x, alpha, c):
    """d rho / d c."""
    u = x / c
    if math.isinf(x):
        return 0.0 if alpha < 0.0 else -2.0 / c if alpha == 0.0 else -math.inf
    exponent = log_weight(x, alpha, c)
    value = scaled_exp(exponent, u)
    if has_digits(exponent, value) and abs(u) < math.inf:
        return -u * (value / c)
    return -math.exp(exponent + 2.0 * log_ratio(x, c) - math.log(c))


@jit
def psi_prime(x, alpha, c):
    """d² rho / d x²."""
    u = x / c
    z = u * u
    exponent = log_weight(x, alpha, c)
    if exponent < -1e5:  # the factor may overflow
        return 0.0
    if alpha == 2.0:
        factor = 1.0
    elif alpha == 1.0:  # 1 / (1 + z) is a weight squared, and may underflow where the value does not
        factor, exponent = 1.0, 3.0 * exponent
    elif abs(alpha) > LARGE_ALPHA:
        factor = 1.0 + math.copysign(z, alpha)
    else:
        b = abs(alpha - 2.0)
        factor = alpha - 1.0 if z >= _LARGE else (b + (alpha - 1.0) * z) / (b + z)
    value = scaled_exp(exponent, factor)
    if factor == 0.0 or has_digits(exponent, value):
        return value / c / c
    return math.copysign(math.exp(exponent + math.log(abs(factor)) - 2.0 * math.log(c)), factor)


@jit
def fading_mean(t):
    """K(t) = ∫_0^1 (1 - v) exp(-t v) dv = (t - 1 + exp(-t)) / t²."""
    if abs(t) < 1.0:
        term = 0.5
        total = 0.5
        for k in range(3, 22):
            term *= -t / k
            total += term
        return total
    return (t + math.expm1(-t)) / (t * t)


@jit
def growing_mean(t):
    """G(t) = ∫_0^1 u exp(t u) du = (t exp(t) - exp(t) + 1) / t²."""
    if t > -1.0:
        return math.exp(t) * fading_mean(t)
    return (t * math.exp(t) - math.expm1(t)) / (t * t)


@jit
def rho_alpha(x, alpha, c):
    """d rho / d alpha: +inf at alpha = 2 (x != 0), 0 at alpha = ±inf."""
    if x == 0.0 or abs(alpha) > LARGE_ALPHA:
        return 0.0 * x if not math.isinf(x) else 0.0
    if alpha == 2.0:
        return math.inf + x * x
    if math.isinf(x):
        return math.inf if alpha >= 0.0 else 2.0 / alpha / alpha
    log1p_r = log1p_ratio(x, c, abs(alpha - 2.0))
    t = 0.5 * alpha * log1p_r
    exponent = 0.5 * (alpha - 2.0) * log1p_r
    factor = math.copysign(0.5 * log1p_r, alpha - 2.0) * log1p_r
    if abs(exponent) > 0.5:
        if t >= 0.0:
            return scaled_exp(t, factor * (fading_mean(log1p_r) - fading_mean(t)))
        return factor * (math.exp(t) * fading_mean(log1p_r) - growing_mean(t))
    reach = 1.0 if t < 36.0 else 36.0 / t  # exp(-t v) has faded beyond
    total = 0.0
    for k in range(len(_NODES)):
        v = reach * _NODES[k]
        total += _WEIGHTS[k] * (1.0 - v) * math.exp(-t * v) * math.expm1(exponent * v)
    return scaled_exp(t, factor * reach * total)

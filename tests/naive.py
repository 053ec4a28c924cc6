"""Slow, obvious versions of the fast functions, in mpmath: textbook formulas, differences with very many digits, sums.

Arguments are Python floats, taken as exact; results are mpf.
"""

import functools

import mpmath as mp

DIGITS = 450  # for a second difference of step 1e-40 with a result of 1e-290, beside a loss of 1
STEP = mp.mpf(10) ** -40


def _exact(function):
    def evaluate(*arguments):
        with mp.workdps(DIGITS):
            return function(*(mp.mpf(argument) for argument in arguments))

    return evaluate


def _rho(x, alpha, c):
    z = (x / c) ** 2
    if alpha == 2:
        return z / 2
    if alpha == 0:
        return mp.log(1 + z / 2)
    if alpha == mp.inf:
        return mp.exp(z / 2) - 1
    if alpha == -mp.inf:
        return 1 - mp.exp(-z / 2)
    b = abs(alpha - 2)
    return b / alpha * ((1 + z / b) ** (alpha / 2) - 1)


@_exact
def rho(x, alpha, c):
    return _rho(x, alpha, c)


@_exact
def psi(x, alpha, c):
    h = abs(x) * STEP
    return (_rho(x + h, alpha, c) - _rho(x - h, alpha, c)) / (2 * h) if x else mp.mpf(0)


@_exact
def psi_prime(x, alpha, c):
    h = (abs(x) or c) * STEP
    return (_rho(x + h, alpha, c) - 2 * _rho(x, alpha, c) + _rho(x - h, alpha, c)) / h**2


@_exact
def weight(x, alpha, c):
    return psi(x, alpha, c) / x * c**2 if x else mp.mpf(1)


@_exact
def rho_alpha(x, alpha, c):
    if mp.isinf(alpha) or x == 0:
        return mp.mpf(0)
    if alpha == 2:
        return mp.inf
    return (_rho(x, alpha + STEP, c) - _rho(x, alpha - STEP, c)) / (2 * STEP)


@_exact
def rho_c(x, alpha, c):
    h = c * STEP
    return (_rho(x, alpha, c + h) - _rho(x, alpha, c - h)) / (2 * h)


def _mass(start, alpha, power=0):
    """∫_start^∞ x^power exp(-rho(x, alpha, 1)) dx: a plain sum over the logarithm of x - start."""
    scale = mp.mpf(1)
    if start:  # the width of the tail
        h = start * mp.mpf(10) ** -20
        scale = min(start, h / (_rho(start + h, alpha, mp.mpf(1)) - _rho(start, alpha, mp.mpf(1))))
    step = mp.mpf(1) / (16 if alpha <= 4 else 48)
    peak, total, k = mp.mpf(0), mp.mpf(0), int(-74 / step)
    while True:
        y = scale * mp.exp(k * step)
        term = y * (start + y) ** power * mp.exp(-_rho(start + y, alpha, mp.mpf(1)))
        total += term
        peak = max(peak, term)
        if term < peak * mp.mpf(10) ** -32:
            return total * step
        k += 1


def _sum_digits(function):
    def evaluate(*arguments):
        with mp.workdps(45):
            return function(*(mp.mpf(argument) for argument in arguments))

    return evaluate


@functools.cache
@_sum_digits
def log_partition(alpha):
    return mp.log(2 * _mass(mp.mpf(0), alpha))


@_sum_digits
def log_partition_slope(alpha):
    """d log Z / d alpha, by a difference whose step is small against the distance to 0 and 2."""
    h = min(abs(alpha - 2), alpha) * mp.mpf(10) ** -9
    return (mp.log(_mass(mp.mpf(0), alpha + h)) - mp.log(_mass(mp.mpf(0), alpha - h))) / (2 * h)


@_sum_digits
def log_partition_curvature(alpha):
    """d² log Z / d alpha², in the same way."""
    h = min(abs(alpha - 2), alpha) * mp.mpf(10) ** -6
    low, here, high = (mp.log(_mass(mp.mpf(0), alpha + k * h)) for k in (-1, 0, 1))
    return (low - 2 * here + high) / h**2


@_sum_digits
def sf(x, alpha):
    """P(X > x) of the standard law."""
    right = _mass(abs(x), alpha) / mp.exp(log_partition(alpha))
    return right if x >= 0 else 1 - right


@_sum_digits
def absolute_moment(order, alpha):
    """E |X|^order of the standard law."""
    return 2 * _mass(mp.mpf(0), alpha, order) / mp.exp(log_partition(alpha))

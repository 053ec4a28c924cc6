"""The scale c at which the loss has a given efficiency at standard normal noise.

    efficiency(k) = (E psi')² / E psi²  at alpha and c = k, relative to least squares

The smallest k >= 1 that reaches it: k(1) = 1.287, k(0) = 1.686, k(-inf) = 2.110 at 0.95.
"""

import math

from sklearn_robust._loss.jit import jit
from sklearn_robust._loss.rho import log_weight, psi_prime


@jit
def gaussian_efficiency(alpha, k):
    """Asymptotic efficiency at the standard normal, by the trapezoid rule on [0, 40]."""
    step = 0.0625
    slope = 0.0
    square = 0.0
    for i in range(641):
        x = step * i
        half = 0.5 if i == 0 else 1.0
        exponent = log_weight(x, alpha, k)
        weight = math.exp(0.5 * (2.0 * exponent - 0.5 * x * x))
        square += half * (x * weight) ** 2
        slope += half * psi_prime(x, alpha, k) * k * k * math.exp(-0.5 * x * x) if exponent < 600.0 else math.inf
    if not math.isfinite(square) or not math.isfinite(slope):
        return 0.0
    return slope * slope * step / (square * math.sqrt(0.5 * math.pi))


@jit
def efficient_scale(alpha, efficiency):
    """The smallest k >= 1 with the efficiency, by bisection."""
    if gaussian_efficiency(alpha, 1.0) >= efficiency:
        return 1.0
    low = 1.0
    high = 2.0
    while gaussian_efficiency(alpha, high) < efficiency and high < 1e8:
        low = high
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if gaussian_efficiency(alpha, middle) < efficiency:
            low = middle
        else:
            high = middle
    return high

"""Tukey's bisquare, the loss of the high-breakdown scale: 1 - (1 - (u/k)²)³ inside [-k, k], 1 outside.

Sources: A. E. Beaton, J. W. Tukey, Technometrics 16 (1974); P. J. Rousseeuw, V. J. Yohai, Robust Regression by Means
of S-Estimators (1984). With k = 1.5476 its mean is 1/2 at the standard normal: breakdown 1/2 and consistency at once.
"""

from sklearn_robust._loss.jit import jit_part

TUNING = 1.547644980928226
BREAKDOWN = 0.5
# A tuning that gives clean rows nearly full weight, and E w z² / E w at the standard normal there.
WIDE_TUNING = 4.685
WIDE_MEAN = 0.828073003389393


@jit_part
def bisquare(v):
    """The bounded loss, in [0, 1], of v = u / k."""
    rest = 1.0 - v * v if v * v < 1.0 else 0.0
    return 1.0 - rest * rest * rest


@jit_part
def bisquare_weight(v):
    """Its IRLS weight, 1 at 0."""
    rest = 1.0 - v * v if v * v < 1.0 else 0.0
    return rest * rest


@jit_part
def bisquare_slope(v):
    """The derivative of u times the weight."""
    rest = 1.0 - v * v if v * v < 1.0 else 0.0
    return rest * (rest - 4.0 * (v * v))

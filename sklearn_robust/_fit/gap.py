"""A gap among the sizes of numbers that no tail leaves.

Of a tail that falls off as x^-a, k times the logarithm of the ratio of the k-th largest to the next is exponential of
rate a (A. Rényi, Acta Mathematica Hungarica 4, 1953), and no law here has a smaller one than Cauchy's.
"""

import numpy as np

# The index of the heaviest tails, nearly Cauchy's, and what chance hardly ever has the evidence of.
_TAIL, _SURE = 0.85, 4.0


def are_gaps(logs, counts) -> np.ndarray:
    """Which steps (k,) between falling logarithms of sizes (k + 1,), of as many rows (k,) each, are such gaps."""
    counts = np.cumsum(counts)
    ranks = np.maximum(counts, 1.0)  # the chances of a gap at any, over k (k + 1) or how many there are, add up to one
    evidence = _TAIL * counts * (logs[:-1] - logs[1:])
    return evidence - np.log(np.minimum(ranks * (ranks + 1.0), ranks[-1])) > _SURE

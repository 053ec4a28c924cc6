"""The Hessian of the fit and the gram of the rows' scores at its end: bread and meat of the covariance.

Both are in (theta / c, log c, alpha, logit share), the law only where it is free to move. After Newton's steps the
Hessian is there already, and the meat is one more pass; where rows are many, both come from a random part of them, but
for the Hessian at alpha = 2, which is known from all. Not where a few rows carry much of either: what is known of all
rows tells.
"""

from dataclasses import dataclass

import numpy as np

from sklearn_robust._fit.objective import Objective, Point
from sklearn_robust._fit.ridge import Inverse
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.spread import spread_index
from sklearn_robust._rows.sums import CURVATURE, FITTED, FITTED_SQUARES, ONES, PULLS, SCALE, SQUARES, WEIGHTS, Sums

# The part has at least so many entries, rows a coefficient (or nearly), and this fraction of the rows; at most another,
# and half a number for each row.
_FEW_ENTRIES, _ROWS_A_COEFFICIENT, _LEAST_ROWS_A_COEFFICIENT, _PARTS, _LARGEST_PART = 2**16, 50, 40, 80, 12
# So many rows of equal leverage are enough to say how a column spreads: every fourth is counted.
_ENOUGH_ROWS, _STRIDE = 500.0, 4
_COLUMNS = 64  # looked at together
# By how much sums of a part may differ from those of all rows, beyond what chance makes of Gaussian columns.
_UNLIKE = 0.15


@dataclass(frozen=True)
class Sandwich:
    """Bread and meat (m, m), which of (log c, alpha, logit share) are in them, and a basis of what the rows determine.

    ``determined`` (q,) says which coefficients are. Means over the rows: ``curvature`` of psi_prime c², ``pull`` of
    (psi c)², ``weight`` of the loss's weight, and ``explained`` of this times the squared fitted values around theirs.
    """

    bread: np.ndarray
    meat: np.ndarray
    free: tuple[int, ...]
    basis: np.ndarray | None
    determined: np.ndarray
    curvature: float
    pull: float
    weight: float
    explained: float


def sandwich(objective: Objective, policy, point: Point, seed: int, curvatures=None) -> Sandwich:
    """Bread and meat at the last point of a fit; ``curvatures`` are those of all rows near it, if any are known."""
    theta, law, q = point.theta, point.law, len(point.theta)
    free = policy.free(objective, point.sums.scalars, law)
    rows, curved = _enough(objective.rows, seed), None
    factor = objective.total / rows.total_weight
    if rows is not objective.rows:
        curved = rows.sweep(theta, law.of_rows(), cpu.HESSIAN, objective.learns)[0]
        if not _is_like_all(objective, point, rows, curved, factor, curvatures):
            rows, curved, factor = objective.rows, None, 1.0
    scale = factor
    if point.want == cpu.HESSIAN:
        curved, scale = point.sums, 1.0
    elif curved is None:
        curved = rows.sweep(theta, law.of_rows(), cpu.HESSIAN, objective.learns)[0]
    bread = np.zeros((q + 3, q + 3))
    bread[:q, :q] = scale * curved.gram + np.diag(objective.penalty)
    if not objective.penalised:  # with a penalty the law has an objective of its own
        bread[q:, :q] = scale * curved.cross
        bread[:q, q:] = bread[q:, :q].T
    if free:
        turn = np.eye(3)  # from (kappa, alpha, logit share)
        turn[1, 0] = -policy.turned(law, free, 1.0, 0.0, 0.0)[1]
        bread[q:, q:] = turn @ policy.hessian(objective, point.sums.scalars, law, free) @ turn.T
    sums = rows.sweep(theta, law.of_rows(), cpu.MEAT, objective.learns)[0]
    meat = factor * (sums.gram - np.outer(sums.score, sums.score) / rows.total_weight)
    kept = [*range(q), *(q + k for k in free)]
    basis = objective.inverse.basis
    determined = np.ones(q, dtype=bool)
    if isinstance(objective.inverse, Inverse) and objective.inverse.vectors is not None:
        determined = (objective.inverse.vectors**2).sum(axis=1) > 1.0 - 1e-6
    means = sums.scalars / rows.total_weight
    explained = means[FITTED_SQUARES] - (means[FITTED] ** 2 / means[ONES] if means[ONES] > 0.0 else 0.0)
    pick = np.ix_(kept, kept)
    curvature, pull, weight = map(float, means[[CURVATURE, PULLS, WEIGHTS]])
    if law.alpha == 2.0 and law.share == 0.0:  # known from all rows
        pull = float(point.sums.scalars[SQUARES]) / objective.total
    return Sandwich(bread[pick], meat[pick], free, basis, determined, curvature, pull, weight, float(explained))


def _is_like_all(objective: Objective, point: Point, part: Rows, found: Sums, factor: float, curvatures) -> bool:
    """Whether what a part of the rows found is what all rows find, but for chance: no few rows carry much of it."""
    size = float(point.sums.scalars[SCALE])
    if not abs(factor * float(found.scalars[SCALE]) - size) <= _UNLIKE * abs(size):
        return False
    pairs, gram = [], point.curved_gram(curvatures)
    if not objective.learns:
        pairs.append((objective.inverse, part.once("plain", part.gram)))
    elif gram is None:  # and the inverse is that of a part
        return False
    if gram is not None:
        pairs.append((Inverse.of(gram, np.zeros(len(gram))), found.gram))
    chance = _UNLIKE / 3.0 + 4.0 * np.sqrt(len(point.theta) / len(part))
    return all(_agree(inverse, factor * gram, chance) for inverse, gram in pairs)


def _agree(inverse, gram, chance: float) -> bool:
    """Whether a gram (q, q) is the one that was inverted, in every direction, up to a fraction."""
    if not isinstance(inverse, Inverse) or inverse.cholesky is None:
        return False
    ratios = np.linalg.eigvals(np.column_stack([inverse @ column for column in gram.T])).real
    return bool(np.abs(np.log(np.maximum(ratios, 1e-300))).max() <= np.log1p(chance))


def _enough(rows: Rows, seed: int) -> Rows:
    """All rows, or where they are many a random part that is enough for every column."""
    n, q = len(rows), rows.frame.n_coefs
    size = max(_FEW_ENTRIES // q, _ROWS_A_COEFFICIENT * q, n // _PARTS)
    most = n // _LARGEST_PART + n // (2 * q)
    if size > most:  # not much of X is to be copied
        size = most
        if size < max(_FEW_ENTRIES // q, _LEAST_ROWS_A_COEFFICIENT * q):
            return rows
    part = rows.part("inferred", lambda: spread_index(n, size, np.random.default_rng(seed)), seed)
    return part if rows.once("enough", lambda: _has_enough(part), seed) else rows


def _has_enough(part: Rows) -> bool:
    """Whether every column of a part has a spread that does not rest on a few rows."""
    for first in range(0, part.X.shape[1], _COLUMNS):
        columns = slice(first, first + _COLUMNS)
        total, leverage = part.spreads(_STRIDE, columns)
        enough = (total > 0.0) & (total * total >= _ENOUGH_ROWS / _STRIDE * leverage)
        if not (enough | np.isinf(part.frame.scale[columns])).all():
            return False
    return True

"""Whether a fit has left where it began for clearly larger residuals of most rows, or began where it should not."""

import math

import numpy as np

from sklearn_robust._fit.copies import has_more_different, share_of_different
from sklearn_robust._fit.gap import are_gaps
from sklearn_robust._fit.lost import has_lost, regained
from sklearn_robust._fit.objective import NORMAL_QUARTILE, Law, Objective, Point, quartile
from sklearn_robust._fit.result import FitResult
from sklearn_robust._fit.start import Start, is_rounding, witnesses
from sklearn_robust._loss.rho import weight
from sklearn_robust._rows.aside import beyond
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.frame import median
from sklearn_robust._rows.sums import DIRTY

# A share that is next to nothing, and how many rows: of many, fewer than one in a thousand may be outliers.
VANISHED, _LESS_THAN_A_ROW = 1e-3, 0.9
# What chance hardly ever makes: by how much a row of all costs more than one of a part, over the root of how many are
# in that (ten times what the cost of Gaussian noise varies, four times that of Cauchy's); how much smaller alpha is; by
# how many of their quartile ranges coefficients differ from those of the part, and where the squares of a column are so
# many times those of the part; and where the part's alpha is nearly 2, how far out a row lies.
_SURPRISING, _HEAVIER, _MOVED, _LARGER, _MOVED_BY_FAR_ROWS = 7.0, 0.3, 7.5, 1.5, 2.2
_GAUSSIAN, GROSS = 1.9, 7.0
# How far out rows may be outliers, and where no tail has begun.
FAR_ENOUGH, _NO_TAIL = 3.5, 1.5
_LARGEST_LOG = 690.0  # of 1 + r
# With fewer rows a coefficient nothing is told apart.
FEW_ROWS_A_COEFFICIENT = 3.0
# A fit is ruled by rows this many scales from the start's, if it brought them this much nearer.
_FAR, _PLEASED = 6.0, 0.5


def has_vanished(objective: Objective, point: Point) -> bool:
    """Whether there is next to nothing in a background, or no telling it from the rows."""
    return is_empty(objective, point) or is_lost(point.law)


def is_empty(objective: Objective, point: Point) -> bool:
    """Whether there is not even a row in a background."""
    return float(point.sums.scalars[DIRTY]) < min(VANISHED * objective.total, _LESS_THAN_A_ROW)


def is_lost(law: Law) -> bool:
    """Whether the law is wider than its background: with few rows J falls without end as c grows, for -d log c."""
    return not law.c < law.width


def has_left(objective: Objective, theta, law: Law, point: Point) -> bool:
    """Whether a flexible fit left theta and a robust law for a wide one, with clearly larger residuals of most rows.

    J counts log c for S - d rows alone, so a law so wide that outliers are bent to gains by each of the d others.
    """
    lost = has_vanished(objective, point) if law.share > 0.0 else point.law.alpha > law.alpha
    if not (objective.flexible and objective.learns and lost and point.law.c > law.c):
        return False
    q = objective.n_coefs
    before, after = (objective.rows.m_scale(at, q) for at in (theta, point.theta))
    return after > near_scale(objective.total, q) * before


def start_of_all(objective: Objective, policy, theta, law: Law, part: FitResult, point: Point, known) -> Start | None:
    """Where all rows begin again if their fit shows that the part, which is (theta, law), knew too little of them.

    ``known`` are curvatures of all rows near the point, if any.
    """
    surprised = _is_surprised(objective, policy, theta, law, part, point, known)
    may_lose = policy.learns and law.share > 0.0
    if not surprised and not (may_lose and has_lost(objective, point, known or part.curvatures)):
        return None
    began = theta if surprised else point.theta
    scale = objective.rows.m_scale(began, objective.n_coefs)
    found = regained(objective, began, scale)
    if found is not None:
        return Start(found, objective.rows.m_scale(found, objective.n_coefs))
    return Start(began, scale) if surprised else None


def _is_surprised(objective: Objective, policy, theta, law: Law, part: FitResult, point: Point, found) -> bool:
    """Whether all rows, begun at theta without a background, have outliers that the fit of a part knew nothing of.

    They cost a row more than chance would, or move the coefficients farther, or their tails are heavier, or one is
    farther out than Gaussian noise comes, or than any tail reaches. ``found`` are the curvatures that the last pass
    with them found, if any: where the gram is larger than that of the part, some rows are far out in X, and
    coefficients that move less are a sign as well.
    """
    if not policy.learns or objective.flexible or law.share > 0.0 or point.law.share > 0.0:
        return False
    here = _of_a_row(objective.value(point), objective.total, objective.dof, point.law)
    there = _of_a_row(part.history[-1].objective, part.total, part.dof, part.point.law)
    if here - there > _SURPRISING / math.sqrt(part.total) or law.alpha - point.law.alpha > _HEAVIER:
        return True
    quarter = law.c * quartile(law.alpha)
    errors = quarter * np.sqrt(objective.inverse.variances * objective.total / part.total)
    gram = point.curved_gram(found)
    has_far_rows = False
    if part.curvatures is not None and isinstance(gram, np.ndarray):
        has_far_rows = bool((gram.diagonal() > _LARGER * part.curvatures[0].diagonal()).any())
    if (np.abs(point.theta - theta) > (_MOVED_BY_FAR_ROWS if has_far_rows else _MOVED) * errors).any():
        return True
    if policy.low == 2.0:
        return False
    scale = quarter / NORMAL_QUARTILE
    sizes, counts, nearest = _far_rows(objective.rows, point, GROSS * scale)
    return len(sizes) > 0 and (law.alpha >= _GAUSSIAN or _breaks_off(sizes, counts, nearest, scale))


def _of_a_row(value: float, total: float, dof: float, law: Law) -> float:
    """What a row costs in J, if log c counted for all rows."""
    return (value + (total - dof) * math.log(law.c)) / total


def has_gap(sizes, weights, scale: float, reach: float = FAR_ENOUGH) -> bool:
    """Whether there is a gap among residuals of these sizes (n,), from so many scales on, that no tail leaves."""
    far, nearest = beyond(sizes, reach * scale)
    return _breaks_off(sizes[far], weights[far] if weights.size else np.ones(len(far)), nearest, scale)


def _breaks_off(sizes, counts, nearest: float, scale: float) -> bool:
    """Whether there is such a gap among far residuals (k,) of as many rows, beyond the nearest of all others."""
    if not len(sizes):
        return False
    order = np.argsort(-sizes)
    return bool(are_gaps(np.log(np.append(sizes[order], max(nearest, _NO_TAIL * scale))), counts[order]).any())


def _far_rows(rows: Rows, point: Point, reach: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Sizes of the residuals beyond reach (k,), their sample weights (k,), and the largest size of the others.

    As the loss's weights tell, which are known already, or by a pass.
    """
    law = point.law
    if law.alpha < 2.0 and isinstance(point.weights, np.ndarray):
        far, nearest = beyond(point.weights, weight(reach, law.alpha, law.c), 1.0, falling=True)
        sizes = _sizes(np.append(point.weights[far], nearest), law)
        sizes, nearest = sizes[:-1], min(float(sizes[-1]), reach)
    else:
        far, sizes, nearest = rows.far(point.theta, reach)
    return sizes, rows.weights[far] if rows.weights.size else np.ones(len(far)), nearest


def _sizes(weights, law: Law) -> np.ndarray:
    """Sizes (n,) of residuals whose weights (n,) these are, of a law below alpha = 2; of 1e150 c at most."""
    log1p_r = np.minimum(2.0 / (law.alpha - 2.0) * np.log(np.maximum(weights, np.finfo(float).tiny)), _LARGEST_LOG)
    return law.c * np.sqrt((2.0 - law.alpha) * np.expm1(log1p_r))


def is_ruled(objective: Objective, start: Start, point: Point) -> bool:
    """Whether the fit has left the start for clearly larger residuals of most rows, to please some far outliers."""
    rows, q = objective.rows, objective.n_coefs
    if point.law.share >= VANISHED or objective.penalised or is_rounding(objective, start):
        return False
    if not has_more_different(rows, FEW_ROWS_A_COEFFICIENT * q):
        return False
    part = share_of_different(rows)
    n, rows = part * objective.total, witnesses(rows)
    reference = rows.residuals(start.theta)
    residuals = _recentred(rows, point.theta, reference)
    # clean data of any law hardly ever come so far
    if rows.scale_of(residuals, q) <= (1.1 + 5.0 * q / n) * start.scale:
        return False
    before, after, weights = np.abs(reference), np.abs(residuals), part * rows.all_weights
    pleased = (before > _FAR * start.scale) & (after < _PLEASED * before)
    return float(weights[pleased].sum()) >= max(4.0, 0.05 * float(weights.sum()))


def same_scale(n: float, q: float) -> float:
    """By how much the robust scales of two good fits differ."""
    return 1.05 + q / n


def near_scale(n: float, q: float) -> float:
    """By how much the robust scale of the plain fit of clean data exceeds the start's, hardly ever more."""
    return 1.05 + 1.5 * q / n


def recentred_scale(rows: Rows, theta, reference, n_coefs: float) -> float:
    """The robust scale that the slopes give with the intercept nearest to residuals (n,) of reference."""
    return rows.scale_of(_recentred(rows, theta, reference), n_coefs)


def _recentred(rows: Rows, theta, reference) -> np.ndarray:
    """Residuals (n,) at theta with the intercept that brings them nearest to those of reference.

    Where noise is skewed, fits of equal slopes differ in what they call its centre.
    """
    residuals = rows.residuals(theta)
    if not rows.frame.fit_intercept:
        return residuals
    apart = residuals - reference
    if rows.noise.size:
        return residuals - median(apart * rows.noise, rows.weights) / rows.noise
    return residuals - median(apart, rows.weights)

"""Where a model of kernels begins, and how strong its penalty is.

A model that can follow single rows hides its outliers: least squares passes close to them, and so would any start from
there. So the start is rigid, with a penalty that leaves one degree of freedom to many rows, where outliers show. From
there the penalty falls to the wanted one by factors of ten, and the weights of the rows go with it.

The penalty ``"auto"`` maximises the marginal likelihood of f ~ b + Gaussian process of covariance (c² / λ) k, at the
robust weights ω of the rows and profiled over c, b with a flat prior; it minimises over λ

    (N - 1) log q(λ) + Σ_j log(1 + e_j / λ),    q(λ) = min_f [Σ ω (y - f)² + λ a'K a]

e_j the eigenvalues of the centred gram of the features with weights ω, N the number of different rows believed.
C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, sections 2.7 and 5.4.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from sklearn_robust._fit.background import has_few_rows
from sklearn_robust._fit.irls import IRLS
from sklearn_robust._fit.objective import NORMAL_QUARTILE, Law, Objective, Point
from sklearn_robust._fit.ridge import Inverse
from sklearn_robust._fit.start import Start, annealed, ols
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.frame import median
from sklearn_robust._rows.kernels import KernelRows
from sklearn_robust._rows.spread import spread_index
from sklearn_robust._rows.sums import SCALE

# Rows for each degree of freedom at the rigid start, and where a background is looked for.
_RIGIDITY, _STIFFNESS = 8.0, 4.0
# The penalty falls by a factor a stage, and the degrees of freedom grow by no more than another.
_FALL, _FREED, _SAME, _SAME_STRENGTH = 10.0, 2.0, 0.1, 1e-9
_MAX_STAGES, _STEPS = 20, 4
_MAX_REPEATS, _STILL_FALLING = 10, 0.98
_MIN_ROWS, _ROWS_A_COLUMN = 2000, 8
# Strengths whose costs differ by less are equally likely, as all are where each row stands alone: the largest is taken.
_FLAT = 1e-6
_LEAST_STRENGTH = 1e-10
_STRENGTHS = np.logspace(-8.0, 4.0, 193)  # in units of the largest eigenvalue
# Losses of (alpha, c over the robust scale) on the way to a rigid fit; the last goes on to the wanted penalty. The
# scale is too large where two fifths are outliers: from least absolute deviations a small c leads to the majority.
_WAYS = {
    "gnc": [(1.0, 1.0 / NORMAL_QUARTILE), (1.0, 0.1), (-2.0, 0.5), (-2.0, 1.0 / NORMAL_QUARTILE)],
    "lad": [(1.0, 1.0), (1.0, 0.1)],
}


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (r,) of a centred weighted gram, what they share of y (r,), Σ ω y², N, and whether b is there."""

    values: np.ndarray
    shares: np.ndarray
    squares: float
    count: float
    intercept: bool

    @classmethod
    def of(cls, objective: Objective, point: Point) -> "Spectrum":
        """At a point with its gram, in raw units of the features."""
        rows, frame = objective.rows, objective.rows.frame
        gram, theta, c = point.sums.gram, point.theta, point.law.c
        score = c * point.sums.score
        right = gram @ theta + score
        squares = float(theta @ (right + score)) + c * (c * float(point.sums.scalars[SCALE]))
        if frame.fit_intercept:
            lever = gram[0] / gram[0, 0]
            squares -= lever[0] * right[0] ** 2 / gram[0, 0]
            right = (right - lever * right[0])[1:]
            gram = (gram - np.outer(lever, gram[0]))[1:, 1:]
        scale = np.where(np.isfinite(frame.scale), frame.scale, 0.0)
        values, vectors = eigh(gram * scale * scale[:, None])
        weights = np.asarray(point.weights)
        typical = median(weights, rows.weights)
        counted = np.minimum(weights / typical, 1.0) if typical > 0.0 else np.ones(len(rows))
        sizes = rows.all_weights
        count = n_draws(rows) * float(sizes @ counted / sizes.sum())
        shares = (vectors.T @ (right * scale)) ** 2
        return cls(np.maximum(values, 0.0), shares, max(squares, 0.0), count, frame.fit_intercept)

    def dof(self, strengths) -> np.ndarray:
        """The degrees of freedom d at strengths (k,)."""
        strengths = np.asarray(strengths)[..., None]
        return self.intercept + (self.values / (self.values + strengths)).sum(axis=-1)

    @property
    def strengths(self) -> np.ndarray:
        """Where to look for one."""
        return _STRENGTHS * (self.values.max() or 1.0)

    def likeliest(self, most: float = np.inf) -> float:
        """The strength of largest marginal likelihood, none far above ``most``."""
        strengths = self.strengths
        strengths = strengths[: max(int(np.searchsorted(strengths, most)) + 1, 2)]
        left = np.maximum(self.squares - (self.shares / (self.values + strengths[:, None])).sum(axis=1), 0.0)
        left = np.maximum(left, 1e-14 * max(self.squares, 1e-300))
        costs = (self.count - self.intercept) * np.log(left)
        costs += np.log1p(self.values / strengths[:, None]).sum(axis=1)
        costs[np.isnan(costs)] = np.inf  # of one absurd y
        best = int(np.flatnonzero(costs <= costs.min() + _FLAT)[-1])
        if not 0 < best < len(costs) - 1:
            return float(strengths[best])
        before, here, after = costs[best - 1 : best + 2]
        bend = before - 2.0 * here + after
        shift = 0.5 * (before - after) / bend if bend > 0.0 else 0.0
        return float(strengths[best] * (strengths[1] / strengths[0]) ** shift)

    def fallen(self, strength: float, reach: float = _FALL) -> float:
        """The next strength on the way down: by a factor, or less of a fall where that would free more directions."""
        steps = np.geomspace(strength, strength / reach, 25)
        return float(steps[self.dof(steps) <= _FREED * self.dof(strength)][-1])

    def rigid(self, total: float) -> float:
        """The likeliest strength, or one that leaves so few degrees of freedom that outliers show.

        Outliers make the likeliest strength larger, as all noise does.
        """
        return max(self.freeing(total / _RIGIDITY), self.likeliest())

    def freeing(self, dof: float) -> float:
        """The least strength that leaves no more degrees of freedom, or at least the largest."""
        few = self.dof(self.strengths) <= max(dof, self.intercept + 1.0)
        return float(self.strengths[np.argmax(few)] if few.any() else self.strengths[-1])


def n_draws(rows: Rows) -> int:
    """How many draws of the noise there are: a row twice, or of weight 2, is one, since both draws gave the same."""
    return len(draws(rows))


def draws(rows: Rows) -> np.ndarray:
    """Row numbers of the draws of the noise, in the order of y."""
    order = np.argsort(rows.y, kind="stable")
    same = np.diff(rows.y[order]) == 0.0
    if not same.any():
        return order
    tied = np.concatenate(([False], same)) | np.concatenate((same, [False]))
    place = np.zeros(len(rows))
    place[order[tied]] = _places(rows, order[tied])
    order = np.lexsort((place, rows.y))
    apart = np.diff(place[order]) > 1e-9 * np.abs(place).max(initial=0.0)
    return order[np.concatenate(([True], apart | (np.diff(rows.y[order]) != 0.0)))]


def _places(rows: Rows, index) -> np.ndarray:
    """A number for each of some rows (m,), the same where their values of the kernel are."""
    if isinstance(rows, KernelRows):  # the sums of whose rows are zero
        return (rows.X @ np.cos(np.arange(len(rows))))[index]
    return rows.X[index].sum(axis=1)


def flexible_start(rows: Rows, strength: float | None, init: str, seed: int) -> tuple[float, Start]:
    """The strength, chosen for None, and the start of rows of features that ``init`` names."""
    n, unit = len(rows), rows.frame.noise_unit**2
    given = None if strength is None else rows.frame.working_strength(strength)
    size = max(_MIN_ROWS, _ROWS_A_COLUMN * rows.frame.n_coefs)
    some = rows.take(spread_index(n, size, np.random.default_rng(seed))) if n > size else rows
    share = len(some) / n  # with so many of the rows, this part of the penalty gives the same fit
    gram, none = some.gram(), np.zeros(some.frame.n_coefs)

    def objective_at(strength: float) -> Objective:
        penalty = some.frame.penalty(strength / unit)
        inverse = Inverse.of(gram, penalty)
        total = some.total_weight
        return Objective(some, penalty, inverse, 1.0, total, total - float(plain.dof(strength)), False)

    first = Objective(some, none, Inverse.of(gram, none), 1.0, some.total_weight, 0.0, False)
    plain = Spectrum.of(first, first.at(none, Law(2.0, 1.0), cpu.GRAM))
    # a start needs no smaller strength, at which directions that the rows do not have would be rounding errors
    wanted = None if given is None else max(share * given, _LEAST_STRENGTH * float(plain.values.max(initial=0.0)))
    found, start = _fallen(objective_at, plain, wanted, _WAYS["lad" if init == "lad" else "gnc"])
    if init == "ols":
        start = ols(objective_at(found))
    final = found if given is None else given
    if some is not rows:
        if given is None:  # of which fewer are there more than once
            final *= (n_draws(some) / len(some)) / (n_draws(rows) / n)
        start = Start(start.theta, rows.m_scale(start.theta, float(plain.dof(share * final))))
    return final / unit, start


def is_soft(objective: Objective) -> bool:
    """Whether there are fewer rows for each degree of freedom than a stiff fit has."""
    return _STIFFNESS * objective.n_coefs > objective.total


def stiff_strength(objective: Objective) -> float:
    """The strength, in units of the penalty's, that leaves four rows for each degree of freedom."""
    none = np.zeros(len(objective.penalty))
    plain = Spectrum.of(objective, objective.at(none, Law(2.0, 1.0), cpu.GRAM))
    return plain.freeing(objective.total / _STIFFNESS) / objective.rows.frame.noise_unit**2


def lowered(objective: Objective, strength: float, given: float | None, point: Point, objective_at, walk, far: bool):
    """The objective and point with the given strength, or the likeliest without outliers, from a fit that found some.

    ``objective_at(strength)`` makes another, ``walk(objective, theta, law)`` a fit with it; ``far`` allows strengths
    that leave nothing to learn a law from.
    """
    unit = objective.rows.frame.noise_unit**2
    for _ in range(_MAX_STAGES):
        here = objective.at(point.theta, point.law, cpu.GRAM)
        if not np.isfinite(here.sums.gram).all():  # the loss overflows: a warning will tell
            break
        spectrum = Spectrum.of(objective, here)
        goal = spectrum.likeliest(_FALL * strength * unit) / unit if given is None else given
        following = _no_lower(spectrum.fallen(strength * unit) / unit, goal)
        if abs(np.log(following / strength)) < _SAME if given is None else following == strength:
            break
        there = objective_at(following)
        arrived = walk(there, point.theta, point.law)
        if not far and has_few_rows(there, arrived.law.share):
            break
        objective, strength, point = there, following, arrived
    return objective, strength, point


def _no_lower(strength: float, goal: float) -> float:
    """A strength on the way down to a goal: both stand on grids, and may differ by their rounding alone."""
    return strength if strength > (1.0 + _SAME_STRENGTH) * goal else goal


def _fallen(objective_at, plain: Spectrum, given: float | None, way) -> tuple[float, Start]:
    """From a rigid fit to the given strength, or to the likeliest."""
    now = max(plain.rigid(objective_at(1.0).total), given or 0.0)
    objective = objective_at(now)
    start = annealed(objective, ols(objective), way)
    for _ in range(_MAX_REPEATS):
        before, start = start, annealed(objective, start, way[-1:])
        if not start.scale < _STILL_FALLING * before.scale:
            break
    alpha, factor = way[-1]
    reach, falls = _FALL, True
    for _ in range(_MAX_STAGES):
        if start.scale == 0.0:
            break
        law, goal = Law(alpha, factor * start.scale), given
        if goal is None:
            goal = Spectrum.of(objective, objective.at(start.theta, law, cpu.GRAM)).likeliest(reach * now)
        if (goal <= now) != falls:  # the likeliest strength answers to weights that answer to it
            reach, falls = np.sqrt(reach), not falls
        following = _no_lower(plain.fallen(now, reach), goal) if goal <= now else min(goal, reach * now)
        if abs(np.log(following / now)) < _SAME if given is None else following == now:
            break
        now = following
        objective = objective_at(now)
        theta, solver = start.theta, IRLS()
        for _ in range(_STEPS):
            theta = solver.coefficients(objective, objective.at(theta, law, cpu.GRAM))
        start = Start(theta, objective.rows.m_scale(theta, objective.n_coefs))
    return now, start

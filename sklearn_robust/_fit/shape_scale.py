"""What happens to the law (alpha, c, share of a background) that is learned from the residuals.

``Learned`` lowers J = Σ s [rho + log Z(alpha)] + (S - d) log c. alpha = 2 is a point apart: there both d rho / d alpha
and (log Z)' are infinite, and for d > 0 J has a narrow dip, so it is compared in closed form, c² = Σ s r² / (S - d),
and J may have another minimum at some distance: ``other_basin`` names where to look. Near it J is a narrow bent valley
in (log c, alpha): c has to make up for what alpha does to Gaussian residuals. Newton's steps therefore run in

    (kappa, alpha),   kappa = log c - h(alpha),   h = (b/4) (log b - E z log z),   E z log z = 2 - gamma - log 2

where b = |alpha - 2| and h is how log c answers to alpha at Gaussian noise, to first order in b. With a background the
logit of its share is a third coordinate; alpha = 2 then has no closed form, and is tried where a step asks for it.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dsyev

from sklearn_robust._fit.objective import (
    NORMAL_QUARTILE,
    Law,
    Objective,
    Point,
    log_partition_curvature,
    log_partition_slope,
    logit,
    quartile,
)
from sklearn_robust._rows import cpu
from sklearn_robust._rows.sums import (
    DIRTY,
    LOSS,
    SCALE,
    SCALE_SCALE,
    SCALE_SHAPE,
    SHAPE,
    SHAPE_SHAPE,
    SHARED,
    SHARED_SCALE,
    SHARED_SHAPE,
    SQUARES,
)

_GRID = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 6.0)
_PROFILE_TOL = 0.1
# What better coefficients gain in J, a coefficient, between two laws that fit alike.
_ALLOWANCE = 0.15
# By how much that gain may have been underestimated.
_GENEROUS = 1.5
# By how much the width of a law may exceed the robust scale of the residuals, where a flexible fit begins.
_TOO_WIDE = 2.0
_MAX_HALVINGS = 30
# Between these the share of a background is learned.
_LEAST_SHARE, LARGEST_SHARE = 1e-5, 0.5
_SHARE_REACH = 2.0
_SETTLED, _OUTLOOK = 1e-3, 4.0
_NORMAL_MEAN_Z_LOG_Z = 2.0 - np.euler_gamma - np.log(2.0)


class _Reading(NamedTuple):
    """A law at known residuals: the scalars of ``sums`` (11,), and J."""

    law: Law
    scalars: np.ndarray
    value: float

    @classmethod
    def of(cls, objective: Objective, residuals, law: Law) -> "_Reading":
        scalars, values = objective.line2(residuals, [law])
        return cls(law, scalars[0], float(values[0]))


@dataclass(frozen=True)
class Learned:
    """Alpha in [low, high] and c >= c_min learned from the residuals; c_min given, or a matter of rounding.

    The share of a background is ``contamination``: held, or for None learned where the data call for one.
    """

    low: float
    high: float
    c_min: float
    floor_given: bool = False
    contamination: float | None = 0.0

    learns = True
    measures_start = False

    def start(self, objective: Objective, theta, scale: float) -> Law:
        """The best alpha of a coarse grid, each with its own c."""
        if objective.dof <= 0.0:
            return Law(min(max(2.0, self.low), self.high), self.c_min)
        return self.start_at(objective, objective.rows.residuals(theta), scale)

    def start_at(self, objective: Objective, residuals, scale: float) -> Law:
        """The same at known residuals."""
        grid = {min(max(alpha, self.low), self.high) for alpha in (*_GRID, self.low, self.high)}
        grid.update(self._below_two(objective))
        # the c that puts the quartile of the law where a Gaussian of this scale has it
        laws = [Law(alpha, max(scale * NORMAL_QUARTILE / quartile(alpha), self.c_min)) for alpha in sorted(grid)]
        laws, values = self._profile(objective, residuals, laws)
        if objective.flexible and scale > 0.0:  # J rewards a law that is too wide, for each degree of freedom
            wide = np.array([law.c * quartile(law.alpha) for law in laws]) > _TOO_WIDE * NORMAL_QUARTILE * scale
            values = np.where(wide & ~wide.all(), np.inf, values)
        best = int(np.argmin(values))
        if laws[best].alpha != 2.0:
            return laws[best]
        rivals = [k for k in range(best) if values[k] < values[best] + _ALLOWANCE * objective.n_coefs]
        return laws[min(rivals, key=lambda k: values[k], default=best)]

    def widened(self, objective: Objective, law: Law) -> Law:
        """Where all rows begin after a part of them ended at a law: where that is alpha = 2, just below it."""
        below = self._below_two(objective)
        if law.alpha != 2.0 or not below:
            return law
        return law._replace(alpha=below[0], c=max(law.c * float(np.exp(self._bend(below[0])[0])), self.c_min))

    def below_two(self, objective: Objective) -> float:
        """The shape nearest to the Gaussian's that steps may leave again."""
        return max(self.low, min(self.high, 2.0 - self._dip(objective)))

    def _below_two(self, objective: Objective) -> list[float]:
        """Shapes at which a minimum of J below alpha = 2 shows itself beyond the dip there, the nearest first."""
        if self.high != 2.0 or objective.dof <= 0.0:
            return []
        gaps = (self._dip(objective) * 4.0**k for k in range(6))
        return [2.0 - gap for gap in gaps if 2.0 - gap > self.low]

    @property
    def least_alpha(self) -> float:
        """The smallest shape that is allowed."""
        return self.low

    def _dip(self, objective: Objective) -> float:
        """How far below alpha = 2 the dip of J may reach."""
        return max(5.0 * objective.n_coefs, float(np.sqrt(objective.total))) / objective.total

    def clip(self, law: Law) -> Law:
        """The nearest law that is allowed."""
        return law._replace(alpha=min(max(law.alpha, self.low), self.high), c=max(law.c, self.c_min))

    def between(self, law: Law, other: Law) -> Law:
        """Half way from a law to another."""
        return Law(*(0.5 * (a + b) for a, b in zip(law, other, strict=True)))

    def at_floor(self, law: Law) -> bool:
        """Whether the scale reached its floor."""
        return law.c <= self.c_min

    def step(self, objective: Objective, theta, law: Law) -> Law:
        """One safeguarded Newton step in (alpha, log c) at theta; alpha = 2 where its closed form is lower."""
        if objective.dof <= 0.0:
            return law
        residuals = objective.rows.residuals(theta)
        return self._stepped(objective, residuals, _Reading.of(objective, residuals, law)).law

    def _stepped(self, objective: Objective, residuals, reading: _Reading) -> _Reading:
        """The same at known residuals."""
        moved = self._newton(objective, residuals, reading)
        square = self.least_squares(objective, reading.scalars, reading.law)
        if square is None or self.least_squares_value(objective, square) > moved.value:
            return moved
        return _Reading.of(objective, residuals, square)

    def settled(self, objective: Objective, residuals, laws: list[Law], goal: float = np.inf) -> tuple[Law, float]:
        """The law at a minimum of J at known residuals, from the best of some, and J there.

        Given up where J falls too slowly to reach the goal.
        """
        scalars, values = objective.line2(residuals, laws)
        best = int(np.argmin(values))
        reading = _Reading(laws[best], scalars[best], float(values[best]))
        for _ in range(_MAX_HALVINGS):
            before, reading = reading, self._stepped(objective, residuals, reading)
            fall = before.value - reading.value
            arrived = reading.law.alpha == 2.0 != before.law.alpha  # share and c have not moved yet
            if not arrived and (fall < _SETTLED or reading.value - _OUTLOOK * fall > goal):
                break
        return reading.law, reading.value

    def other_basin(self, objective: Objective, point: Point, from_below: bool) -> Law | None:
        """On which law another minimum of J might lie: alpha = 2 seen from below, or the best smaller alpha from there.

        Both are judged at the present coefficients, with an allowance for what their own coefficients would gain.
        """
        law = point.law
        if self.high != 2.0 or self.low == 2.0 or objective.dof <= 0.0 or self.at_floor(law):
            return None
        value = objective.value(point)
        if law.share > 0.0:
            return self._lower_below(objective, point) if law.alpha == 2.0 and not from_below else None
        if law.alpha != 2.0:
            square = Law(2.0, self.least_squares_c(objective, point.sums.scalars, law))
            b = 2.0 - law.alpha  # of the loss, psi differs from least squares by x (1 - w), 1 - w ~ (b/2) log b
            allowance = min(_ALLOWANCE, 5.0 * (0.5 * b) ** 2 * (1.0 + float(np.log(b)) ** 2))
            if self.least_squares_value(objective, square) >= value + allowance * objective.n_coefs:
                return None
            there = objective.at(point.theta, square, cpu.SCORE)
            gain = 0.5 * _GENEROUS * float(there.gradient @ (objective.inverse @ there.gradient))
            return square if self.least_squares_value(objective, square) - gain < value else None
        if from_below:
            return None
        alphas = [*self._below_two(objective), self.low]
        laws = [Law(alpha, law.c * float(np.exp(self._bend(alpha)[0]))) for alpha in alphas]
        laws, values = self._profile(objective, objective.rows.residuals(point.theta), laws)
        best = int(np.argmin(values))
        return laws[best] if values[best] < value + _ALLOWANCE * objective.n_coefs else None

    def _lower_below(self, objective: Objective, point: Point) -> Law | None:
        """A law below alpha = 2, where J with a background is lower just below it or falls as alpha does."""
        below, seen = self.widened(objective, point.law), point.sums.beside
        if seen is None:
            (seen,), _ = objective.line2(objective.rows.residuals(point.theta), [below])
        is_higher = float(seen[LOSS]) + objective.normaliser(below) >= objective.value(point)
        if is_higher and self._slopes(objective, seen, below)[0][1] <= 0.0:
            return None
        free = self.free(objective, seen, below)
        step = self._direction(objective, seen, below, free)
        return self.moved(below, self.shortened(below, step) * step, free)

    def gradient(self, objective: Objective, scalars, law: Law) -> float:
        """The largest slope of J in (log c, alpha, logit share) that no bound holds, per unit weight."""
        slopes, held = self._slopes(objective, scalars, law)
        sizes = [abs(slope) for slope, is_held in zip(slopes, held, strict=True) if not is_held]
        return (max(sizes, default=0.0) if sum(sizes) == sum(sizes) else math.nan) / objective.total

    def free(self, objective: Objective, scalars, law: Law) -> tuple[int, ...]:
        """Which of (log c, alpha, logit share) are free to move."""
        return tuple(k for k, held in enumerate(self._slopes(objective, scalars, law)[1]) if not held)

    def position(self, law: Law) -> np.ndarray:
        """(kappa, alpha, logit share)."""
        return np.array([np.log(law.c) - self._bend(law.alpha)[0], law.alpha, logit(law.share) if law.share else 0.0])

    def turned(self, law: Law, free: tuple[int, ...], along_scale, along_shape, along_share):
        """Derivatives in log c and so on as those in kappa and so on, a row each; alone, alpha moves at a held c."""
        bend = self._bend(law.alpha)[1] if 0 in free else 0.0
        return np.array([along_scale, along_shape + bend * along_scale, along_share])

    def slopes(self, objective: Objective, scalars, law: Law, free: tuple[int, ...]) -> np.ndarray:
        """The gradient of J in (kappa, alpha, logit share)."""
        return self.turned(law, free, *self._slopes(objective, scalars, law)[0])

    def hessian(self, objective: Objective, scalars, law: Law, free: tuple[int, ...]) -> np.ndarray:
        """The Hessian of J in (kappa, alpha, logit share)."""
        return np.array(self._hessian(objective, scalars.tolist(), law, free))

    def _hessian(self, objective: Objective, sums: list[float], law: Law, free: tuple[int, ...]):
        """The same as three lines, of the scalars as numbers."""
        _, slope, curvature = self._bend(law.alpha) if 0 in free else (0.0, 0.0, 0.0)
        scale = sums[SCALE_SCALE]
        cross = sums[SCALE_SHAPE] + slope * scale
        shape = 0.0
        if 1 in free:
            shape = sums[SHAPE_SHAPE] + objective.total * log_partition_curvature(law.alpha)
            shape += slope * (sums[SCALE_SHAPE] + cross) + curvature * (objective.dof - sums[SCALE])
        with_share = -sums[SHARED_SCALE], 0.0
        share = 0.0
        if 2 in free:
            share = objective.total * law.share * (1.0 - law.share) - sums[SHARED]
            if 1 in free:
                with_share = with_share[0], -sums[SHARED_SHAPE] - slope * sums[SHARED_SCALE]
        return (scale, cross, with_share[0]), (cross, shape, with_share[1]), (*with_share, share)

    def moved(self, law: Law, step, free: tuple[int, ...]) -> Law:
        """The law after a step in (kappa, alpha, logit share), inside the bounds."""
        if 2 in free:
            share = 1.0 / (1.0 + np.exp(-logit(law.share) - float(step[2])))
            law = law._replace(share=float(min(max(share, _LEAST_SHARE), LARGEST_SHARE)))
        alpha = min(max(law.alpha + float(step[1]), self.low), self.high)
        if alpha == 2.0 != law.alpha:  # a point apart: no derivative leads away from it
            alpha = law.alpha + 0.75 * (2.0 - law.alpha)
        if 0 not in free:
            return law._replace(alpha=alpha)
        log_step = step[0] + self._bend(alpha)[0] - self._bend(law.alpha)[0]
        return law._replace(alpha=alpha, c=max(law.c * float(np.exp(log_step)), self.c_min))

    def _bend(self, alpha: float) -> tuple[float, float, float]:
        """The answer h of log c to alpha and its derivatives; 0 where alpha may go far beyond 2."""
        b = abs(alpha - 2.0)
        if b == 0.0 or self.high > 2.0:
            return 0.0, 0.0, 0.0
        log_b = math.log(b) - _NORMAL_MEAN_Z_LOG_Z
        return 0.25 * b * log_b, math.copysign(0.25, alpha - 2.0) * (log_b + 1.0), 0.25 / b

    def shortened(self, law: Law, step) -> float:
        """The fraction of a step in (kappa, alpha, logit share) where J's model is trusted, short of alpha = 2."""
        of_alpha = _reach(law.alpha)
        if self.passes_two(law, step):
            of_alpha = min(of_alpha, 0.75 * (2.0 - law.alpha))
        reaches = zip((1.0, of_alpha, _SHARE_REACH), map(float, step), strict=True)
        return min(1.0, *(reach / max(abs(move), 1e-300) for reach, move in reaches))

    def least_squares(self, objective: Objective, scalars, law: Law) -> Law | None:
        """Alpha = 2 with its best c, where alpha may be 2 and no larger, and is so near that the dip has begun."""
        if law.share > 0.0 or self.high != 2.0 or objective.dof <= 0.0:
            return None
        if not 0.0 <= 2.0 - law.alpha <= 1.01 * self._dip(objective):
            return None
        return Law(2.0, self.least_squares_c(objective, scalars, law))

    def at_two(self, objective: Objective, law: Law) -> Law | None:
        """Alpha = 2 at the same kappa, where there is a background and alpha is near."""
        if law.share == 0.0 or 2.0 - law.alpha > 1.01 * self._dip(objective):
            return None
        return law._replace(alpha=2.0, c=max(float(np.exp(self.position(law)[0])), self.c_min))

    def passes_two(self, law: Law, step) -> bool:
        """Whether a step in kappa and so on asks for the largest shape, 2, or for more."""
        return self.high == 2.0 and law.alpha < 2.0 <= law.alpha + step[1]

    def least_squares_value(self, objective: Objective, law: Law) -> float:
        """J there: Σ s r² / (2 c²) is (S - d) / 2."""
        return 0.5 * objective.dof + objective.normaliser(law)

    def least_squares_c(self, objective: Objective, scalars, law: Law) -> float:
        """The best c at alpha = 2, given sums in units of law.c."""
        if objective.dof <= 0.0:
            return self.c_min
        return max(law.c * float(np.sqrt(scalars[SQUARES] / objective.dof)), self.c_min)

    def _slopes(self, objective: Objective, scalars, law: Law) -> tuple[tuple[float, ...], tuple[bool, ...]]:
        """The gradient in (log c, alpha, logit share), and which of the three is held."""
        scale = objective.dof - float(scalars[SCALE])
        apart = law.alpha == 2.0 or law.alpha == np.inf
        shape = 0.0 if apart else float(scalars[SHAPE]) + objective.total * log_partition_slope(law.alpha)
        at_bound = (law.alpha <= self.low and shape >= 0.0) or (law.alpha >= self.high and shape <= 0.0)
        scale_held = objective.dof <= 0.0 or (self.at_floor(law) and scale >= 0.0)
        share = objective.total * law.share - float(scalars[DIRTY])
        share_held = law.share == 0.0 or self.contamination is not None
        share_held = share_held or (law.share <= _LEAST_SHARE and share >= 0.0)
        share_held = share_held or (law.share >= LARGEST_SHARE and share <= 0.0)
        return (scale, shape, share), (scale_held, apart or at_bound, share_held)

    def _profile(self, objective: Objective, residuals, laws: list[Law]) -> tuple[list[Law], np.ndarray]:
        """Each law with the c that Σ s z w = S - d asks for, and J there.

        z w grows with z for alpha >= 0, so Newton's method in log c has one root. All laws share each pass; when the
        best ones have all but found their c, the last step and what it gains are taken from the quadratic model.
        """
        log_c, least = np.log([law.c for law in laws]), np.log(self.c_min)
        for _ in range(40):
            scalars, values = objective.line2(residuals, laws)
            curvature = np.maximum(scalars[:, SCALE_SCALE], 1e-3 * objective.dof)
            with np.errstate(invalid="ignore"):
                step = np.clip((scalars[:, SCALE] - objective.dof) / curvature, -2.0, 2.0)
            step = np.where(np.isnan(step), 2.0, step)  # inf / inf: sums that overflow ask for a larger c
            curvature = np.where(np.isfinite(curvature), curvature, 0.0)
            moved = np.maximum(log_c + step, least)
            move = moved - log_c
            values = np.where(np.isfinite(values), values - 0.5 * curvature * move**2, np.inf)
            laws = [law._replace(c=max(float(np.exp(at)), self.c_min)) for law, at in zip(laws, moved, strict=True)]
            if np.abs(move[values <= values.min() + 0.5 * objective.n_coefs]).max() < _PROFILE_TOL:
                break
            log_c = moved
        return laws, values

    def _newton(self, objective: Objective, residuals, reading: _Reading) -> _Reading:
        law, scalars, value = reading
        free = self.free(objective, scalars, law)
        if not free:
            return reading
        step = self._direction(objective, scalars, law, free)
        two = self.at_two(objective, law) if self.passes_two(law, step) else None
        if two is not None:
            there = _Reading.of(objective, residuals, two)
            if there.value <= value:
                return there
        step = self.shortened(law, step) * step  # as a whole: a part of it may point uphill
        for _ in range(_MAX_HALVINGS):
            trial = self.moved(law, step, free)
            if trial == law:
                break
            there = _Reading.of(objective, residuals, trial)
            change = there.value - value
            # a step whose gain drowns in the rounding of J is Newton's last digits
            if change <= 0.0 or (np.abs(step).sum() < 1e-6 and change <= objective.noise(value)):
                return there
            step = 0.5 * step
        return reading

    def _direction(self, objective: Objective, scalars, law: Law, free: tuple[int, ...]) -> np.ndarray:
        """Newton's step in what is free of (kappa, alpha, logit share); downhill where J is not convex."""
        step, lines = np.zeros(3), self._hessian(objective, scalars.tolist(), law, free)
        matrix = [[lines[a][b] for b in free] for a in free]
        slopes = self.slopes(objective, scalars, law, free)[list(free)]
        if not all(map(math.isfinite, (*slopes, *(entry for line in matrix for entry in line)))):
            return step
        units = [1.0 / math.sqrt(max(abs(line[k]), 1e-6 * objective.total)) for k, line in enumerate(matrix)]
        unit = np.array(units)
        values, vectors, _ = dsyev(np.array(matrix) * unit * unit[:, None])
        step[list(free)] = -unit * (vectors @ ((vectors.T @ (unit * slopes)) / np.maximum(np.abs(values), 1e-3)))
        return step


def _reach(alpha: float) -> float:
    """How far the model of J is trusted in alpha."""
    return 0.5 * (1.0 + alpha)

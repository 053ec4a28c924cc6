"""What a robust start has lost, and how it is found again.

A bounded loss leaves rows aside, and with all rows of a rare dummy, or all beyond the last knot of a spline, what only
they determine. Nothing pulls at that any more: no step finds it, wherever it is, and a background takes those rows for
outliers. A row left aside is lost if its prediction varies far more by the rows that are near than by all rows. It
makes a direction, along which the fit moves there and at the rows like it, and hardly at others. Each of these rows
says how far the fit would have to go to come to it. The answer is taken that brings most of them near, if no other row
minds: so bad leverage points do not get their will, where all other rows know better.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from sklearn_robust._fit.objective import Law, Objective, Point
from sklearn_robust._fit.ridge import Inverse
from sklearn_robust._rows import cpu
from sklearn_robust._rows.spread import evenly_spread

# Welsch's loss at a c that is 95% efficient at Gaussian noise. Rows of a smaller weight are left aside, and so many of
# their entries are looked at.
_ALPHA, _C, _ASIDE, _MOST_ENTRIES = -np.inf, 2.11, 0.1, 2**14
# How many times more a prediction varies, beside what all do on average, from where on it is lost, and how much, in
# units of the noise: what fifty rows tell is known. And the weight of rows left aside, so that it is a number.
_LOST, _KNOWN, _NOTHING = 1.7, 0.02, 1e-9
_BELIEVED = 0.25  # of a smaller share of the rows the scale is a rounding error
# Rows that move so far, where the lost one moves by one, belong to a direction. They are asked by the decade of how far
# they move, so that few that move farthest do not speak for all, and so many answers of each decade are tried.
_THERE, _DECADES, _N_TRIED = 0.3, np.arange(-4.0, 5.0), 33
# Rows that are many, and a coefficient: a quarter of them, or a part of more, is looked at.
_MANY, _MANY_A_COEFFICIENT = 20_000, 400
# So many more rows have to be near, for one can always be reached. Of those that do not belong there a few may be
# thrown out, as a part of that and by a move of so many c: they were near by chance. And what the rest may lose.
_GAIN, _FEW, _OUT, _LOSS = 1.5, 0.1, 3.0, 0.2
# How far it is at least, in units of c, and at most, in standard errors that the others allow. And what moves nobody.
_NEAREST, _FARTHEST, _HARDLY = 1.0, 3.0, 1e-3


def regained(objective: Objective, theta, scale: float) -> np.ndarray | None:
    """Coefficients (q,) with more rows near than theta has; None where nothing is lost, or no better is known.

    ``scale`` is the robust one of the residuals at theta.
    """
    inverse, c, rows, start = objective.inverse, _C * scale, objective.rows, theta
    if not isinstance(inverse, Inverse):
        return None
    residuals, weights = np.asarray(rows.residuals(theta)), rows.all_weights
    near = _nearness(residuals / c)
    columns, usual = _left_aside(objective, inverse, near)
    if not len(usual):
        return None

    @cache
    def origin():
        return np.asarray(rows.residuals(np.zeros_like(start)))

    def along(direction):
        return origin() - np.asarray(rows.residuals(direction))

    every = inverse.matrix
    known = objective.at(theta, Law(_ALPHA, c), cpu.GRAM).sums.gram + _NOTHING * every
    for _ in range(inverse.rank):
        solver = Inverse.of(known, objective.penalty)
        more = np.divide(solver.squares(columns), usual, out=np.zeros(len(usual)), where=usual > 0.0)
        i = int(np.argmax(more))
        if not more[i] > 1.0:
            break
        direction = _direction(objective, along, known, solver, columns[:, i], weights * near)
        image = every @ direction
        known = known + np.outer(image, image) / float(direction @ image)
        step = c * _best_step(residuals / c, along(direction), weights)
        if step != 0.0:
            theta = theta + step * direction
            residuals = np.asarray(rows.residuals(theta))
    return theta if theta is not start else None


def of_some_rows(objective: Objective) -> Objective:
    """The objective of as many rows, evenly spread, as a start is looked at with: all, unless they are many."""
    rows = objective.rows
    n, q = len(rows), rows.frame.n_coefs
    if n <= max(_MANY, _MANY_A_COEFFICIENT * q) or not isinstance(objective.inverse, Inverse):
        return objective
    size = max(n // _MANY_A_COEFFICIENT, _MANY // 4, _MANY_A_COEFFICIENT * q // 4)
    some = rows.part("looked at", lambda: evenly_spread(n, size))
    factor = some.total_weight / objective.total
    inverse = objective.inverse.scaled(1.0 / factor)
    penalty, total = factor * objective.penalty, some.total_weight
    return replace(objective, rows=some, inverse=inverse, penalty=penalty, total=total, dof=total - objective.n_coefs)


def has_lost(objective: Objective, point: Point, curvatures) -> bool:
    """Whether rows are left aside at a point that others hardly tell of, by its weights and curvatures near it."""
    inverse, gram = objective.inverse, point.curved_gram(curvatures)
    if not (isinstance(inverse, Inverse) and isinstance(gram, np.ndarray)):
        return False
    columns, usual = _left_aside(objective, inverse, point.weights)
    if not len(usual):
        return False
    solver = Inverse.of(gram + _NOTHING * inverse.matrix, objective.penalty)
    return bool((solver.squares(columns) > usual).any())


def _left_aside(objective: Objective, inverse: Inverse, near) -> tuple[np.ndarray, np.ndarray]:
    """Columns (q, m) of some rows that are left aside, and from how large a variance on each (m,) is lost."""
    q = objective.rows.frame.n_coefs
    aside, believed = objective.rows.aside(near, _ASIDE, max(_MOST_ENTRIES // q, 1))
    believed /= objective.total
    if not len(aside) or believed < _BELIEVED:
        return np.empty((q, 0)), np.empty(0)
    columns = objective.rows.dense(aside)[0]
    return columns, np.maximum(_LOST / believed * inverse.squares(columns), _KNOWN)


def _nearness(residuals) -> np.ndarray:
    """The weight of Welsch's loss, and how much of a row is near (n,), by residuals (n,) in units of c."""
    with np.errstate(over="ignore"):
        return np.exp(-0.5 * residuals**2)


def _direction(objective: Objective, along, known, solver, row, weights) -> np.ndarray:
    """What moves the fit by one at a row (q,), and least at others of these weights (n,) with the gram ``known``.

    Those that it moves as well have no say, for some of them may be near by chance. ``along(direction)`` tells by how
    much it lowers the residuals (n,), and ``solver`` is the inverse of that gram.
    """
    direction = solver @ row
    moved = np.abs(along(direction / float(row @ direction)))
    there = np.flatnonzero((moved > _THERE) & (weights > 0.0))
    columns = objective.rows.dense(there)[0]
    freed = Inverse.of(known - columns * weights[there] @ columns.T, objective.penalty) @ row
    if float(row @ freed) > 0.0:  # not a rounding error
        direction = freed
    return direction / float(row @ direction)


def _best_step(residuals, along, weights) -> float:
    """How far to go along a direction so that most rows are near, in units of c as residuals (n,); 0 to stay here.

    Residuals fall by ``along`` (n,) at a step of one.
    """
    sizes, now = np.abs(along), _nearness(residuals)
    aside = (now < _ASIDE) & (weights > 0.0) & (sizes > 0.0)
    others = (sizes <= _THERE) & (now > _ASIDE)
    tried = _answers(residuals[aside], along[aside], weights[aside])
    far = np.abs(tried)
    tried = tried[_is_bearable(far, sizes[others], now[others], weights[others], _FEW * weights[aside].sum())]
    moved = sizes * np.abs(tried).max(initial=0.0) > _HARDLY
    residuals, along, weights, now, others = (each[moved] for each in (residuals, along, weights, now, others))
    sizes = np.where(others, np.abs(along), np.inf)
    most, best = _GAIN, 0.0
    for step in tried:
        change = weights * (_nearness(residuals - step * along) - now)
        gain, moves = float(change.sum()), sizes * abs(step)
        if gain > most:
            rest, out = change[moves <= _OUT].sum(), change[(moves > _OUT) & (moves < np.inf)].sum()
            if rest >= -_LOSS and out >= -_FEW * gain:
                most, best = gain, float(step)
    return best


def _answers(residuals, along, weights) -> np.ndarray:
    """Steps that bring one of some rows (n,) to the fit, spread over their weights, by decades of ``along``."""
    decades, tried = np.floor(np.log10(np.abs(along) / _THERE)), np.zeros(0)
    for decade in _DECADES:
        asked = np.flatnonzero(decades == decade)
        if len(asked):
            answers = residuals[asked] / along[asked]
            order = np.argsort(answers, kind="stable")
            below = np.cumsum(weights[asked[order]])
            shares = (np.arange(_N_TRIED) + 0.5) / _N_TRIED * below[-1]
            tried = np.append(tried, answers[order[np.searchsorted(below, shares).clip(max=len(order) - 1)]])
    return np.unique(tried[np.abs(tried) > _NEAREST])


def _is_bearable(steps, sizes, now, weights, most: float) -> np.ndarray:
    """Whether steps of so many c (k,) throw out no more than so many of the rows that do not belong to the direction.

    And whether what the others of these, of weights and nearness (n,), tell of where they want the fit allows for them;
    all move by ``sizes`` (n,) at a step of one.
    """
    order = np.argsort(sizes, kind="stable")
    sizes, weights = sizes[order], weights[order]
    told = np.append(0.0, np.cumsum(weights * now[order] * sizes**2))
    held = np.append(0.0, np.cumsum(weights))
    inside = np.searchsorted(sizes, _OUT / steps)
    return (held[-1] - held[inside] <= most) & (told[inside] * steps**2 <= _FARTHEST**2)

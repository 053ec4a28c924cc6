"""Whether the data call for a background, a share of gross outliers spread evenly over a width, and the fit with one.

The plain likelihood prefers a line that outliers of high leverage rule, even from a good start: its optimum is the
problem. The mixture's optimum near the start is not, but it would find a few outliers in most clean data as well. So
two doors lead to it, both judged against the robust scale s of the best start:

1. at the residuals of the start, a background gains more in J than chance would, or nearly so if the rows that are
   far in y are so in X as well, of which noise knows nothing, or if there is a gap before them that no tail leaves;
2. the plain fit has left the start for one of clearly larger robust scale.

Behind the second the mixture may have no optimum near the start, where few rows are contaminated by rows close to
them: J is lowest at least squares then, and the share at nought. The density of the background is held there, and its
share is the rows' mean probability of belonging to it. Some lines pass near most of few rows by chance, the more so
the more coefficients there are: J may be larger there than at the plain fit, but not by much, and by more the wider
that is.

Where a flexible fit may follow its outliers, J is no judge of laws of different width: it counts log c for S - d rows
alone, where the prior of f makes it count for all. Robust scales are compared there, or marginal likelihoods.

The width is a multiple of s: narrow to find the basin, then wide, which is efficient and tells the share honestly.
"""

import math
from dataclasses import replace
from functools import cache

import numpy as np

from sklearn_robust._fit.copies import has_more_different, share_of_different
from sklearn_robust._fit.leaving import (
    FAR_ENOUGH,
    FEW_ROWS_A_COEFFICIENT,
    GROSS,
    VANISHED,
    has_gap,
    has_vanished,
    is_empty,
    is_lost,
    near_scale,
    recentred_scale,
    same_scale,
)
from sklearn_robust._fit.objective import NORMAL_QUARTILE, Law, Objective, Point, logit, quartile
from sklearn_robust._fit.shape_scale import LARGEST_SHARE, Learned
from sklearn_robust._fit.start import Start, is_rounding, sharpened, witnesses
from sklearn_robust._rows.sums import DIRTY

# Widths in units of the start's scale: where the gain is measured, where the basin is found, where the fit ends.
_TEST_WIDTH, _TEST_KNEE, _NARROW, _WIDE = 24.0, 6.0, 14.0, 50.0
_FIRST_SHARES = 0.1, 0.3
_LIGHT, _HIGHEST = 1.0, 2.0
# The share whose density is held where rows are too few, and outliers too near, to learn it: a row counts as one from
# some 2.3 or 2.8 deviations on.
_DENSE_SHARE = 0.3
_LOCAL_GAIN = 2.0
# With so many coefficients that some always pass near most rows, the most that a start may lose in J, times `_crowded`.
_MOST_LOSS = 0.4
# Too few rows to tell outliers from tails: at all, and a degree of freedom of a kernel.
_FEW_ROWS, _FEW_ROWS_FLEXIBLE = 12, 1.2
# A row that is far enough out hardly gains more by a background, beside the heaviest tails of the plain law.
_GAIN_A_ROW = 3.0
# Rows so many robust deviations from the middle of some column are far in X.
_FAR_IN_X = 3.0
_UNCERTAIN_SLOPES = 3.5  # variance of the S-estimate's, relative to least squares
# How far out in y rows are whose leverage is looked at; from where on what it tells counts, how far, and of how many
# rows twice: of more it tells enough once, and a spread that grows with leverage would tell the same.
_FAR_FOR_LEVERAGE = 3.5, 3.0, 2.5
_CHANCE_EVIDENCE, _MOST_EVIDENCE, _FEW_FOR_LEVERAGE = 1.2, 6.0, 60.0
# A start has followed outliers if another fit is so much narrower.
_FAR_WIDER = 2.0


def with_background(objective: Objective, policy: Learned, start: Start, law: Law, plain, run, walk):
    """The fit (point, history, reason) with the background that the data call for, and its policy; None without one.

    ``law`` is the plain one nearest to the start's residuals; ``plain()`` is the fit without, made when first asked
    for; ``run(policy, theta, law)`` iterates from there, to the same three; ``walk(policy, theta, law)`` gives a point
    near the minimum that small steps from there lead to.
    """
    held = policy.contamination
    too_few = held is None and has_few_rows(objective)
    if is_rounding(objective, start) or too_few or policy.low > _HIGHEST:
        return None
    policy = replace(policy, high=min(policy.high, _HIGHEST))
    residuals = objective.rows.residuals(start.theta)

    @cache
    def sharp():
        sharper = sharpened(objective, start)
        return sharper, objective.rows.residuals(sharper.theta)

    def near(policy, likely=None):
        return _narrow(objective, policy, *sharp(), likely, walk)

    narrow = None
    if held is not None:
        narrow = near(policy)
    else:
        part = 1.0 if objective.flexible else share_of_different(objective.rows)
        likely = _likely_law(objective, policy, residuals, law, start, part)
        if likely is not None:
            narrow = near(policy, likely)
        if narrow is None or is_empty(objective, narrow):
            narrow, policy = _behind_second_door(objective, policy, start, residuals, plain, near, part)
    if narrow is None:
        return None
    start, residuals = sharp()
    law = policy.widened(objective, narrow.law)._replace(width=_WIDE * start.scale)
    wide = walk(policy, narrow.theta, law)
    vanished = policy.contamination is None and is_empty(objective, wide)
    scales = [recentred_scale(objective.rows, point.theta, residuals, objective.n_coefs) for point in (narrow, wide)]
    point = narrow if vanished or scales[1] > same_scale(objective.total, objective.n_coefs) * scales[0] else wide
    law = point.law
    if policy.contamination != held:
        share = float(point.sums.scalars[DIRTY]) / objective.total
        if not VANISHED < share < LARGEST_SHARE:
            return None
        law = _of_density(law, share)
        if is_lost(law):
            return None
        policy = replace(policy, contamination=share)
    found = run(policy, point.theta, law)
    law = found[0].law
    return None if policy.at_floor(law) or is_lost(law) else (found, policy)


def nearer(objective: Objective, policy: Learned, theta, law: Law, point: Point) -> Law | None:
    """The law to begin with again, if the fit of all rows has left that of a part for larger residuals of most rows.

    Some wide backgrounds that hold in a part do not hold in all rows; a narrow one does. None where it has not left.
    """
    if law.share == 0.0 or objective.flexible or not policy.learns:
        return None
    n, q = objective.total, objective.n_coefs
    if point.law.c * quartile(point.law.alpha) <= near_scale(n, q) * law.c * quartile(law.alpha):
        return None
    rows = witnesses(objective.rows)
    reference = rows.residuals(theta)
    scale = rows.scale_of(reference, q)
    if recentred_scale(rows, point.theta, reference, q) <= near_scale(n, q) * scale:
        return None
    return law._replace(width=min(law.width, _NARROW * scale))


def _narrow(objective: Objective, policy: Learned, start: Start, residuals, likely: Law | None, walk) -> Point | None:
    """The fit with a narrow background nearest to a start with these residuals (n,); None where the law grows wider."""
    light = replace(policy, low=min(max(policy.low, _LIGHT), policy.high))  # heavy tails would do for a background
    laws = _mixtures(objective, light, start.scale, _NARROW * start.scale)
    if likely is not None:
        alpha = max(min(likely.alpha, laws[0].alpha), light.low)
        laws.append(Law(alpha, likely.c, likely.share, laws[0].width))
    mixed, _ = light.settled(objective, residuals, laws)
    if is_lost(mixed):
        return None
    narrow = walk(light, start.theta, mixed)
    return None if is_lost(narrow.law) else narrow


def _behind_second_door(objective: Objective, policy: Learned, start: Start, residuals, plain, near, part: float):
    """The fit with a narrow background if the plain one is clearly wider than the start, or None, and its policy.

    ``near(policy)`` is the one nearest to the start; ``part`` of the rows are different.
    """
    n, q = part * objective.total, objective.n_coefs
    if (objective.penalised and not objective.flexible) or policy.at_floor(plain()[0].law):
        return None, policy
    wider = recentred_scale(objective.rows, plain()[0].theta, residuals, q) / start.scale
    narrow = near(policy) if wider > near_scale(n, q) else None
    if narrow is None:
        return None, policy
    # whether there are outliers that heavy tails would not do for
    if is_empty(objective, narrow) or part * _local_gain(objective, policy, narrow) <= _least_gain(n, q, wider):
        if objective.flexible or (_crowded(n, q) and wider <= _far_scale(n, q)):
            return None, policy
        policy = replace(policy, contamination=_DENSE_SHARE)
        narrow = near(policy)
    if narrow is None or objective.flexible:
        return narrow, policy
    loss = part * (objective.value(narrow) - objective.value(plain()[0]))
    is_chance = loss * _crowded(n, q) > _MOST_LOSS
    if policy.contamination is not None:
        is_chance = is_chance or loss > _most_dense_loss(n, q, wider)
    return None if is_chance else narrow, policy


def _of_density(law: Law, share: float) -> Law:
    """The law of another share whose background lies as dense beside the clean rows: all rows weigh the same."""
    return law._replace(share=share, width=law.width * math.exp(logit(share) - logit(law.share)))


def has_few_rows(objective: Objective, share: float = 0.0) -> bool:
    """Whether the rows, but for a share of them, are too few to tell outliers from tails."""
    a_coefficient = _FEW_ROWS_FLEXIBLE if objective.flexible else FEW_ROWS_A_COEFFICIENT
    most = max(_FEW_ROWS, a_coefficient * objective.n_coefs)
    if objective.flexible:  # whose weights are a row's or less, and copies told as one
        return (1.0 - share) * min(objective.total, len(objective.rows)) <= most
    return not has_more_different(objective.rows, most)


def is_called_for(objective: Objective, policy: Learned, point: Point, walk) -> bool:
    """Whether the data call for the background that a flexible fit was handed from a stiffer one.

    ``walk(theta, law)`` gives the fit without, nearby; it may follow the rows that the background explains.
    """
    if policy.contamination is not None:
        return not is_lost(point.law)
    if has_vanished(objective, point):
        return False
    chance = _chance(objective)
    if has_few_rows(objective, point.law.share):  # nothing but the law that is held tells how far is far
        far = np.abs(objective.rows.residuals(point.theta)) > FAR_ENOUGH * point.law.c
        return float(objective.rows.all_weights[far].sum()) * _GAIN_A_ROW >= chance
    scale = objective.rows.m_scale(point.theta, objective.n_coefs)
    plain = walk(point.theta, policy.start(objective, point.theta, scale))
    return _marginal(objective, plain) - _marginal(objective, point) > chance


def is_too_wide(scale: float, law: Law) -> bool:
    """Whether a robust scale is far larger than that of a law of other coefficients."""
    return scale > _FAR_WIDER * law.c * quartile(law.alpha) / NORMAL_QUARTILE


def _marginal(objective: Objective, point: Point) -> float:
    """Minus the log of the marginal likelihood, but for what depends on the penalty alone: log c counts for all rows.

    For the prior of f is as wide as c, which J leaves out.
    """
    width = point.law.c * quartile(point.law.alpha)
    return objective.value(point) + objective.n_coefs * float(np.log(width))


def _chance(objective: Objective, part: float = 1.0) -> float:
    """What a background gains on clean data, hardly ever more, if a part of the rows are different.

    A flexible fit shrinks its residuals unequally, and what it can not follow of the function is in them as well.
    """
    n, q = part * objective.total, objective.n_coefs
    return (1.1 + 0.45 * float(np.log(n)) + (12.0 if objective.flexible else 4.0) * q / n + 0.004 * n) / part


def _far_scale(n: float, q: float) -> float:
    """By how much it exceeds the start's in at most one of 25 clean data sets of any law, and of many rows in none.

    From 150 to 400 data sets each of Gaussian, t3, Laplace, lognormal and chi-square noise at (n, q) of (50, 2) to
    (1500, 4).
    """
    return 1.04 + 2.5 * q / n + _crowded(n, q) + (10.0 / n) ** 2


def _crowded(n: float, q: float) -> float:
    """By how much coefficients a row exceed one for seven rows."""
    return max(q / n - 1.0 / 7.0, 0.0)


def _most_dense_loss(n: float, q: float, wider: float) -> float:
    """What a background of held density may lose in J against a plain fit of so many times the start's scale.

    Most clean data sets of which the start is as narrow by chance lose more, most second lines of 30% less: from 100 to
    400 sets of each at (n, q) of (50, 2) to (100, 6).
    """
    near, far = near_scale(n, q), _far_scale(n, q)
    if far <= near:  # rows are so many that no clean data come so far
        return math.inf
    return 0.12 * n * max(1.0, 0.08 * n / q) * (wider - near) / (far - near)


def _least_gain(n: float, q: float, wider: float) -> float:
    """What a background has to gain near the start, where the plain fit has so many times its robust scale.

    With fewer than seven rows a coefficient some rows gain by chance where the plain fit is wide by chance; few clean
    data sets have both: from 60 to 200 sets each of Gaussian, t3, Laplace and lognormal noise, of unequal variances and
    of good leverage, at (n, q) of (50, 6) to (250, 51).
    """
    surely_wider = near_scale(n, q) + 10.0 * q / n**1.5
    return _LOCAL_GAIN + (6.0 * q * _crowded(n, q) if wider <= surely_wider else 0.0)


def _mixtures(objective: Objective, policy: Learned, scale, width, knee=np.inf) -> list[Law]:
    """Laws with a background at residuals of a robust scale, to begin with."""
    alpha = min(max(policy.below_two(objective), _LIGHT), policy.high)  # from heavy tails the way may be long and flat
    c = scale * NORMAL_QUARTILE / quartile(alpha)
    shares = _FIRST_SHARES if policy.contamination is None else (policy.contamination,)
    return [Law(alpha, c, share, width, knee) for share in shares]


def _likely_law(objective: Objective, policy: Learned, residuals, law: Law, start: Start, part: float) -> Law | None:
    """The law with a background, if it gains more in J than chance at known residuals over the best law without.

    The background has tails of its own here: a flat one would gain on every row that heavy-tailed noise throws far out.
    But not beyond a gap that no tail leaves, however far out rows are there.
    """
    chance, scale = _chance(objective, part), start.scale
    sizes, weights = np.abs(np.asarray(residuals)), objective.rows.all_weights
    far, gross = sizes > FAR_ENOUGH * scale, sizes > GROSS * scale
    # a row gains no more, unless tails that reach very far cost all other rows more; a flexible fit throws some far out
    n, rare = objective.total, policy.contamination is None and not objective.flexible and bool(gross.any())
    gain = math.inf if rare else float(weights[far].sum()) * _GAIN_A_ROW
    if gain <= max(chance - _MOST_EVIDENCE, 0.0):
        return None
    evidence = _leverage_evidence(sizes, start, n) - _CHANCE_EVIDENCE
    evidence *= 1.0 + min(1.0, (_FEW_FOR_LEVERAGE / n) ** 2)
    breaks_off = has_gap(sizes, objective.rows.weights, scale)
    if breaks_off:
        evidence = _MOST_EVIDENCE
    chance -= min(max(evidence, 0.0), _MOST_EVIDENCE)
    if gain < chance:
        return None
    goal = policy.settled(objective, residuals, [law])[1] - chance
    tries = [_mixtures(objective, policy, scale, _TEST_WIDTH * scale, _TEST_KNEE * scale)]
    if rare:
        knee = math.inf if breaks_off else _TEST_KNEE * scale
        few = tries[0][0]._replace(share=min(float(weights[gross].sum()) / n, _FIRST_SHARES[0]), knee=knee)
        tries += [[few], [few._replace(alpha=law.alpha, c=law.c)]][: 1 + breaks_off]
    for laws in tries:
        mixed, value = policy.settled(objective, residuals, laws, goal)
        if value < goal:
            return mixed
    return None


def _leverage_evidence(sizes, start: Start, n: float) -> float:
    """How unlikely, as minus a log probability, noise that knows nothing of X throws just these rows so far.

    Chernoff's bound on how many of the start's rows that are far in y, by the sizes of residuals (n,), are so in X by
    chance. A start of few rows has slopes so uncertain that those far out in X need larger residuals to count.
    """
    few = start.few
    if few is None:
        return 0.0
    weights, distances = few.weights, few.distances
    out = distances > _FAR_IN_X
    # a row is longer than it is far out in any column: the sum of q squares over the largest, of Gaussian columns
    q = len(few.columns)
    spread = _UNCERTAIN_SLOPES * max(1.0, 0.5 * q / math.log(2.0 * q))
    reaches = sizes[few.numbers] / (start.scale * np.sqrt(1.0 + spread * distances**2 / n))
    expected = float(weights[out].sum() / weights.sum())
    evidence = 0.0
    for reach in _FAR_FOR_LEVERAGE:
        far = weights * (reaches > reach)
        total, both = float(far.sum()), float(far[out].sum())
        if both <= expected * total:
            continue
        rest = (total - both) * math.log((total - both) / (total * (1.0 - expected))) if both < total else 0.0
        evidence = max(evidence, both * math.log(both / (total * expected)) + rest)
    return evidence


def _local_gain(objective: Objective, policy: Learned, point: Point) -> float:
    residuals = objective.rows.residuals(point.theta)
    law = policy.start_at(objective, residuals, point.law.c)
    return policy.settled(objective, residuals, [law])[1] - objective.value(point)

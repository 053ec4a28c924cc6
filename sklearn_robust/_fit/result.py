"""What a fit hands up, and why it stopped."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from sklearn_robust._fit.objective import Law, Objective, Point
from sklearn_robust._fit.ridge import Diagonal, Inverse
from sklearn_robust._fit.sandwich import Sandwich


class StopReason(Enum):
    """Why the iterations ended: the value is the sentence that the user reads."""

    GRADIENT = "The gradient fell below tol."
    PRECISION = "The gradient fell to the rounding error of the data: no digits are left to gain."
    EXACT = "More than half of the rows lie exactly on the fit: the scale reached its floor c_min."
    FLOOR = "The scale reached c_min."
    INTERPOLATED = "There are no more rows than coefficients: the fit passes through every row."
    MAX_ITER = "max_iter was reached before the gradient fell below tol."
    OVERFLOW = "The loss of some residual overflows: alpha and c make this row too costly to fit."
    STALLED = "No step lowered the objective any more, while the gradient was above tol."

    @property
    def converged(self) -> bool:
        """Whether the fit is an optimum."""
        return self not in (StopReason.MAX_ITER, StopReason.OVERFLOW, StopReason.STALLED)


class Record(NamedTuple):
    """One line of the history, in working units."""

    objective: float
    law: Law
    gradient: float
    theta: np.ndarray


@dataclass(frozen=True)
class FitResult:
    """The last point, how it was reached, S, S - d, and (X'SX + P)^-1 (of a part of the rows, where they are many).

    ``objective`` is what was lowered; another target of the same X takes all but its rows from it. Neither it nor the
    inverse is kept of a kernel, the objective not of a part.
    ``ruled`` tells whether outliers of high leverage seem to have drawn the fit away from its start; ``strength`` is
    that of the penalty, given or chosen; ``policy`` what the law was free to do in the end; the sandwich is what
    inference needs, of a dense X and its columns alone.
    ``curvatures`` are a gram and cross terms near the end: of a part those that all rows may begin with.
    """

    point: Point
    history: list[Record]
    stop_reason: StopReason
    total: float
    dof: float
    inverse: Inverse | Diagonal | None
    ruled: bool
    strength: float
    objective: Objective | None
    policy: Any
    sandwich: Sandwich | None = None
    curvatures: tuple[np.ndarray, np.ndarray] | None = None

    def of_more(self, part: float) -> "FitResult":
        """The same where the sample weights are those of this fit divided by ``part``."""
        history = [record._replace(objective=record.objective / part) for record in self.history]
        total, dof, strength = (size / part for size in (self.total, self.dof, self.strength))
        return replace(self, history=history, total=total, dof=dof, strength=strength)

    @property
    def n_iter(self) -> int:
        """Steps taken; one where the start was the optimum already, since that had to be tried."""
        return max(len(self.history) - 1, 1)

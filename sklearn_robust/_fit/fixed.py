"""What happens to the law (alpha, c) that is held: nothing."""

from dataclasses import dataclass

from sklearn_robust._fit.objective import Law, Objective, Point


@dataclass(frozen=True)
class Fixed:
    """Alpha held, and c: the one given, or for None ``factor`` times the robust scale of the start, above a floor."""

    alpha: float
    c: float | None
    factor: float
    c_min: float

    learns = False
    floor_given = False

    def start(self, objective: Objective, theta, scale: float) -> Law:
        """The law that is held."""
        return Law(self.alpha, max(self.factor * scale, self.c_min) if self.c is None else self.c)

    @property
    def measures_start(self) -> bool:
        """Whether c follows from the start."""
        return self.c is None

    @property
    def least_alpha(self) -> float:
        """The shape itself."""
        return self.alpha

    def clip(self, law: Law) -> Law:
        """The held law."""
        return Law(self.alpha, law.c if self.c is None else self.c)

    def step(self, objective: Objective, theta, law: Law) -> Law:
        """The same law."""
        return law

    def other_basin(self, objective: Objective, point: Point, from_below: bool) -> None:
        """No other law is allowed."""

    def at_floor(self, law: Law) -> bool:
        """Whether the scale was measured as zero."""
        return self.c is None and law.c <= self.c_min

    def gradient(self, objective: Objective, scalars, law: Law) -> float:
        """Nothing to learn: 0."""
        return 0.0

    def free(self, objective: Objective, scalars, law: Law) -> tuple[int, ...]:
        """Which of (log c, alpha, logit share) are free to move: none."""
        return ()

    def least_squares(self, objective: Objective, scalars, law: Law) -> None:
        """No other alpha is allowed."""

    def least_squares_c(self, objective: Objective, scalars, law: Law) -> float:
        """The c to take at alpha = 2: the one that is held."""
        return law.c

"""The two estimators: parameters, and the choice of what is held and what is learned."""

import numpy as np

from sklearn_robust import _checks
from sklearn_robust._base import BaseRobustRegressor
from sklearn_robust._fit.objective import Law
from sklearn_robust._fit.shape_scale import Fixed, Learned
from sklearn_robust._loss.efficiency import efficient_scale
from sklearn_robust._loss.log_partition import log_partition
from sklearn_robust._loss.tails import isf

_NORMAL_QUARTILE = 0.6744897501960817


class GeneralRobustRegressor(BaseRobustRegressor):
    """docs below."""

    _learns = False

    def __init__(
        self,
        alpha=1.0,
        c="auto",
        *,
        efficiency=0.95,
        fit_intercept=True,
        l2_regularization="auto",
        solver="auto",
        init="auto",
        max_iter=200,
        tol=1e-8,
        warm_start=False,
        random_state=0,
        verbose=0,
    ):
        self.alpha = alpha
        self.c = c
        self.efficiency = efficiency
        self.fit_intercept = fit_intercept
        self.l2_regularization = l2_regularization
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        if not _checks.is_real(self.alpha):
            _checks.refuse("alpha", self.alpha, "a real number or ±inf", "2 is least squares, 1 Charbonnier, 0 Cauchy")
        if self.c != "auto":
            _checks.check_positive("c", self.c, "it is the scale of the residuals, in units of y", " or 'auto'")
        if not (_checks.is_real(self.efficiency) and 0.0 < self.efficiency < 1.0):
            _checks.refuse("efficiency", self.efficiency, "a number in (0, 1)", "0.95 is customary")
        super()._check_parameters()

    def _policy(self, frame, scale: float) -> Fixed:
        floor = self._floor(frame)
        if self.c != "auto":
            return Fixed(Law(float(self.alpha), float(self.c) / frame.y_scale), 0.0)
        k = efficient_scale(float(self.alpha), float(self.efficiency))
        return Fixed(Law(float(self.alpha), max(k * scale, floor)), floor)

    def _clean_scale(self, rows, result) -> float:
        return rows.clean_scale(result.point.residuals, self.alpha < 2.0, result.total - result.dof)


class AdaptiveRobustRegressor(BaseRobustRegressor):
    """docs below."""

    _learns = True

    def __init__(
        self,
        *,
        alpha_bounds=(0.0, 2.0),
        c_min=None,
        fit_intercept=True,
        l2_regularization="auto",
        solver="auto",
        init="auto",
        max_iter=200,
        tol=1e-8,
        warm_start=False,
        random_state=0,
        verbose=0,
    ):
        self.alpha_bounds = alpha_bounds
        self.c_min = c_min
        self.fit_intercept = fit_intercept
        self.l2_regularization = l2_regularization
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        bounds = self.alpha_bounds
        if not (
            isinstance(bounds, (tuple, list, np.ndarray))
            and len(bounds) == 2
            and all(map(_checks.is_real, bounds))
            and 0.0 <= bounds[0] <= bounds[1]
        ):
            _checks.refuse(
                "alpha_bounds",
                bounds,
                "a pair (low, high) with 0 <= low <= high <= inf",
                "there is no density for alpha < 0: use GeneralRobustRegressor there",
            )
        if self.c_min is not None:
            _checks.check_positive("c_min", self.c_min, "None is a few ulps of the typical size of y", " or None")
        super()._check_parameters()

    def _policy(self, frame, scale: float) -> Learned:
        floor = self._floor(frame) if self.c_min is None else float(self.c_min) / frame.y_scale
        return Learned(float(self.alpha_bounds[0]), float(self.alpha_bounds[1]), floor)

    def _clean_scale(self, rows, result) -> float:
        # the quartile of the fitted law, which is that of a Gaussian of this scale
        alpha, c = result.point.law
        return c * isf(0.25, alpha, log_partition(alpha)) / _NORMAL_QUARTILE

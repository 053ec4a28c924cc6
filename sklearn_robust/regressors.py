"""The two estimators: parameters, and the choice of what is held and what is learned."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if

from sklearn_robust import _checks
from sklearn_robust._base import BaseRobustRegressor
from sklearn_robust._documented import documented
from sklearn_robust._fit.fixed import Fixed
from sklearn_robust._fit.objective import NORMAL_QUARTILE, Law, quartile
from sklearn_robust._fit.shape_scale import Learned
from sklearn_robust._loss.efficiency import efficient_scale
from sklearn_robust._rows.blocks import clean_probability


@documented
class GeneralRobustRegressor(BaseRobustRegressor):
    """Linear or kernel regression under the general robust loss, its shape ``alpha`` and scale ``c`` held.

    The coefficients w and intercept minimise

    ``sum_i s_i rho(y_i - f(x_i), alpha, c) + l2_regularization ||w||² / (2 c²)``

    with s the sample weights. One number moves the loss from least squares to losses that ignore outliers altogether.

    Parameters
    ----------
    alpha : float, default=1.0
        Shape of the loss, any value in [-inf, inf]: 2 least squares, 1 Charbonnier (pseudo-Huber), 0 Cauchy,
        -2 Geman-McClure, -inf Welsch.
    c : float or "auto", default="auto"
        Scale of the loss, in units of y: residuals well below c are squared, those far above are outliers. ``"auto"``
        is k times the robust scale of the residuals of the start, computed once.
    efficiency : float, default=0.95
        For ``c="auto"``: k >= 1 is the constant that gives this efficiency, relative to least squares, at Gaussian
        noise. With ``alpha < 0`` and ``init="s"`` this is an MM-estimator.
    <parameters>

    Attributes
    ----------
    <attributes>

    See Also
    --------
    AdaptiveRobustRegressor : Learns alpha and c from the data.

    References
    ----------
    J. T. Barron, A General and Adaptive Robust Loss Function, CVPR 2019.

    Examples
    --------
    >>> from sklearn_robust import GeneralRobustRegressor
    >>> from sklearn_robust.datasets import load_phone_calls
    >>> X, y = load_phone_calls(return_X_y=True)
    >>> GeneralRobustRegressor(alpha=-2, init="s").fit(X, y).coef_.round(1)
    array([1.1])
    """

    _against_leverage = "Try AdaptiveRobustRegressor, or init='s' with alpha=-inf or a smaller efficiency"
    _learns = False

    def __init__(
        self,
        alpha: float = 1.0,
        c: float | str = "auto",
        *,
        efficiency: float = 0.95,
        fit_intercept: bool = True,
        l2_regularization: float | str = "auto",
        kernel: str | Callable = "linear",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: dict | None = None,
        n_components: int | None = None,
        solver: str = "auto",
        init: str = "auto",
        max_iter: int = 200,
        tol: float = 1e-8,
        warm_start: bool = False,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.c = c
        self.efficiency = efficiency
        self.fit_intercept = fit_intercept
        self.l2_regularization = l2_regularization
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.n_components = n_components
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        if not _checks.is_real(self.alpha):
            _checks.refuse("alpha", self.alpha, "a real number or ±inf", "2 is least squares, 1 Charbonnier, 0 Cauchy")
        if not _checks.is_auto(self.c):
            _checks.check_positive("c", self.c, "it is the scale of the residuals, in units of y", " or 'auto'")
        _checks.check_fraction("efficiency", self.efficiency, "0.95 is customary")
        super()._check_parameters()

    def _measures_scale(self) -> bool:
        return _checks.is_auto(self.c)

    def _learned_shape(self) -> bool:
        return False

    def _policy(self, frame, warm: bool = False) -> Fixed:
        alpha = float(self.alpha)
        if _checks.is_auto(self.c):
            return Fixed(alpha, None, efficient_scale(alpha, float(self.efficiency)), self._floor(frame))
        return Fixed(alpha, frame.working_c(self.c), 1.0, 0.0)

    def _clean_law(self) -> Law:
        return Law(2.0, self.scale_)

    def _warnings(self, result):
        yield from super()._warnings(result)
        if self.alpha >= 1.0 or _checks.is_auto(self.c):
            return
        n_coefs, believed = result.total - result.dof, float(np.asarray(result.point.weights).mean()) * result.total
        if believed <= n_coefs + 1.0 < result.total:
            yield (
                f"c={self.c} is far below the residuals, of scale {self.scale_:.3g}: no more rows than there are "
                "coefficients have any weight. Raise c, or take c='auto'.",
                UserWarning,
            )

    def _clean_scale(self, rows, result) -> float:
        robust = self.alpha < 2.0
        return rows.clean_scale(result.point.theta, robust, result.total - result.dof) * rows.frame.c_unit


def _seeks_outliers(estimator) -> bool:
    """Whether outlier probabilities exist."""
    return estimator.contamination != 0.0


@documented
class AdaptiveRobustRegressor(BaseRobustRegressor):
    """Linear or kernel regression that learns the shape and the scale of its robust loss from the data.

    The noise has density ``exp(-rho(r, alpha, c)) / (c Z(alpha))``, from Gaussian (alpha = 2) to Cauchy (alpha = 0).
    Coefficients, alpha and c are a joint maximum of its likelihood, with d degrees of freedom taken off as in least
    squares:

    ``sum_i s_i [rho(y_i - f(x_i), alpha, c) + log Z(alpha)] + (sum_i s_i - d) log c``

    On clean Gaussian data with ten rows a coefficient this is least squares; the more outliers, the smaller alpha.
    Where there are several maxima the fit takes the one that a robust start leads to, which need not be the highest.

    Parameters
    ----------
    alpha_bounds : pair of float, default=(0.0, 2.0)
        Closed interval, inside [0, inf], in which alpha is learned; ``(a, a)`` fixes the shape and learns c only. With
        an upper bound of 2, fewer than ten rows a coefficient and no background, alpha may be held somewhat below 2.
    c_min : float or None, default=None
        Floor of the scale, in units of y. None: a few ulps of the typical size of y, zero only for constant y.
    contamination : float in [0, 0.5) or "auto", default="auto"
        Share of gross outliers, modelled by a flat background whose width is a multiple of the robust scale of the
        start. ``"auto"`` learns it, and it is exactly 0 unless the data call for a background; a number holds it, and
        0.0 is the plain likelihood.
    <parameters>

    Attributes
    ----------
    contamination_ : float
        Share of gross outliers, 0.0 without a background.
    <attributes>

    See Also
    --------
    GeneralRobustRegressor : Holds alpha and c.

    References
    ----------
    J. T. Barron, A General and Adaptive Robust Loss Function, CVPR 2019.

    Examples
    --------
    >>> from sklearn_robust import AdaptiveRobustRegressor
    >>> from sklearn_robust.datasets import load_phone_calls
    >>> X, y = load_phone_calls(return_X_y=True)
    >>> AdaptiveRobustRegressor().fit(X, y).coef_.round(2)
    array([1.09])
    """

    _against_leverage = "Try contamination=0.1, or GeneralRobustRegressor(alpha=-2, init='s')"
    _learns = True

    def __init__(
        self,
        *,
        alpha_bounds: tuple[float, float] = (0.0, 2.0),
        c_min: float | None = None,
        contamination: float | str = "auto",
        fit_intercept: bool = True,
        l2_regularization: float | str = "auto",
        kernel: str | Callable = "linear",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: dict | None = None,
        n_components: int | None = None,
        solver: str = "auto",
        init: str = "auto",
        max_iter: int = 200,
        tol: float = 1e-8,
        warm_start: bool = False,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.alpha_bounds = alpha_bounds
        self.c_min = c_min
        self.contamination = contamination
        self.fit_intercept = fit_intercept
        self.l2_regularization = l2_regularization
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.n_components = n_components
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        bounds = self.alpha_bounds
        if not (
            isinstance(bounds, (tuple, list, np.ndarray))
            and getattr(bounds, "ndim", 1) == 1
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
        share = self.contamination
        if not _checks.is_auto(share) and not (_checks.is_real(share) and 0.0 <= float(share) < 0.5):
            _checks.refuse("contamination", share, "'auto' or a number in [0, 0.5)", "0.0 is no background")
        if not _checks.is_auto(share) and float(share) > 0.0 and bounds[0] > 2.0:
            _checks.refuse("contamination", share, "0.0 or 'auto' for alpha above 2", "lower alpha_bounds")
        super()._check_parameters()

    def _measures_scale(self) -> bool:
        return True

    def _learned_shape(self) -> bool:
        low, high = self.alpha_bounds  # at the lower one the tails may be heavier than the law's
        return low < high and low < self.alpha_

    def _policy(self, frame, warm: bool = False) -> Learned:
        low, high = map(float, self.alpha_bounds)
        share = None if _checks.is_auto(self.contamination) else float(self.contamination)
        if warm and share is None and self._density_held:
            share = self.contamination_
        if self.c_min is None:
            return Learned(low, high, self._floor(frame), False, share)
        return Learned(low, high, frame.working_c(self.c_min), True, share)

    @available_if(_seeks_outliers)
    def outlier_proba(self, X: ArrayLike, y: ArrayLike, noise_scale: ArrayLike | None = None) -> np.ndarray:
        """Probability that a row belongs to the background, for training or new rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        noise_scale : array-like of shape (n_samples,), default=None
            Error bars of the rows, in the units of those given to ``fit``.

        Returns
        -------
        proba : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Posterior probabilities under the fitted mixture; zeros where ``contamination_`` is 0.
        """
        if hasattr(self, "_alone"):
            return self._each_target("outlier_proba", X, y, noise_scale)
        _, residuals, _ = self._residuals(X, y, noise_scale)
        return 1.0 - clean_probability(residuals, self._law().of_rows())

    def _law(self) -> Law:
        return Law(self.alpha_, self.c_, self.contamination_, self._width)

    def _clean_law(self) -> Law:
        return Law(self.alpha_, self.c_)

    def _last_law(self, frame) -> Law:
        law = super()._last_law(frame)
        held = None if _checks.is_auto(self.contamination) else float(self.contamination)
        share = self.contamination_ if held is None else held
        if share == 0.0 or self._width == np.inf:
            return law
        return law._replace(share=share, width=self._width / frame.c_unit)

    def _set_attributes(self, rows, result, form) -> None:
        super()._set_attributes(rows, result, form)
        self.contamination_ = float(result.point.law.share)
        held = result.policy.contamination is not None
        self._density_held = held and _checks.is_auto(self.contamination) and self.contamination_ > 0.0

    def _warnings(self, result):
        yield from super()._warnings(result)
        if not _checks.is_auto(self.contamination) and float(self.contamination) > 0.0 == self.contamination_:
            yield (
                f"contamination={self.contamination} was not held: the fit has no background, for its scale fell to "
                "its floor, or grew beyond the width of one. Add rows, drop columns, or take contamination='auto'.",
                UserWarning,
            )

    def _clean_scale(self, rows, result) -> float:
        # the quartile of the fitted law, which is that of a Gaussian of this scale
        return self.c_ * quartile(self.alpha_) / NORMAL_QUARTILE

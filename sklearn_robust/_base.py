"""From what a user passes to a fit, and back: validation, frame, objective, attributes, warnings."""

import warnings
from collections.abc import Callable
from functools import lru_cache
from numbers import Integral
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_robust import _checks
from sklearn_robust._fit.driver import SOLVERS, Settings, fit
from sklearn_robust._fit.dual import NotPositive
from sklearn_robust._fit.objective import Law
from sklearn_robust._fit.result import FitResult, Record, StopReason
from sklearn_robust._forms import Columns, form_of, predicted, settled_strength
from sklearn_robust._rows import vector
from sklearn_robust._rows.blocks import Rows, row_terms
from sklearn_robust._rows.frame import NONE, Frame

if TYPE_CHECKING:
    import pandas as pd

INITS = ("auto", "ols", "lad", "s", "gnc")
_MANY_ENTRIES = 1_000_000
_OF_FORMS = ("coef_", "dual_coef_", "X_fit_", "components_", "component_indices_")
_REMEDIES = {
    StopReason.MAX_ITER: "raise max_iter or tol, or look for columns that nearly depend on each other",
    StopReason.STALLED: "raise tol, or look for nearly dependent columns, or a c far below the residuals",
    StopReason.OVERFLOW: "raise c, lower alpha, or drop the row",
}
_FLOOR = 4 * np.finfo(float).eps


@lru_cache(maxsize=64)
def _first_integer(seed: int) -> int:
    return int(np.random.RandomState(seed).randint(2**31))


def _seed(random_state) -> int:
    """The seed of a fit: the first integer of a RandomState, or of the one that an integer seeds."""
    if isinstance(random_state, Integral):
        return _first_integer(int(random_state))
    return int(check_random_state(random_state).randint(2**31))


class BaseRobustRegressor(RegressorMixin, BaseEstimator):
    """What both estimators share; a child says which law it holds or learns."""

    _against_leverage: str  # what to try
    _learns: bool  # whether alpha and c come from a likelihood
    fit_intercept: bool
    l2_regularization: float | str
    kernel: str | Callable
    gamma: float | None
    degree: float
    coef0: float
    kernel_params: dict | None
    n_components: int | None
    solver: str
    init: str
    max_iter: int
    tol: float
    warm_start: bool
    random_state: int | np.random.RandomState | None
    verbose: int

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        noise_scale: ArrayLike | None = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequencies: a weight of 2 is a row twice, 0 no row.
        noise_scale : array-like of shape (n_samples,), default=None
            Known relative error bars: the noise of row i has scale ``c * noise_scale[i]``. Not the same as weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For a parameter outside its domain, NaN or inf, wrong lengths, negative weights or all weights zero.
        """
        self._check_parameters()
        y = _checks.check_target(y, type(self).__name__)
        X = self._validated(X, reset=True)
        _checks.check_length("y", y, len(X))
        weights = _checks.check_row_numbers("sample_weight", sample_weight, len(y), positive=False)
        noise = _checks.check_row_numbers("noise_scale", noise_scale, len(y), positive=True)
        seed = _seed(self.random_state)
        with np.errstate(all="ignore"):  # what overflows is a stop reason, not NumPy's warnings
            try:
                rows, raised, form = self._rows(X, y, weights, noise, seed)
                result = self._run(rows, raised, form, seed)
            except NotPositive:
                raise ValueError(
                    f"kernel must give a matrix without negative eigenvalues. Got kernel={self.kernel!r}; raise "
                    "l2_regularization, set n_components, or take another kernel."
                ) from None
            except ValueError:
                _checks.check_finite("X", X)
                raise
            if result.stop_reason is StopReason.OVERFLOW:
                _checks.check_finite("X", X)
            self._set_attributes(rows, result, form)
        self.l2_regularization_ = float(result.strength) / raised
        self.weights_ = result.point.weights
        if len(rows) < len(y):  # rows of sample weight 0 have a weight of the loss too
            law = result.point.law.of_rows()
            if isinstance(form, Columns):
                self.weights_ = Rows(X, y, weights, noise / rows.frame.noise_unit, rows.frame).loss_weights(
                    result.point.theta, law
                )
            else:
                residuals = (y - self.predict(X)) / rows.frame.c_unit
                self.weights_ = row_terms(residuals / noise if noise.size else residuals, law, vector.WEIGHT)
        self._warn(result)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the centre of the noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            ``X @ coef_ + intercept_``; with a kernel k, ``k(X, X_fit_) @ dual_coef_ + intercept_``, or ``components_``
            in the place of ``X_fit_``.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        return X @ self.coef_ + self.intercept_ if hasattr(self, "coef_") else predicted(self, X)

    @property
    def history_(self) -> "pd.DataFrame":
        """The iterations, the start first: a DataFrame of objective, alpha, c, share, gradient and coefficients.

        Coefficients have the names of their columns, after ``coef_`` where these collide with the others; those of a
        kernel, or of more columns than rows, are left out.
        """
        check_is_fitted(self)
        import pandas as pd

        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(self.n_features_in_)])
        table = pd.DataFrame(
            [row for row, _ in self._history], columns=["objective", "alpha", "c", "share", "gradient"]
        )
        if not len(self._history[0][1]):
            return table
        columns = ["intercept", *names]
        if len({*columns, *table.columns}) < len(columns) + len(table.columns):
            columns = ["intercept", *(f"coef_{name}" for name in names)]
        coefs = pd.DataFrame([coef for _, coef in self._history], columns=columns)
        return pd.concat([table, coefs], axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._is_precomputed
        return tags

    @property
    def _is_precomputed(self) -> bool:
        return isinstance(self.kernel, str) and self.kernel == "precomputed"

    @property
    def _is_linear(self) -> bool:
        return isinstance(self.kernel, str) and self.kernel == "linear"

    def _validated(self, X, reset: bool) -> np.ndarray:
        with _checks.naming("X"):
            # what is not finite is said before the number of columns, which a precomputed kernel may well have wrong
            finite = self._is_precomputed and not reset
            X = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite=finite)
        if X.size < _MANY_ENTRIES or not reset:  # otherwise it shows in the first sums, and X is not read for it alone
            _checks.check_finite("X", X)
        if reset and self._is_precomputed and X.shape[0] != X.shape[1]:
            raise ValueError(
                f"X must be a square matrix of kernel values for kernel='precomputed'. Got shape {X.shape}; pass "
                "k(X, X) to fit, and k(X_new, X) to predict."
            )
        return X

    def _check_parameters(self) -> None:
        _checks.check_flag("fit_intercept", self.fit_intercept)
        strength = self.l2_regularization
        if not _checks.is_auto(strength) and not (_checks.is_real(strength) and 0.0 <= float(strength) < np.inf):
            _checks.refuse("l2_regularization", strength, "a finite number >= 0 or 'auto'", "0 is no penalty")
        self._check_kernel()
        _checks.check_choice("solver", self.solver, tuple(SOLVERS), "'auto' takes the fastest that is safe")
        _checks.check_choice(
            "init", self.init, INITS, "'s' withstands outliers of high leverage, 'auto' takes it where rows are enough"
        )
        _checks.check_count("max_iter", self.max_iter, 1, "200 is enough for most data")
        _checks.check_positive("tol", self.tol, "1e-8 gives about eight digits")
        _checks.check_flag("warm_start", self.warm_start)
        _checks.check_random_state(self.random_state)
        if not isinstance(self.verbose, bool):
            _checks.check_count("verbose", self.verbose, 0)

    def _check_kernel(self) -> None:
        """The parameters of a kernel, as those of KernelRidge."""
        if not (self._is_linear or callable(self.kernel)):
            from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS

            kernels = (*PAIRWISE_KERNEL_FUNCTIONS, "precomputed")
            _checks.check_choice("kernel", self.kernel, kernels, "or a function of two rows")
        if self.gamma is not None and not (_checks.is_real(self.gamma) and 0.0 <= self.gamma < np.inf):
            _checks.refuse(
                "gamma", self.gamma, "a finite number >= 0 or None", "None is one over the number of columns"
            )
        for name in ("degree", "coef0"):
            value = getattr(self, name)
            if not (_checks.is_real(value) and np.isfinite(value) and (value >= 0.0 or name == "coef0")):
                _checks.refuse(name, value, "a finite number" + (" >= 0" if name == "degree" else ""))
        if self.kernel_params is not None and not isinstance(self.kernel_params, dict):
            _checks.refuse("kernel_params", self.kernel_params, "a dict or None", "it is passed to a callable kernel")
        if self.n_components is not None:
            _checks.check_count("n_components", self.n_components, 1, "None is the exact kernel")
        if self.init == "s" and not self._is_linear:
            _checks.refuse("init", self.init, "another start for a kernel", "'auto' takes 'gnc' there")

    def _rows(self, X, y, weights, noise, seed: int):
        """The rows of positive weight, in working units, and by what weights too small for frequencies were raised.

        And the form that made them.
        """
        raised, kept = 1.0, None
        if weights.size and weights.min() == 0.0:
            _checks.check_finite("X", X)
            kept = weights > 0.0
            y, weights, noise = y[kept], weights[kept], noise[kept] if noise.size else noise
        form = form_of(self, X, len(y), seed)
        q = int(self.fit_intercept) + (0 if form.flexible else X.shape[1])
        if self._measures_scale() and weights.size and weights.sum() <= q + 1 and weights.mean() < 1.0:
            warnings.warn(
                f"sample_weight sums to {weights.sum():.3g}, which as frequencies is fewer rows than a fit with {q} "
                "coefficients needs: the weights were rescaled to mean 1. Pass frequencies to silence this.",
                UserWarning,
                stacklevel=3,
            )
            raised = 1.0 / float(weights.mean())
            weights = weights * raised
        if weights.size and (weights == 1.0).all():
            weights = NONE
        return form.rows(X, kept, y, weights, noise, bool(self.fit_intercept)), raised, form

    def _run(self, rows: Rows, raised: float, form, seed: int) -> FitResult:
        frame = rows.frame
        strength = None if form.flexible else 0.0
        if not _checks.is_auto(self.l2_regularization):
            strength = settled_strength(rows, raised * float(self.l2_regularization))
        settings = Settings(strength, self.solver, self.init, self.max_iter, self.tol, seed, form.flexible)
        warm = None
        theta = form.warm(self, rows) if self.warm_start and hasattr(self, "intercept_") else None
        if theta is not None:
            warm = theta, self._last_law(frame)

        def report(iteration: int, record: Record, dof: float) -> None:
            if self.verbose:
                (objective, alpha, c, share, gradient), _ = self._raw_record(frame, record, dof, form)
                print(
                    f"[{type(self).__name__}] iteration {iteration}: objective {objective:.12g}, alpha {alpha:.4g}, "
                    f"c {c:.4g}, share {share:.4g}, gradient {gradient:.2e}"
                )

        return fit(rows, self._policy(frame), settings, warm, report)

    def _last_law(self, frame: Frame) -> Law:
        return Law(self.alpha_, frame.working_c(self.c_))

    def _floor(self, frame: Frame) -> float:
        """The smallest scale in working units: a few ulps of the typical size of y."""
        return _FLOOR * (frame.y_size / frame.y_scale or 1.0)

    def _raw_record(self, frame: Frame, record: Record, dof: float, form):
        log_terms = dof * float(np.log(frame.c_unit)) if self._learns else 0.0
        c = self._raw_c(frame, record.law.c)
        head = (record.objective + log_terms, record.law.alpha, c, record.law.share, record.gradient)
        if not isinstance(form, Columns):
            return head, NONE
        coef, intercept = frame.to_raw(record.theta)
        return head, np.concatenate(([intercept], coef))

    def _raw_c(self, frame: Frame, c: float) -> float:
        if frame.y_size == 0.0 and c <= self._floor(frame):
            return 0.0
        return c * frame.c_unit

    def _set_attributes(self, rows: Rows, result: FitResult, form) -> None:
        frame = rows.frame
        for name in _OF_FORMS:  # of a former fit in another form
            if hasattr(self, name):
                delattr(self, name)
        for name, value in form.attributes(frame, result.point.theta).items():
            setattr(self, name, value)
        self._kernel = getattr(form, "kernel", None)
        self.alpha_ = float(result.point.law.alpha)
        self.c_ = self._raw_c(frame, result.point.law.c)
        self._width = result.point.law.width * frame.c_unit
        self.scale_ = float(self._clean_scale(rows, result))
        self._history = [self._raw_record(frame, record, result.dof, form) for record in result.history]
        self.objective_ = self._history[-1][0][0]
        self.n_iter_ = result.n_iter
        self.converged_ = result.stop_reason.converged
        self.stop_reason_ = result.stop_reason.value

    def _warn(self, result: FitResult) -> None:
        if result.ruled:
            warnings.warn(
                "The fit has left its start for clearly larger residuals of most rows: outliers of high leverage may "
                f"rule it. {self._against_leverage}, and compare.",
                UserWarning,
                stacklevel=3,
            )
        if result.stop_reason is StopReason.EXACT and self.weights_.min() < 0.01:
            warnings.warn(
                f"{StopReason.EXACT.value} The other rows got next to no weight: if y is rounded, or often takes one "
                "value, hold the scale above that (c_min, or c of GeneralRobustRegressor).",
                UserWarning,
                stacklevel=3,
            )
        elif result.stop_reason is StopReason.INTERPOLATED:
            warnings.warn(
                f"{StopReason.INTERPOLATED.value} Add rows, drop columns, or set l2_regularization.",
                UserWarning,
                stacklevel=3,
            )
        elif not result.stop_reason.converged:
            gradient = result.history[-1].gradient
            remedy = _REMEDIES[result.stop_reason]
            warnings.warn(
                f"{self.stop_reason_} The gradient is {gradient:.1e} after {self.n_iter_} iterations, "
                f"tol={self.tol:g}; {remedy}.",
                ConvergenceWarning,
                stacklevel=3,
            )

"""From what a user passes to a fit, and back: validation, frame, objective, attributes, warnings."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import lru_cache
from numbers import Integral
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_robust import _checks
from sklearn_robust._alone import fit_targets, warn_once
from sklearn_robust._device import check_device, column, like, loss_weights, on_cpu, on_one_side, one_line, placed
from sklearn_robust._fit.drawn import MOST_S_COLUMNS, too_wide_for_subsets
from sklearn_robust._fit.driver import SOLVERS, Settings, fit
from sklearn_robust._fit.dual import NotPositive
from sklearn_robust._fit.objective import Law
from sklearn_robust._fit.result import FitResult, Record, StopReason
from sklearn_robust._fit.start import is_near
from sklearn_robust._forms import OF_FORMS, Columns, check_kernel, form_of, found_strength, predicted, settled_strength
from sklearn_robust._input import validated
from sklearn_robust._loss import mixture
from sklearn_robust._rows.blocks import Rows, row_terms
from sklearn_robust._rows.frame import MOST_COLUMNS, NONE, Frame
from sklearn_robust._rows.threads import serial_blas
from sklearn_robust._uncertainty import UncertaintyMixin
from sklearn_robust.inference import Evidence

if TYPE_CHECKING:
    import pandas as pd

INITS = ("auto", "ols", "lad", "s", "gnc")
# Matrices of so few columns are small: several threads of a BLAS would wait for each other.
_FEW_COLUMNS = 256
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


class BaseRobustRegressor(UncertaintyMixin, RegressorMixin, BaseEstimator):
    """What both estimators share; a child says which law it holds or learns."""

    _against_leverage: str  # what to try
    _learns: bool  # whether c, and perhaps alpha, come from a likelihood
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
    device: str
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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets; each column gets a fit of its own.
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
        with one_line(self):
            given_y = y
            numbers = {"sample_weight": sample_weight, "noise_scale": noise_scale}
            sample_weight, noise_scale = (on_cpu(name, values, self.device) for name, values in numbers.items())
            y = _checks.check_target(column("y", y, self.device), type(self).__name__)
            X = validated(self, X, reset=True)
            _checks.check_length("y", y, X.shape[0], *y.shape[1:])
            weights = _checks.check_row_numbers("sample_weight", sample_weight, len(y), positive=False)
            noise = _checks.check_row_numbers("noise_scale", noise_scale, len(y), positive=True)
            kept = weights > 0.0 if weights.size and weights.min() == 0.0 else None
            X, y = on_one_side(X, y, kept)
            targets = [y] if y.ndim == 1 else np.ascontiguousarray(y.T)
            seeds = [_seed(self.random_state) for _ in targets]

            def fit_target(estimator, j: int) -> FitResult:
                of_target = rows if j == 0 else rows.of_target(targets[j] if kept is None else targets[j][kept])
                with np.errstate(all="ignore"):  # what overflows is a stop reason, not NumPy's warnings
                    result = estimator._run(of_target, strength, form, seeds[j])
                    estimator.l2_regularization_ = found_strength(float(result.strength) / raised, strength is None)
                    estimator._set_attributes(of_target, result, form)
                    found = result.point.weights
                    if kept is not None:
                        found = estimator._all_weights(X, targets[j], weights, noise, of_target, result, form)
                    estimator.weights_ = loss_weights(found, targets[j], given_y)
                return result

            small = self._is_linear and X.shape[1] <= _FEW_COLUMNS
            try:
                with serial_blas() if small else nullcontext():
                    with np.errstate(all="ignore"):
                        rows, raised, form = self._rows(X, targets[0], weights, noise, kept, seeds[0])
                        strength = self._strength(rows, raised, form)
                    if y.ndim == 1:
                        self.__dict__.pop("_alone", None)
                        results = [fit_target(self, 0)]
                    else:
                        rows = rows.for_targets()
                        results = fit_targets(self, fit_target, len(targets), rows)
            except NotPositive:
                raise ValueError(
                    f"kernel must give a matrix without negative eigenvalues. Got kernel={self.kernel!r}; set "
                    "n_components, take another kernel, or raise l2_regularization where they are rounding."
                ) from None
            except ValueError:
                _checks.check_finite("X", X)
                raise
            if any(result.stop_reason is StopReason.OVERFLOW for result in results):
                _checks.check_finite("X", X)
            for name in ("coef_", "dual_coef_", "intercept_", "scale_"):
                if not np.isfinite(getattr(self, name, 0.0)).all():
                    raise ValueError(
                        f"X and y must be of such sizes that coefficients are finite numbers. Got {name} that is not; "
                        "scale the columns of X, or y."
                    )
        warn_once(self._alone if y.ndim == 2 else [self], results)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the centre of the noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            ``X @ coef_.T + intercept_``; with a kernel k, ``k(X, X_fit_) @ dual_coef_ + intercept_``, or
            ``components_`` in the place of ``X_fit_``.
        """
        check_is_fitted(self)
        with one_line(self):
            return like(X, predicted(self, validated(self, X, reset=False)))

    @property
    def history_(self) -> "pd.DataFrame":
        """The iterations, the start first: a DataFrame of objective, alpha, c, share, gradient and coefficients.

        Coefficients have the names of their columns, after ``coef_`` where these collide with the others; those of a
        kernel, or of more columns than rows, are left out. With several targets the index is (target, iteration).
        """
        check_is_fitted(self)
        import pandas as pd

        if hasattr(self, "_alone"):
            tables = [estimator.history_ for estimator in self._alone]
            return pd.concat(tables, keys=range(len(tables)), names=["target", "iteration"])
        table = pd.DataFrame(
            [row for row, _ in self._history], columns=["objective", "alpha", "c", "share", "gradient"]
        )
        if not len(self._history[0][1]):
            return table
        names = self._coef_names([*table.columns, "intercept"])[len(table.columns) :]
        return pd.concat([table, pd.DataFrame([coef for _, coef in self._history], columns=names)], axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = self._is_linear
        tags.input_tags.pairwise = self._is_precomputed
        return tags

    @property
    def _is_precomputed(self) -> bool:
        return isinstance(self.kernel, str) and self.kernel == "precomputed"

    @property
    def _is_linear(self) -> bool:
        return isinstance(self.kernel, str) and self.kernel == "linear"

    def _validated(self, X, reset: bool) -> np.ndarray:
        with one_line(self):
            X = validated(self, X, reset)
            return X if sparse.issparse(X) else np.asarray(X)

    def _check_parameters(self) -> None:
        _checks.check_flag("fit_intercept", self.fit_intercept)
        strength = self.l2_regularization
        if not _checks.is_auto(strength) and not (_checks.is_real(strength) and 0.0 <= float(strength) < np.inf):
            _checks.refuse("l2_regularization", strength, "a finite number >= 0 or 'auto'", "0 is no penalty")
        _checks.check_choice("solver", self.solver, tuple(SOLVERS), "'auto' takes the fastest that is safe")
        _checks.check_choice(
            "init", self.init, INITS, "'s' withstands outliers of high leverage, 'auto' takes it where rows are enough"
        )
        check_kernel(self)
        _checks.check_count("max_iter", self.max_iter, 1, "200 is enough for most data")
        _checks.check_positive("tol", self.tol, "1e-8 gives about eight digits")
        _checks.check_flag("warm_start", self.warm_start)
        check_device(self.device)
        _checks.check_random_state(self.random_state)
        if not isinstance(self.verbose, bool):
            _checks.check_count("verbose", self.verbose, 0)

    def _rows(self, X, y, weights, noise, kept, seed: int):
        """The rows of positive weight, in working units, and by what weights too small for frequencies were raised.

        And the form that made them.
        """
        raised = 1.0
        if kept is not None:
            _checks.check_finite("X", X)
            y, weights, noise = y[kept], weights[kept], noise[kept] if noise.size else noise
        form = form_of(self, X, kept, seed)
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
        return placed(self.device, form.rows(X, kept, y, weights, noise, bool(self.fit_intercept))), raised, form

    def _strength(self, rows: Rows, raised: float, form) -> float | None:
        """The strength of the penalty of raised weights; None to choose one."""
        if _checks.is_auto(self.l2_regularization):
            return settled_strength(rows, None if form.flexible else 0.0, form)
        return settled_strength(rows, raised * float(self.l2_regularization), form)

    def _run(self, rows: Rows, strength: float | None, form, seed: int) -> FitResult:
        frame = rows.frame
        inferred = isinstance(form, Columns) and rows.design is None
        settings = Settings(
            strength, self._solver_for(rows), self.init, self.max_iter, self.tol, seed, form.flexible, inferred,
            not self._is_linear,
        )  # fmt: skip
        warm = None
        theta = form.warm(self, rows) if self.warm_start and hasattr(self, "intercept_") else None
        if theta is not None and is_near(rows, theta, self.scale_ / frame.c_unit):
            warm = theta, self._last_law(frame)

        def report(iteration: int, record: Record, dof: float) -> None:
            if self.verbose:
                (objective, alpha, c, share, gradient), _ = self._raw_record(frame, record, dof, form)
                print(
                    f"[{type(self).__name__}] iteration {iteration}: objective {objective:.12g}, alpha {alpha:.4g}, "
                    f"c {c:.4g}, share {share:.4g}, gradient {gradient:.2e}"
                )

        return fit(rows, self._policy(frame, warm is not None), settings, warm, report)

    def _solver_for(self, rows: Rows) -> str:
        """The solver, which for a sparse X with many columns is one that needs no matrix of them."""
        if rows.design is None:
            return self.solver
        where = "for sparse X with more than {} coefficients"
        if self.init == "s" and too_wide_for_subsets(rows):
            _checks.refuse(
                "init", self.init, f"'auto', 'ols', 'lad' or 'gnc' {where.format(MOST_S_COLUMNS)}", "'auto' takes 'gnc'"
            )
        if rows.design.has_matrix:
            return self.solver
        if self.solver == "newton":
            _checks.refuse(
                "solver", self.solver, f"'auto', 'irls' or 'lbfgs' {where.format(MOST_COLUMNS)}", "'auto' takes 'lbfgs'"
            )
        return "lbfgs" if self.solver == "auto" else self.solver

    def _all_weights(self, X, y, weights, noise, rows: Rows, result: FitResult, form) -> np.ndarray:
        """The weights of the loss (n,), also of rows of sample weight 0."""
        law, frame = result.point.law.of_rows(), rows.frame
        if isinstance(form, Columns):
            whole = placed(self.device, Rows(X, y, weights, noise / frame.noise_unit, frame))
            return whole.loss_weights(result.point.theta, law)
        residuals = (y - predicted(self, X)) / frame.c_unit
        return row_terms(residuals / noise if noise.size else residuals, law, mixture.WEIGHT)

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
        for name in OF_FORMS:  # of a former fit in another form
            if hasattr(self, name):
                delattr(self, name)
        for name, value in form.attributes(frame, result.point.theta).items():
            setattr(self, name, value)
        self._kernel, self._rotated = getattr(form, "kernel", None), not isinstance(form, Columns)
        self.alpha_ = float(result.point.law.alpha)
        self.c_ = self._raw_c(frame, result.point.law.c)
        self._width = result.point.law.width * frame.c_unit
        self.scale_ = float(self._clean_scale(rows, result))
        self._evidence = None
        if result.sandwich is not None:
            learns = self._learns, self._learned_shape()
            self._evidence = Evidence(result.sandwich, frame, result.point.law.c, result.total, result.dof, *learns)
        self._history = [self._raw_record(frame, record, result.dof, form) for record in result.history]
        self.objective_ = self._history[-1][0][0]
        self.n_iter_ = result.n_iter
        self.converged_ = result.stop_reason.converged
        self.stop_reason_ = result.stop_reason.value

    def _warnings(self, result: FitResult) -> Iterator[tuple[str, type[Warning]]]:
        """What the user should know of a fit: lines and their categories."""
        if result.ruled:
            yield (
                "The fit has left its start for clearly larger residuals of most rows: outliers of high leverage may "
                f"rule it. {self._against_leverage}, and compare.",
                UserWarning,
            )
        if result.stop_reason is StopReason.EXACT and self.weights_.min() < 0.01:
            yield (
                f"{StopReason.EXACT.value} The other rows got next to no weight: if y is rounded, or often takes one "
                "value, hold the scale above that (c_min, or c of GeneralRobustRegressor).",
                UserWarning,
            )
        elif result.stop_reason is StopReason.INTERPOLATED:
            yield f"{StopReason.INTERPOLATED.value} Add rows, drop columns, or set l2_regularization.", UserWarning
        elif not result.stop_reason.converged:
            gradient = result.history[-1].gradient
            remedy = _REMEDIES[result.stop_reason]
            yield (
                f"{self.stop_reason_} The gradient is {gradient:.1e} after {self.n_iter_} iterations, "
                f"tol={self.tol:g}; {remedy}.",
                ConvergenceWarning,
            )

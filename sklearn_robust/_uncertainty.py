"""What a fitted model says of its uncertainty: checks what users pass and names the answers that inference computes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sklearn_robust import _checks, inference
from sklearn_robust._fit.objective import Law
from sklearn_robust._forms import predicted
from sklearn_robust._rows.blocks import clean_probability
from sklearn_robust._summary import Summary
from sklearn_robust.losses import weight

if TYPE_CHECKING:
    import pandas as pd

_CONFIDENCE = "0.95 is customary"


def _dense(X) -> np.ndarray:
    return X.toarray() if sparse.issparse(X) else X


class UncertaintyMixin:
    """Standard errors, intervals, tails and diagnostics of a fitted regressor."""

    _evidence: inference.Evidence | None
    _rotated: bool
    _alone: list[Any]
    _clean_law: Callable[[], Law]
    n_features_in_: int
    _validated: Callable[..., np.ndarray]
    fit_intercept: bool
    coef_: np.ndarray
    intercept_: float
    alpha_: float
    c_: float
    scale_: float

    @property
    def covariance_(self) -> np.ndarray:
        """Covariance of the coefficients, intercept first: ndarray (n_coefs, n_coefs), ``cov_type="model"``.

        In units of y and the columns; NaN for coefficients that the rows do not determine. For several targets
        (n_targets, n_coefs, n_coefs).
        """
        check_is_fitted(self)
        if hasattr(self, "_alone"):
            return np.stack([each.covariance_ for each in self._alone])
        return self._covariance("model")

    @property
    def robust_r2_(self) -> float | np.ndarray:
        """Share of the variance of clean rows that the fit explains: at alpha = 2 the usual R² of the training rows."""
        check_is_fitted(self)
        if hasattr(self, "_alone"):
            return np.array([each.robust_r2_ for each in self._alone])
        with np.errstate(all="ignore"):
            return inference.r_squared(self._known(), self.scale_)

    def conf_int(self, confidence: float = 0.95, cov_type: str = "model") -> "pd.DataFrame":
        """Confidence intervals of the coefficients.

        Parameters
        ----------
        confidence : float, default=0.95
            Probability in (0, 1) with which an interval covers.
        cov_type : {"model", "hc"}, default="model"
            ``"model"``: noise of one law. ``"hc"``: its variance may differ from row to row.

        Returns
        -------
        intervals : DataFrame
            Columns ``lower`` and ``upper``, a row for each coefficient, intercept first; in units of the coefficients,
            by Student's quantile with S - d degrees of freedom. NaN for coefficients that the rows do not determine.
            Coefficients have the names of their columns, after ``coef_`` where one of these is "intercept". For several
            targets the index is (target, coefficient).

        Raises
        ------
        ValueError
            For a confidence outside (0, 1), an unknown cov_type, or no more rows than coefficients.
        """
        check_is_fitted(self)
        _checks.check_fraction("confidence", confidence, _CONFIDENCE)
        if hasattr(self, "_alone"):
            return self._tables([each.conf_int(confidence, cov_type) for each in self._alone])
        return self._table(confidence, cov_type)[["lower", "upper"]]

    def summary(self, cov_type: str = "model") -> Summary:
        """Coefficients with standard errors and 95% intervals, the law of the noise, and how the fit ended.

        Parameters
        ----------
        cov_type : {"model", "hc"}, default="model"
            ``"model"``: noise of one law. ``"hc"``: its variance may differ from row to row.

        Returns
        -------
        summary : Summary
            Prints as text, shows as HTML in a notebook. ``table`` is a DataFrame of ``estimate, standard error, z, p,
            lower, upper``, z the estimate in standard errors and p its two-sided tail by Student's t; ``law`` one of
            alpha, log c and the share of outliers with their standard errors, NaN for what is held or at a bound.

        Raises
        ------
        ValueError
            For an unknown cov_type, no more rows than coefficients, or several targets.
        """
        check_is_fitted(self)
        if hasattr(self, "_alone"):
            if len(self._alone) == 1:
                return self._alone[0].summary(cov_type)
            raise ValueError(
                f"summary is of one target. Got a fit of {len(self._alone)}; conf_int has the intervals of all of them."
            )
        table = self._table(0.95, cov_type)
        return Summary.of(self, table, self._law_table(cov_type), cov_type, self._known().dof)

    def predict_interval(
        self, X: ArrayLike, coverage: float = 0.95, noise_scale: ArrayLike | None = None
    ) -> np.ndarray:
        """Limits between which a clean new row falls: the law of the noise, and the uncertainty of the fit itself.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        coverage : float, default=0.95
            Probability in (0, 1) with which an interval holds the target of a row that is no outlier.
        noise_scale : array-like of shape (n_samples,), default=None
            Error bars of the rows, in the units of those given to ``fit``; ones where not given.

        Returns
        -------
        limits : ndarray of shape (n_samples, 2) or (n_samples, 2, n_targets)
            Lower and upper limits, in units of y.

        Raises
        ------
        ValueError
            For a coverage outside (0, 1), or a fit with no more rows than coefficients.
        """
        check_is_fitted(self)
        _checks.check_fraction("coverage", coverage, _CONFIDENCE)
        if hasattr(self, "_alone"):
            return np.stack([each.predict_interval(X, coverage, noise_scale) for each in self._alone], axis=-1)
        known = self._known()
        rows = _dense(self._validated(X, reset=False))
        noise = _checks.check_row_numbers("noise_scale", noise_scale, len(rows), positive=True)
        with np.errstate(all="ignore"):
            errors = inference.fit_errors(known, rows, noise)
            half = inference.half_width(self._clean_law(), errors, coverage, known.dof)
            half = half * noise if noise.size else half
            centre = rows @ self.coef_ + self.intercept_
            return np.column_stack((centre - half, centre + half))

    def log_density(self, X: ArrayLike, y: ArrayLike, noise_scale: ArrayLike | None = None) -> np.ndarray:
        """Log density of targets under the fitted law, the mixture where there is a background.

        Of a held loss it is the density of that loss at its c: no estimate of the density of the noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, training or new.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        noise_scale : array-like of shape (n_samples,), default=None
            Error bars of the rows, in the units of those given to ``fit``.

        Returns
        -------
        log_density : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Natural logarithm of the density in units of 1 / y.

        Raises
        ------
        ValueError
            For a loss held at alpha < 0, which is that of no density.
        """
        check_is_fitted(self)
        if hasattr(self, "_alone"):
            return self._each_target("log_density", X, y, noise_scale)
        if self.alpha_ < 0.0:
            raise ValueError(
                f"log_density must have a loss with alpha >= 0. Got alpha={self.alpha_!r}, the loss of no density; use "
                "AdaptiveRobustRegressor."
            )
        _, residuals, noise = self._residuals(X, y, noise_scale)
        with np.errstate(all="ignore"):
            return inference.log_density(self._law(), residuals, noise)

    def outlier_pvalue(self, X: ArrayLike, y: ArrayLike, noise_scale: ArrayLike | None = None) -> np.ndarray:
        """How probable a residual at least as large is for a clean row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, training or new.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        noise_scale : array-like of shape (n_samples,), default=None
            Error bars of the rows, in the units of those given to ``fit``.

        Returns
        -------
        p : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Two-sided tail probabilities under the law of clean rows, uniform in [0, 1] for these.
        """
        check_is_fitted(self)
        if hasattr(self, "_alone"):
            return self._each_target("outlier_pvalue", X, y, noise_scale)
        _, residuals, _ = self._residuals(X, y, noise_scale)
        with np.errstate(all="ignore"):
            return inference.tail_probability(self._clean_law(), residuals)

    def influence(self, X: ArrayLike, y: ArrayLike, noise_scale: ArrayLike | None = None) -> "pd.DataFrame":
        """What single rows do to the fit, and what it does to them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; those of ``fit`` for the distance to mean what it says.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        noise_scale : array-like of shape (n_samples,), default=None
            Error bars of the rows, in the units of those given to ``fit``.

        Returns
        -------
        rows : DataFrame
            ``residual`` in units of y; ``weight`` of the loss, times the probability of being no outlier; ``leverage``,
            the pull at its own fit that a row of full weight at this X would have, near or above 1 for a bad or good
            leverage point; ``cook_distance``, how far the coefficients move without the row, in units of their
            covariance. At alpha = 2 the last two are the classical ones. X's index, where it has one; for several
            targets (target, row).

        Raises
        ------
        ValueError
            For a fit with no more rows than coefficients.
        """
        import pandas as pd

        check_is_fitted(self)
        if hasattr(self, "_alone"):
            columns = self._target_columns(X, y)
            return self._tables(
                [each.influence(X, column, noise_scale) for each, column in zip(self._alone, columns, strict=True)]
            )
        known = self._known()
        index = getattr(X, "index", None) if isinstance(X, pd.DataFrame) else None
        X, residuals, noise = self._residuals(X, y, noise_scale)
        law = self._law()
        with np.errstate(all="ignore"):
            weights = weight(residuals, law.alpha, law.c or 1.0) * clean_probability(residuals, law.of_rows())
            found = inference.influence(known, _dense(X), residuals, weights, noise)
        residuals = residuals * noise if noise.size else residuals
        return pd.DataFrame({"residual": residuals, "weight": weights, **found}, index=index)

    def _residuals(self, X, y, noise_scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Checked rows X (n, p), residuals (n,) divided by the noise scales, and these, empty for ones."""
        check_is_fitted(self)
        y = _checks.check_target(y, type(self).__name__)
        X = self._validated(X, reset=False)
        _checks.check_length("y", y, X.shape[0])
        noise = _checks.check_row_numbers("noise_scale", noise_scale, len(y), positive=True)
        with np.errstate(all="ignore"):
            residuals = y - predicted(self, X)
            return X, residuals / noise if noise.size else residuals, noise

    def _known(self) -> inference.Evidence:
        """What the fit left for inference."""
        if self._evidence is None:
            raise inference.NoUncertaintyError(
                "Standard errors, intervals and influence are for linear models with a dense X of no more columns than "
                "rows. Got a fit with " + self._unknown() + "."
            )
        return self._evidence

    def _unknown(self) -> str:
        """Why a fit left nothing for inference, and what to do."""
        if not hasattr(self, "coef_"):
            return "a kernel; bootstrap, or compare by cross-validation"
        if self._rotated:
            return "more columns than rows; drop columns, bootstrap, or compare by cross-validation"
        return "a sparse X; fit X.toarray() or some of its rows, or bootstrap"

    def _target_columns(self, X, y) -> np.ndarray:
        """Checked targets (n_targets, n_samples)."""
        y = _checks.check_target(y, type(self).__name__)
        X = self._validated(X, reset=False)
        _checks.check_length("y", y, X.shape[0], len(self._alone))
        return y.T

    def _each_target(self, method: str, X, y, noise_scale) -> np.ndarray:
        """The answers (n_samples, n_targets) of a method of X, y and noise_scale."""
        columns = self._target_columns(X, y)
        answers = [
            getattr(each, method)(X, column, noise_scale) for each, column in zip(self._alone, columns, strict=True)
        ]
        return np.stack(answers, axis=1)

    def _tables(self, tables: list) -> "pd.DataFrame":
        """Tables of each target, one under the other."""
        import pandas as pd

        return pd.concat(tables, keys=range(len(tables)), names=["target"])

    def _law(self) -> Law:
        """The law of a row, in raw units."""
        return Law(self.alpha_, self.c_)

    def _checked(self, cov_type: str) -> str:
        check_is_fitted(self)
        remedy = "'hc' is for noise whose variance differs between rows"
        _checks.check_choice("cov_type", cov_type, inference.COV_TYPES, remedy)
        return cov_type

    def _covariance(self, cov_type: str) -> np.ndarray:
        cov_type = self._checked(cov_type)
        with np.errstate(all="ignore"):  # in extreme units it overflows
            return inference.coef_covariance(self._known(), cov_type)

    def _table(self, confidence: float, cov_type: str) -> "pd.DataFrame":
        """Estimate, standard error, z, p and limits of each coefficient."""
        import pandas as pd

        cov_type = self._checked(cov_type)
        known = self._known()
        estimates = np.concatenate(([self.intercept_] * bool(self.fit_intercept), self.coef_))
        dof = known.dof
        with np.errstate(all="ignore"):
            errors = inference.coef_errors(known, cov_type)
            statistics = estimates / errors
            half = inference.student_quantile(confidence, dof) * errors
        columns = {
            "estimate": estimates,
            "standard error": errors,
            "z": statistics,
            "p": inference.p_values(statistics, dof),
            "lower": estimates - half,
            "upper": estimates + half,
        }
        return pd.DataFrame(columns, index=self._coef_names(["intercept"] * bool(self.fit_intercept)))

    def _coef_names(self, others: list[str]) -> list[str]:
        """Other names, then those of the coefficients: those of columns, after ``coef_`` if they collide."""
        names = list(getattr(self, "feature_names_in_", [f"x{j}" for j in range(self.n_features_in_)]))
        return others + ([f"coef_{name}" for name in names] if {*names} & {*others} else names)

    def _law_table(self, cov_type: str) -> "pd.DataFrame":
        """Estimate and standard error of alpha, log c and the share of outliers."""
        import pandas as pd

        share = getattr(self, "contamination_", 0.0)
        with np.errstate(all="ignore"):
            log_c, alpha, logit_share = inference.law_errors(self._known(), cov_type)
            estimates = [self.alpha_, float(np.log(self.c_)), share]
        errors = [alpha, log_c, logit_share * share * (1.0 - share)]
        return pd.DataFrame(
            {"estimate": estimates, "standard error": errors}, index=["alpha", "log c", "share of outliers"]
        )

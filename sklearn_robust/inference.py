"""What a fit knows of its own uncertainty: covariances, intervals and tails, as functions of arrays and a fit's sums.

With J the objective of a fit, H its Hessian in the coefficients and whatever of log c, alpha and the logit of the share
is free, and z_i the score of row i, minus the gradient of its cost there, the two covariances are

    "model"   H^-1                                      the law of the noise is the fitted one
    "hc"      (S / (S - d))² H^-1 (Σ s z z') H^-1       noise of any law, its variance different from row to row

where alpha is learned. The factor is the jackknife's, 1 / (1 - leverage)², at the mean leverage. Where alpha is held,
or at its lower bound, the noise has another law than the loss, and "model", for noise of any one law, is

    H^-1 (Σ s psi² / (S - d)) / (Σ s psi' / S).

Where c is held as well, "hc" is without the factor. At alpha = 2 "model" is the covariance of least squares. With a
ridge penalty, which H then holds, "model" is the covariance of the posterior for a prior Normal(0, c² / lambda) of the
slopes, and "hc" that of the estimate around its own mean.

Sources: P. J. Huber, The behavior of maximum likelihood estimates under nonstandard conditions (1967); C. Croux, G.
Dhaene, D. Hoorelbeke, Robust standard errors for robust estimators (2003), for "hc" of a held loss, as in lmrob;
J. G. MacKinnon, H. White, Some heteroskedasticity-consistent covariance matrix estimators (1985), for the jackknife;
O. Renaud, M.-P. Victoria-Feser, A robust coefficient of determination for regression (2010); R. D. Cook, Detection of
influential observation in linear regression (1977).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import ndtri, stdtr, stdtrit

from sklearn_robust._fit.objective import Law, log_partition
from sklearn_robust._fit.sandwich import Sandwich
from sklearn_robust._loss.tails import isf
from sklearn_robust._rows.frame import NONE, Frame
from sklearn_robust.losses import rho

COV_TYPES = ("model", "hc")
_LOG_C, _ALPHA, _SHARE = range(3)
_LEAST_REST = 1e-6
_RANK_TOL = 64 * np.finfo(float).eps


class NoUncertaintyError(ValueError, AttributeError):
    """A fit has no standard errors; of attributes, too, so that ``hasattr`` tells, as with ``NotFittedError``."""


@dataclass(frozen=True)
class Evidence:
    """What a fit leaves for inference: bread and meat in working units, their frame and c there, S and S - d."""

    sandwich: Sandwich
    frame: Frame
    c: float
    total: float
    dof: float
    learned_scale: bool
    learned_shape: bool

    @cached_property
    def inverse(self) -> np.ndarray:
        """The inverse of the bread (m, m), of what the rows determine; NaN for a law that is at no minimum."""
        out = np.full_like(self.sandwich.bread, np.nan)
        found = self._inverse(len(out))
        if found is None:
            found = self.coef_inverse
        out[: len(found), : len(found)] = found
        return out

    @cached_property
    def coef_inverse(self) -> np.ndarray:
        """The same (q, q) for the coefficients at a held law."""
        found = self._inverse(self.frame.n_coefs)
        if found is None:
            raise NoUncertaintyError(
                "Standard errors must have a strict minimum of the objective. Got a fit that ended at none; see "
                "stop_reason_, raise max_iter or add rows."
            )
        return found

    def _inverse(self, size: int) -> np.ndarray | None:
        q, basis = self.frame.n_coefs, self.sandwich.basis
        if self.dof <= 0.0:
            raise NoUncertaintyError(
                f"Standard errors must have more rows than coefficients. Got rows of total weight {self.total:.6g} for "
                f"{q} coefficients; add rows or drop columns."
            )
        full = np.eye(size)
        if basis is not None:
            full = np.zeros((size, size - q + basis.shape[1]))
            full[:q, : basis.shape[1]], full[q:, basis.shape[1] :] = basis, np.eye(size - q)
        inverse = _inverse(full.T @ self.sandwich.bread[:size, :size] @ full)
        return None if inverse is None else full @ inverse @ full.T

    @cached_property
    def one_law(self) -> float:
        """(Σ s psi² / (S - d)) / (Σ s psi' / S), about 1 where the noise has the law of the loss."""
        if self.sandwich.curvature <= 0.0:
            raise NoUncertaintyError(
                "Standard errors must have residuals within a few c. "
                f"Got c={self.c * self.frame.c_unit:.3g}, far below them; raise c, or take cov_type='hc'."
            )
        return self.sandwich.pull * self.total / self.dof / self.sandwich.curvature


def _inverse(matrix) -> np.ndarray | None:
    """Invert a positive definite matrix; None for others."""
    if not len(matrix):
        return matrix
    diagonal = matrix.diagonal()
    if not (np.isfinite(matrix).all() and (diagonal > 0.0).all()):
        return None
    factor = 1.0 / np.sqrt(diagonal)
    try:
        cholesky = cho_factor(matrix * factor * factor[:, None], lower=True)
    except LinAlgError:
        return None
    if cholesky[0].diagonal().min() ** 2 < len(matrix) * _RANK_TOL:
        return None
    return cho_solve(cholesky, np.diag(factor)) * factor[:, None]


def joint_covariance(evidence: Evidence, cov_type: str) -> np.ndarray:
    """Return the covariance (m, m) of theta / c in working units and the free of log c, alpha and the logit share."""
    inverse = evidence.inverse
    if cov_type == "model":
        return inverse if evidence.learned_shape else inverse * evidence.one_law
    factor = evidence.total / evidence.dof if evidence.learned_scale else 1.0
    size = int(np.isfinite(inverse[0]).sum())
    out = inverse.copy()
    bread = factor * inverse[:size, :size]
    out[:size, :size] = bread @ evidence.sandwich.meat[:size, :size] @ bread
    return out


def coef_covariance(evidence: Evidence, cov_type: str) -> np.ndarray:
    """Return the covariance (q, q) of the coefficients, intercept first; NaN where the rows do not determine them."""
    q = evidence.frame.n_coefs
    to_raw = evidence.frame.to_raw_matrix() * evidence.c
    covariance = to_raw @ joint_covariance(evidence, cov_type)[:q, :q] @ to_raw.T
    lost = ~evidence.sandwich.determined
    covariance[lost], covariance[:, lost] = np.nan, np.nan
    return covariance


def coef_errors(evidence: Evidence, cov_type: str) -> np.ndarray:
    """Return the standard errors (q,) of the coefficients; also where their squares would overflow."""
    q = evidence.frame.n_coefs
    to_raw = evidence.frame.to_raw_matrix()
    size = np.abs(to_raw).max(axis=1)
    rows = to_raw / np.where(size > 0.0, size, 1.0)[:, None]
    squares = np.einsum("ij,jk,ik->i", rows, joint_covariance(evidence, cov_type)[:q, :q], rows)
    return np.where(evidence.sandwich.determined, _roots(squares) * evidence.c * size, np.nan)


def law_errors(evidence: Evidence, cov_type: str) -> tuple[float, float, float]:
    """Return standard errors of log c, alpha and the logit share; NaN for what is held, or at a bound."""
    q, free = evidence.frame.n_coefs, evidence.sandwich.free
    errors = np.full(3, np.nan)
    if free:
        errors[list(free)] = np.sqrt(joint_covariance(evidence, cov_type).diagonal()[q:])
    return float(errors[_LOG_C]), float(errors[_ALPHA]), float(errors[_SHARE])


def fit_errors(evidence: Evidence, X, noise=NONE) -> np.ndarray:
    """Return standard errors (n,) of the fitted values at rows X (n, p), in units of y divided by the noise scales."""
    frame = evidence.frame
    covariance = joint_covariance(evidence, "model")[: frame.n_coefs, : frame.n_coefs]
    design = frame.design(X, noise)
    squares = np.einsum("ij,ij->i", design @ covariance, design)
    return _roots(squares) * (evidence.c * frame.c_unit)


def _roots(squares) -> np.ndarray:
    """Square roots of variances; inf where covariances overflow, of either sign."""
    return np.sqrt(np.where(np.isnan(squares), np.inf, np.maximum(squares, 0.0)))


def student_quantile(coverage: float, dof: float) -> float:
    """Return how many standard errors to either side have a coverage."""
    return float(stdtrit(dof, 0.5 + 0.5 * coverage))


def p_values(statistics, dof: float) -> np.ndarray:
    """Return the two-sided tail probabilities of estimates in units of their standard errors."""
    return 2.0 * stdtr(dof, -np.abs(statistics))


def half_width(law: Law, errors, coverage: float, dof: float) -> np.ndarray:
    """Return half the width of intervals for new rows of a law, whose centre has standard errors (n,).

    The quantile of the law, wider by what its own uncertainty does to a Gaussian's, and that of the centre, added as
    variances are: at alpha = 2 exactly Student's interval.
    """
    student = student_quantile(coverage, dof)
    quantile = isf(0.5 - 0.5 * coverage, law.alpha, log_partition(law.alpha)) * law.c
    return np.hypot(quantile * (student / ndtri(0.5 + 0.5 * coverage)), student * errors)


def tail_probability(law: Law, residuals) -> np.ndarray:
    """Return P(|R| > |r|) for R of the law of clean rows."""
    from sklearn_robust.distributions import general_robust

    sizes = np.abs(residuals)
    if law.c == 0.0:
        return np.where(sizes > 0.0, 0.0, 1.0)
    return np.minimum(2.0 * general_robust.sf(sizes / law.c, law.alpha), 1.0)


def log_density(law: Law, residuals, noise=NONE) -> np.ndarray:
    """Return the log density (n,) at residuals in units of the noise scales, of the mixture where there is one."""
    if law.c == 0.0:
        value = np.where(residuals == 0.0, np.inf, -np.inf)
    else:
        value = -rho(residuals, law.alpha, law.c) - log_partition(law.alpha) - np.log(law.c)
    if law.share > 0.0:
        value = np.logaddexp(np.log1p(-law.share) + value, np.log(law.share) - np.log(law.width))
    return value - np.log(noise) if noise.size else value


def influence(evidence: Evidence, X, residuals, weights, noise=NONE) -> dict[str, np.ndarray]:
    """Return leverage and Cook's distance (n,) of rows with residuals and weights (n,), in units of the noise scales.

    ``leverage`` is x' H^-1 x, what a row of full weight would have of the fit at its own place: at alpha = 2 the
    diagonal of the hat matrix. The distance is how far the coefficients move without the row, to first order, in units
    of their covariance and divided by their number.
    """
    frame, q = evidence.frame, evidence.frame.n_coefs
    design = frame.design(X, noise)
    leverage = np.einsum("ij,ij->i", design @ evidence.coef_inverse, design)
    rest = np.maximum(1.0 - leverage * weights, _LEAST_REST)
    pulls = residuals / (evidence.c * frame.c_unit) * weights
    rank = q if evidence.sandwich.basis is None else evidence.sandwich.basis.shape[1]
    return {"leverage": leverage, "cook_distance": pulls**2 * leverage / (rank * evidence.one_law * rest**2)}


def r_squared(evidence: Evidence, scale: float) -> float:
    """Return the share of the variance of clean rows that the fit explains; at alpha = 2 the usual one."""
    sandwich = evidence.sandwich
    left = np.square(scale / evidence.frame.c_unit) * sandwich.weight * (evidence.dof / evidence.total)
    return float(sandwich.explained / (sandwich.explained + left)) if left > 0.0 else float("nan")

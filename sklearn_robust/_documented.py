"""What the docstrings of both estimators share."""

_COMMON_PARAMETERS = """\
fit_intercept : bool, default=True
        Whether the model has an intercept, which is never penalised.
    l2_regularization : float or "auto", default="auto"
        Ridge strength in noise units: at ``alpha=2`` the fit is that of ``Ridge(alpha=l2_regularization)``, or of
        ``KernelRidge`` with ``fit_intercept=False``. ``"auto"`` is 0 for linear models; for a kernel it maximises the
        marginal likelihood at the weights of a robust start.
    kernel : str or callable, default="linear"
        A name among scikit-learn's ``pairwise_kernels``, a function of two rows, or "precomputed": then X is the matrix
        of kernel values, (n_samples, n_samples) for ``fit`` and (n_queries, n_samples) later. "linear" fits ``coef_``.
    gamma : float or None, default=None
        Parameter of the kernels "rbf", "laplacian", "poly", "sigmoid" and "chi2"; None is their default.
    degree : float, default=3
        Degree of "poly".
    coef0 : float, default=1
        Zeroth coefficient of "poly" and "sigmoid".
    kernel_params : dict or None, default=None
        Keyword arguments of a callable kernel.
    n_components : int or None, default=None
        Number of rows drawn as landmarks (Nyström), which stand for all rows in a kernel; None is the exact kernel, of
        matrices n_samples x n_samples. A linear model has no use for it.
    solver : {"auto", "irls", "lbfgs", "newton"}, default="auto"
        The road to the optimum; every solver ends at the same one from the same start. ``"auto"`` is ``"newton"``, or
        ``"lbfgs"`` with an exact kernel and for sparse X with more than 1000 coefficients.
    init : {"auto", "ols", "lad", "s", "gnc"}, default="auto"
        The start: least squares, least absolute deviations, the S-estimate (which half of the rows cannot move, however
        wrong; linear models only), graduated non-convexity (alpha annealed from 2 down), or "s" where there are rows
        enough for it ("gnc" for a kernel, and for sparse X with more than 300 coefficients). A loss held at alpha >= 2,
        which leaves no row aside, begins at least squares.
    max_iter : int, default=200
        The most steps after the start.
    tol : float, default=1e-8
        Largest entry of the gradient, per unit weight, in working units (y and columns scaled) and those of c, or of
        the size of y where a held c is larger.
    warm_start : bool, default=False
        Whether ``fit`` starts from the last coefficients and law. It does not where most residuals are more than three
        times larger there than they were, or than y is without coefficients: such data are not those of the last fit.
    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where the passes over the rows run. ``"cuda"`` is an NVIDIA GPU, for dense X and for kernels, and an error
        where none is usable; ``"auto"`` takes one where it is there and X is large.
    random_state : int, RandomState instance or None, default=0
        Of the subsets of rows that the S-estimate draws, and of landmarks: the same data give the same fit, unless this
        is None.
    verbose : int, default=0
        Whether to print a line for each step."""

_COMMON_ATTRIBUTES = """\
coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients of a linear model; of smallest norm, in working units, where the rows do not determine them.
    dual_coef_ : ndarray of shape (n_samples,) or (n_components,), or with columns (n_targets)
        With a kernel, the coefficients of its values at the rows of ``X_fit_`` or ``components_``.
    X_fit_ : ndarray of shape (n_samples, n_features)
        With an exact kernel that is not precomputed, the rows of positive weight.
    components_ : ndarray of shape (n_components, n_features)
        The landmarks, unless the kernel is precomputed; ``component_indices_`` has their row numbers.
    intercept_ : float
        Intercept, 0.0 without one. This and all that follow are of one target; where y has columns, scalars are
        arrays of shape (n_targets,).
    l2_regularization_ : float
        Strength of the penalty, given or chosen.
    alpha_ : float
        Shape of the loss.
    c_ : float
        Scale of the loss, in units of y.
    scale_ : float
        Gaussian-consistent scale of the residuals of clean rows, in units of y.
    covariance_ : ndarray of shape (n_coefs, n_coefs) or (n_targets, n_coefs, n_coefs)
        Covariance of the coefficients, intercept first, for noise of one law; nan where the rows do not determine them.
        This and ``robust_r2_`` are of linear models, dense X and no more columns than rows.
    robust_r2_ : float or ndarray of shape (n_targets,)
        Share of the variance of clean rows that the fit explains.
    weights_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Weight that the loss gives each row: in [0, 1] for alpha <= 2, near 0 for outliers. Of many rows they may be
        those of the last step but one, which differ in the seventh digit. Where X and y lie on a GPU, of the kind of
        array that y is.
    objective_ : float
        Value of the objective at the end.
    history_ : DataFrame
        Objective, alpha, c, share, gradient and coefficients (of no kernel) of each step; of targets by
        (target, iteration).
    n_iter_ : int
        Steps on the way to the optimum.
    converged_ : bool
        Whether the fit is an optimum.
    stop_reason_ : str
        Why the steps ended, in a sentence.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where X has them."""


def documented(estimator):
    """Write what both estimators share into the docstring of one."""
    if estimator.__doc__:
        common = {"parameters": _COMMON_PARAMETERS, "attributes": _COMMON_ATTRIBUTES}
        for name, text in common.items():
            estimator.__doc__ = estimator.__doc__.replace(f"<{name}>", text)
    return estimator

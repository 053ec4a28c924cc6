"""Several targets: each has a fit of its own, and all that follows from X alone is found once.

The estimator of k targets keeps k estimators of one, ``_alone``; its attributes are theirs, stacked.
"""

import warnings

import numpy as np

from sklearn_robust._device import on_gpu
from sklearn_robust._fit.result import FitResult
from sklearn_robust._forms import OF_FORMS, SHARED
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.threads import run_all, serial_blas

# In fits of fewer, threads would wait for each other; in fits of many more, they share the rows of a target.
_FEW_ENTRIES = 20_000
_OF_X = ("n_features_in_", "feature_names_in_")


def fit_targets(estimator, fit_target, n_targets: int, rows: Rows) -> list[FitResult]:
    """Fit every target by ``fit_target(estimator of one, j)``, and stack what they found.

    Linear algebra has one thread meanwhile: targets share the others, and get the same bits from any number of them.
    """
    alone = _estimators(estimator, n_targets)
    results: list = [None] * n_targets
    if n_targets == 1:
        results[0] = fit_target(alone[0], 0)
    else:
        with serial_blas():
            results[0] = fit_target(alone[0], 0)

            def task(part: int) -> None:
                results[part + 1] = fit_target(alone[part + 1], part + 1)

            few = len(rows) * rows.frame.n_coefs < _FEW_ENTRIES
            # a GPU and the stream of work on it are current in this thread alone
            if on_gpu(rows) or rows.n_chunks > n_targets or few:
                for part in range(n_targets - 1):
                    task(part)
            else:
                run_all(task, n_targets - 1)
    estimator._alone, estimator._kernel = alone, alone[0]._kernel
    for name in OF_FORMS:
        vars(estimator).pop(name, None)
    for name in vars(alone[0]):
        if name.endswith("_") and not name.startswith("_") and name not in _OF_X:
            values = [getattr(each, name) for each in alone]
            setattr(estimator, name, values[0] if name in SHARED else np.array(values))
    if hasattr(estimator, "dual_coef_"):
        estimator.dual_coef_ = estimator.dual_coef_.T
    for each, weights in zip(alone, estimator.weights_, strict=True):
        each.weights_ = weights  # which are not kept twice
    estimator.weights_ = estimator.weights_.T
    return results


def _estimators(estimator, n_targets: int) -> list:
    """Estimators of one target each, with what is known of X; for a warm start those of the last fit."""
    before = getattr(estimator, "_alone", [])
    before = before if estimator.warm_start and len(before) == n_targets else [None] * n_targets
    parameters = estimator.get_params(deep=False)
    shared = parameters | {name: getattr(estimator, name) for name in _OF_X if hasattr(estimator, name)}
    alone = []
    for last in before:
        each = type(estimator)(**parameters)
        vars(each).update(vars(last) if last is not None else {})
        vars(each).update(shared)
        alone.append(each)
    return alone


def warn_once(alone: list, results: list[FitResult]) -> None:
    """Warn of fits, once for each kind of warning: of one target in its words, and which others it is true of."""
    found: dict = {}
    for target, (each, result) in enumerate(zip(alone, results, strict=True)):
        for text, category in each._warnings(result):
            found.setdefault((text[:20], category), []).append((target, text))
    for (_, category), cases in found.items():
        target, text = cases[0]
        if len(alone) > 1:
            text = (
                f"Target {target}" + (f" and {len(cases) - 1} more of {len(alone)}" if cases[1:] else "") + f": {text}"
            )
        warnings.warn(text, category, stacklevel=3)

"""Fits and passes on a GPU, held against the CPU: the worst relative error of each case, a JSON line each.

Run as a script with an argument: "passes", "fits", "apart" for fits of arrays that refuse NumPy's, "many" for fits of
more rows than are looked at on the CPU, or "benchmark". The last two have the CPU's loops in the place of kernels where
there is no GPU. Numba's simulator of one, taken unless NUMBA_ENABLE_CUDASIM=0 asks for a real one, is a switch of a
whole process.
"""

import json
import os
import sys
import tracemalloc
import warnings
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")

import numpy as np
from cuda_benchmark import BENCHMARK

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor, _alone, _checks
from sklearn_robust._rows import cpu, cuda, gpu, kernels, on_device
from sklearn_robust._rows.blocks import RowLaw, Rows
from sklearn_robust._rows.cuda import MOST_COLUMNS
from sklearn_robust._rows.frame import NONE, Frame
from sklearn_robust._rows.on_device import DeviceArray, DeviceRows

ATTRIBUTES = "coef_ intercept_ dual_coef_ alpha_ c_ scale_ contamination_ weights_ objective_ n_iter_"
LAWS = {
    "least squares": RowLaw(2.0, 0.7),
    "below two": RowLaw(1.2, 0.7),
    "near zero": RowLaw(0.01, 0.7),
    "Welsch": RowLaw(-np.inf, 0.7),
    "above two": RowLaw(3.0, 2.0),
    "mixture": RowLaw(1.2, 0.7, -2.0, 0.1, 0.2),
    "mixture at two": RowLaw(2.0, 0.7, -2.0),
    "out of reach": RowLaw(1.2, 1e-145),
    "out of reach, above two": RowLaw(6.0, 1e-30, -2.0),
}
WANTS = (cpu.SCORE, cpu.GRAM, cpu.HESSIAN, cpu.MEAT)


def data(n, p, seed=0, df=2.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * 3.0 + 1.0
    return X, X.sum(axis=1) + rng.standard_t(df, size=n), rng.uniform(0.5, 2.0, size=n), rng.uniform(0.5, 2.0, size=n)


def error(there, here):
    there = gpu.to_host(there) if gpu.is_there(there) else there
    there, here = np.asarray(there, dtype=float), np.asarray(here, dtype=float)
    assert there.shape == here.shape, (there.shape, here.shape)
    finite = np.isfinite(here)
    np.testing.assert_array_equal(there[~finite], here[~finite])
    there, here = there[finite], here[finite]
    return float(np.abs(there - here).max(initial=0.0) / max(np.abs(here).max(initial=0.0), 1e-300))


def pair(n, p, intercept=True, weighted=False, noisy=False, dtype=np.float64):
    X, y, weights, noise = data(n, p)
    stored = X.astype(dtype)
    X = stored.astype(np.float64)
    weights, noise = weights if weighted else NONE, noise if noisy else NONE
    rows = Rows(X, y, weights, noise, Frame.of(X, y, weights, intercept, noise))
    return (
        rows,
        replace(DeviceRows.of(rows), X=DeviceArray.of(stored)),
        np.random.default_rng(1).normal(size=rows.frame.n_coefs) * 0.3,
    )


def passes(law, *of_pair, wants=WANTS):
    """Sums and weights of a pass, for all that it may be asked for."""
    rows, there, theta = pair(*of_pair)
    law = LAWS[law]
    for want in wants:
        for learn_shape in (False, True) if want == cpu.HESSIAN else (True,):
            (mine, weights), (found, weights_there) = (
                each.sweep(theta, law, want, learn_shape and abs(law.alpha) < np.inf) for each in (rows, there)
            )
            yield error(found.scalars, mine.scalars)
            yield error(found.score, mine.score)
            if want == cpu.HESSIAN:
                yield error(found.cross, mine.cross)
            if want != cpu.SCORE:
                yield error(found.gram, mine.gram)
    yield error(weights_there, weights)


def plain(*of_pair):
    """What a pass finds without a law, and known residuals at several laws."""
    rows, there, theta = pair(*of_pair)
    residuals = there.residuals(theta)
    yield error(residuals, rows.residuals(theta))
    yield error(there.gram(), rows.gram())
    laws = [law._replace(knee=6.0) for law in LAWS.values() if law.alpha > -np.inf]
    yield error(there.residual_sums(residuals, laws, True), rows.residual_sums(np.asarray(residuals), laws, True))
    yield error(there.m_scale(theta, 3.0), rows.m_scale(theta, 3.0))
    for robust in True, False:
        yield error(there.clean_scale(theta, robust, 3.0), rows.clean_scale(theta, robust, 3.0))


def in_one_block(*of_pair):
    """Passes in which one block takes all tiles of rows, the last of them hardly begun."""
    with patch.object(gpu, "_multiprocessors", lambda: 1), patch.object(cuda, "resident", lambda *_: 1):
        yield from passes("mixture", 129, *of_pair)
        yield from plain(129, *of_pair)


def same_bits():
    """Twice the same pass."""
    _, there, theta = pair(100, 5)
    (first, _), (second, _) = (there.sweep(theta, LAWS["mixture"], cpu.HESSIAN, True) for _ in range(2))
    yield float((first.gram != second.gram).sum() + (first.scalars != second.scalars).sum())


def taken():
    """Some rows, on the CPU and on the device."""
    rows, there, theta = pair(60, 3, True, True, True)
    index = np.arange(5, 60, 2)
    expected = rows.take(index).residuals(theta)
    yield error(there.take(index).residuals(theta), expected)
    yield error(there.host.residuals(theta), rows.residuals(theta))
    with sizes_brought() as sizes:
        found = there.spreads(4, slice(0, 2))
    yield float(max(sizes) > 2)
    yield error(found, rows.spreads(4, slice(0, 2)))
    there = DeviceRows(there.X, *(getattr(rows, name) for name in ("y", "weights", "noise", "frame")))
    yield error(there.take(index).residuals(theta), expected)
    yield error(
        DeviceRows(there.X.take(index), rows.y[index], NONE, rows.noise[index], rows.frame).residuals(theta), expected
    )


def fits(model, n=60, p=2, weighted=False, noisy=False, targets=0, outliers=0, df=2.0, inferred=True, filled=False):
    X, y, weights, noise = data(n, p, df=df)
    y[:outliers] += 100.0
    X[n // 2 : n // 2 + filled] = 1e9
    if targets:
        y = np.column_stack([y, *(y * (k + 1.0) + X[:, 0] for k in range(targets - 1))])
    given = {"sample_weight": weights if weighted else None, "noise_scale": noise if noisy else None}
    here = type(model)(**model.get_params()).fit(X, y, **given)
    there = model.set_params(device="cuda").fit(X, y, **given)
    for name in ATTRIBUTES.split():
        if name in vars(here):
            yield error(getattr(there, name), getattr(here, name))
    if inferred:
        yield error(there.covariance_, here.covariance_)
    yield error(there.predict(X), here.predict(X))


class Given:
    """An array of another library that lies on the device."""

    def __init__(self, values):
        self.values = values

    @property
    def __cuda_array_interface__(self):
        return self.values.__array_interface__

    def __array__(self, dtype=None, copy=None):
        return self.values


from_dlpack = Given


def lying(values):
    """The same values as an array of another library."""
    return Given(values) if gpu.xp is np else gpu.xp.asarray(values)


def lying_there(model, dtype=np.float64, zero_weights=False, p=2):
    """Fits of arrays that already lie on the device."""
    X, y, weights, _ = data(60, p)
    X = X.astype(dtype)
    weights[:5] = 0.0
    weights = weights if zero_weights else None
    here = type(model)(**model.get_params()).fit(X, y, weights)
    there = model.set_params(device="auto").fit(lying(X), lying(y), weights)
    for name in ("coef_", "intercept_", "weights_", "n_features_in_"):
        yield error(getattr(there, name), getattr(here, name))
    predicted = there.predict(lying(X))
    assert type(predicted) is type(lying(X))
    yield error(gpu.to_host(getattr(predicted, "values", predicted)), here.predict(X))
    yield error(there.predict(X), here.predict(X))
    yield error(there.predict_interval(lying(X)), here.predict_interval(X))
    refused = {
        "X must be finite. Got NaN at row 3, column 1": lambda: there.fit(lying(np.where(X[3, 1] == X, np.nan, X)), y),
        "X has 3 features, but": lambda: there.predict(lying(np.ones((4, 3)))),
        "X must be an array of rows and columns": lambda: there.fit(lying(y), y),
        "y must have one entry": lambda: there.fit(lying(X), lying(y[1:])),
        f"X must lie on the CPU for device='cpu'. Got {type(lying(X)).__name__}": lambda: here.fit(lying(X), y),
        f"y must lie on the CPU for device='cpu'. Got {type(lying(X)).__name__}": lambda: here.fit(X, lying(y)),
    }
    for line, refuse in refused.items():
        try:
            refuse()
        except ValueError as found:
            assert str(found).startswith(line), found
        else:
            raise AssertionError(line)


def apart(model, n=60, p=3, targets=0, inferred=True, **given):
    """A fit of arrays that lie on the device, with ``given`` there too, and predictions for such arrays.

    It is one after the other of several targets, also where there are as many entries as the CPU would fit in threads.
    """
    X, y, *_ = data(n, p)
    X = X @ X.T if model.kernel == "precomputed" else X
    if targets:
        y = np.column_stack([y, *(y * (k + 1.0) + X[:, 0] for k in range(targets - 1))])
    here = type(model)(**model.get_params()).fit(X, y, **given)
    given = {name: lying(values) for name, values in given.items()}
    with patch.multiple(_alone, _FEW_ENTRIES=0, run_all=None):
        there = model.set_params(device="cuda").fit(lying(X), lying(y), **given)
    for name in ATTRIBUTES.split():
        if name in vars(here):
            yield error(getattr(there, name), getattr(here, name))
    for stored in X, np.asfortranarray(X), X.astype(np.float32):
        predicted = there.predict(lying(stored))
        assert type(predicted) is type(lying(X))
        yield error(predicted, here.predict(stored.astype(np.float64)))
    yield error(there.predict(X), here.predict(X))
    if inferred:
        yield error(there.predict_interval(lying(X)), here.predict_interval(X))


@contextmanager
def sizes_brought():
    """The sizes of arrays that come to the CPU meanwhile."""
    sizes, bring = [], gpu.to_host

    def to_host(values):
        sizes.append(values.size)
        return bring(values)

    with patch.object(gpu, "to_host", to_host):
        yield sizes


def many(model, outlying=0.0, df=2.5, p=3, lost=False, few_come=True, dtype=np.float64, more=False, flat=False):
    """A fit of many rows that lie on the device; ``few_come`` to the CPU at a time, fewer numbers than rows."""
    n = 30_000
    X, y, weights, noise = data(n, p, df=df)
    X = X.astype(dtype)
    X[:, p - flat :] = 2.5
    if lost:
        X[:, 0] = np.arange(n) % 50 == 0
        y = y + 1000.0 * X[:, 0]
    y[: int(outlying * n)] += 100.0
    given = {"sample_weight": np.round(2.0 * weights), "noise_scale": noise} if more else {}
    here = type(model)(**model.get_params()).fit(X.astype(np.float64), y, **given)
    there = model.set_params(device="cuda")
    with sizes_brought() as sizes, patch.object(on_device, "_FEW_ENTRIES", 2**14):
        there.fit(lying(X), lying(y), **given)
        if model.warm_start:
            there.fit(lying(X), lying(y - 0.1 * X[:, -1]), **given)
            here.fit(X.astype(np.float64), y - 0.1 * X[:, -1], **given)
    assert not few_come or max(sizes) < n, max(sizes)
    for name in ATTRIBUTES.split():
        yield error(getattr(there, name, 0.0), getattr(here, name, 0.0))
    yield error(there.covariance_, here.covariance_)


def few_bytes():
    """What is not to be copied as a whole: an X with NaN, or with sums that overflow; and float32 that predicts."""
    X = np.ones((2**16, 8), dtype=np.float32)
    X[:, 0] = 3e38
    missing = X.copy()
    missing[70, 1] = np.nan
    there, missing = DeviceArray(gpu.to_device(X)), DeviceArray(gpu.to_device(missing))
    with sizes_brought() as sizes:
        _checks.check_finite("X", there)
        try:
            _checks.check_finite("X", missing)
        except ValueError as found:
            assert str(found).startswith("X must be finite. Got NaN at row 70, column 1 (1 such entries)"), found
        else:
            raise AssertionError
    yield float(max(sizes) > 1)
    tracemalloc.start()
    with patch.object(on_device, "_PREDICTED_ENTRIES", 2**12):
        found = there.line(np.ones((8, 2)), np.zeros(2))
    yield float(tracemalloc.get_traced_memory()[1] > X.nbytes)
    yield error(found, np.full((len(X), 2), float(X[0, 0]) + 7.0))


def weights_and_noise(n=60, zeros=0):
    _, _, weights, noise = data(n, 1)
    weights[:zeros] = 0.0
    return {"sample_weight": weights, "noise_scale": noise}


def made_when_wanted():
    """Features of landmarks that are not kept on the CPU."""
    with patch.object(kernels, "kept_bytes", lambda: 0.0):
        yield from fits(A(kernel="rbf", n_components=5, l2_regularization=1.0, contamination=0.0), p=1, inferred=False)


A, G = AdaptiveRobustRegressor, GeneralRobustRegressor
PASSES = {
    **{f"{name}": lambda name=name: passes(name, 60, 3, True, True, True) for name in LAWS},
    "one column": lambda: passes("mixture", 57, 1),
    "no intercept": lambda: passes("mixture", 40, 8, False),
    "most columns": lambda: passes("mixture", 9, MOST_COLUMNS, wants=[cpu.MEAT]),
    "most columns, no intercept": lambda: passes("mixture", 9, MOST_COLUMNS, False, wants=[cpu.HESSIAN]),
    "one column more": lambda: passes("mixture", 20, MOST_COLUMNS + 1, True, True, True),
    "one column more, no intercept": lambda: passes("below two", 20, MOST_COLUMNS + 1, False),
    **{
        f"one block, {p} columns of {np.dtype(dtype).name}": lambda p=p, dtype=dtype: in_one_block(
            p, True, True, True, dtype
        )
        for p in (1, 7, 31, 33, 40, 41)
        for dtype in (np.float64, np.float32)
    },
    "many tiles": lambda: passes("mixture", 300, 2),
    "no law": lambda: plain(70, 3),
    "no law, weighted": lambda: plain(70, 3, True, True, True),
    "no law, many columns": lambda: plain(20, 70, True, True, True),
    "same bits": same_bits,
    "taken": taken,
    "few bytes": few_bytes,
}
FITS = {
    "adaptive": lambda: fits(A()),
    "adaptive, clean": lambda: fits(A(), df=1e6),
    "adaptive, background": lambda: fits(A(), outliers=15, df=50.0),
    "adaptive, held share": lambda: fits(A(contamination=0.2), outliers=15),
    "adaptive, weights and noise": lambda: fits(A(), weighted=True, noisy=True, outliers=8),
    "adaptive, fill values": lambda: fits(A(), weighted=True, noisy=True, filled=True),
    "general, fill values": lambda: fits(G(alpha=-2.0, init="s"), filled=True),
    "adaptive, ridge": lambda: fits(A(l2_regularization=5.0)),
    "adaptive, irls": lambda: fits(A(solver="irls", contamination=0.0)),
    "adaptive, lbfgs": lambda: fits(A(solver="lbfgs", contamination=0.0)),
    "adaptive, gnc": lambda: fits(A(init="gnc", contamination=0.0)),
    "general": lambda: fits(G()),
    "general, MM": lambda: fits(G(alpha=-2.0, init="s")),
    "general, lad": lambda: fits(G(alpha=0.0, init="lad", solver="lbfgs")),
    "general, above two": lambda: fits(G(alpha=3.0, c=5.0, solver="irls")),
    "several targets": lambda: fits(A(contamination=0.0), targets=2),
    "lying there": lambda: lying_there(A(contamination=0.0)),
    "lying there, float32": lambda: lying_there(G(), np.float32),
    "lying there, zero weights": lambda: lying_there(G(), zero_weights=True),
    "exact kernel": lambda: fits(A(kernel="rbf", l2_regularization=0.1), inferred=False),
    "exact kernel, outliers": lambda: fits(A(kernel="rbf"), outliers=8, inferred=False),
    "exact kernel, newton": lambda: fits(
        G(kernel="rbf", alpha=0.0, solver="newton", l2_regularization=1.0), inferred=False
    ),
    "exact kernel, irls": lambda: fits(
        G(kernel="laplacian", solver="irls", l2_regularization=1.0), weighted=True, noisy=True, inferred=False
    ),
    "exact kernel, targets": lambda: fits(G(kernel="rbf", l2_regularization=1.0), targets=2, inferred=False),
    "more columns than rows": lambda: fits(A(l2_regularization=5.0), n=30, p=230, inferred=False),
    "landmarks made when wanted": made_when_wanted,
    "landmarks": lambda: fits(G(kernel="rbf", n_components=5, l2_regularization=1.0), p=1, inferred=False),
}
# What also runs on arrays that refuse NumPy's, and what is fitted and predicted there.
SHARED = (
    "adaptive", "adaptive, weights and noise", "adaptive, fill values", "adaptive, lbfgs", "adaptive, gnc",
    "general, MM", "general, lad",
    "several targets", "lying there", "lying there, float32", "lying there, zero weights", "exact kernel, newton",
    "exact kernel, irls", "exact kernel, targets", "more columns than rows", "landmarks made when wanted",
)  # fmt: skip
KERNEL = {"kernel": "rbf", "l2_regularization": 1.0}
APART = {
    **{name: FITS[name] for name in SHARED},
    "X and y there": lambda: apart(A()),
    "weights and noise there": lambda: apart(A(), **weights_and_noise()),
    "zero weights there": lambda: apart(G(), **weights_and_noise(zeros=5)),
    "fewer rows of weight than columns": lambda: apart(
        A(l2_regularization=5.0), n=210, p=205, inferred=False, **weights_and_noise(210, 10)
    ),
    "many columns there": lambda: apart(G(alpha=1.0, c=1.0, init="ols"), n=90, p=MOST_COLUMNS + 5),
    "targets there": lambda: apart(A(contamination=0.0), targets=2, **weights_and_noise(zeros=5)),
    "one column of targets there": lambda: apart(G(), targets=1),
    "exact kernel there": lambda: apart(G(**KERNEL), inferred=False),
    "exact kernel of targets there": lambda: apart(G(solver="irls", **KERNEL), targets=2, inferred=False),
    "landmarks there": lambda: apart(G(n_components=5, **KERNEL), inferred=False),
    "landmarks of targets there": lambda: apart(G(n_components=5, **KERNEL), targets=2, inferred=False),
    "precomputed kernel there": lambda: apart(G(kernel="precomputed", l2_regularization=1.0), inferred=False),
    "more columns than rows there": lambda: apart(A(l2_regularization=5.0), n=30, p=230, inferred=False),
}
MANY = {
    "tails": lambda: many(A()),
    "heavy tails": lambda: many(A(), df=1.0),
    "Gaussian": lambda: many(A(), df=1e6),
    "background": lambda: many(A(), outlying=0.15),
    "background, float32": lambda: many(A(), outlying=0.15, dtype=np.float32),
    "background, weights and noise": lambda: many(A(), outlying=0.15, more=True),
    "held share": lambda: many(A(contamination=0.1), outlying=0.1),
    "rare outliers": lambda: many(A(), outlying=2e-4, df=1e6, few_come=False),
    "warm start": lambda: many(A(warm_start=True), outlying=0.15),
    "warm start, weights and noise": lambda: many(A(warm_start=True), more=True),
    "lost": lambda: many(A(), lost=True, few_come=False),
    "lost beside a background": lambda: many(A(), outlying=0.1, lost=True, few_come=False),
    "many columns": lambda: many(A(), outlying=0.1, p=70, few_come=False),
    "constant column": lambda: many(A(), flat=True, few_come=False),
    "general": lambda: many(G(), outlying=0.1, few_come=False),
    "general, weights and noise": lambda: many(G(alpha=-2.0), outlying=0.1, more=True, few_come=False),
    "general, given scale": lambda: many(G(alpha=0.0, c=1.0, init="ols"), few_come=False),
}

if __name__ == "__main__":
    sys.setswitchinterval(1e-4)
    gpu.load()
    warnings.simplefilter("ignore")
    cases = {"passes": PASSES, "fits": FITS, "apart": APART, "many": MANY, "benchmark": BENCHMARK}[sys.argv[1]]
    if sys.argv[1] in ("apart", "many", "benchmark") and cuda.simulated():
        import apart as stand_in

        stand_in.install() if sys.argv[1] == "apart" else stand_in.install_loops()
    for name, case in cases.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        print(json.dumps([name, float(np.max(list(case())))]), flush=True)  # which NaN is not lost in

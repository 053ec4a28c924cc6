"""Kernels: time and error of a fit against KernelRidge's, and of landmarks against a linear fit of as many columns.

Times: fits taking turns, the median of each, and the ratio. Errors: cross-validated median absolute error, on the data
as they are and with 10% of the training targets spoiled, for KernelRidge's penalty (1) and for the one chosen
("auto"); below 1, ours is smaller. Columns are scaled, kernels are rbf with gamma one over their number.

Usage: python benchmarks/kernel_models.py [--large] [--data table.csv] [--csv table.csv] [--markdown table.md]
A table of one's own is numbers with a header, the target in its last column.
"""

import warnings

import bench
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import KFold
from sklearn.preprocessing import scale

from sklearn_robust import AdaptiveRobustRegressor

EXACT = [(1000, 1, "10% outliers"), (1000, 10, "10% outliers"), (3000, 1, "10% outliers")]
EXACT += [(3000, 10, noise) for noise in ("gaussian", "t3", "10% outliers")]
LANDMARKS = [(10_000, 100), (100_000, 300)]
LARGE = [(1_000_000, 300)]
MOST_ROWS = 3000


def make_data(n, p, noise, seed=0):
    """Sines of the columns, with noise of one kind."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    error = 0.3 * (rng.standard_t(3, n) if noise == "t3" else rng.standard_normal(n))
    if noise == "10% outliers":
        error[rng.choice(n, n // 10, replace=False)] += rng.uniform(3, 20, n // 10)
    return X, np.sin(X).sum(axis=1) + error


def timed(name, n, p, noise, ours, peer_name, peer, peer_X, X, y):
    """One line of times."""
    times = bench.in_turns({"ours": lambda: ours.fit(X, y), "peer": lambda: peer.fit(peer_X, y)}, most=5, budget=20.0)
    line = {"model": name, "n": n, "p": p, "noise": noise, "ours s": times["ours"], "peer": peer_name}
    return line | {"peer s": times["peer"], "ratio": times["ours"] / times["peer"], "steps": ours.n_iter_}


def times(large):
    """Lines of times."""
    for n, p, noise in EXACT:
        X, y = make_data(n, p, noise)
        yield timed("exact", n, p, noise, robust(), "KernelRidge", KernelRidge(kernel="rbf"), X, X, y)
    for n, m in LANDMARKS + large * LARGE:
        X, y = make_data(n, 10, "10% outliers")
        columns = np.random.default_rng(1).standard_normal((n, m))
        linear = AdaptiveRobustRegressor()
        name = f"{m} landmarks"
        yield timed(name, n, 10, "10% outliers", robust(n_components=m), f"ours, {m} columns", linear, columns, X, y)


def robust(**params):
    """Ours."""
    return AdaptiveRobustRegressor(kernel="rbf", **params)


def data_sets(own):
    """(name, X, y); of many rows some."""
    yield "diabetes", *load_diabetes(return_X_y=True)
    yield "friedman1", *make_friedman1(500, noise=1.0, random_state=0)
    yield "friedman2", *make_friedman2(500, noise=100.0, random_state=0)
    yield "friedman3", *make_friedman3(500, noise=0.1, random_state=0)
    if own:
        table = pd.read_csv(own).select_dtypes("number").to_numpy(float)
        table = table[np.random.default_rng(0).permutation(len(table))[:MOST_ROWS]]
        yield own.rpartition("/")[2], table[:, :-1], table[:, -1]


def errors(own):
    """Lines of errors."""
    for name, X, y in data_sets(own):
        X, rng = scale(X), np.random.default_rng(0)
        for spoiled in (0.0, 0.1):
            target = y.copy()
            bad = rng.permutation(len(y))[: int(spoiled * len(y))]
            target[bad] += rng.uniform(3, 20, len(bad)) * y.std()
            models = {"KernelRidge": KernelRidge(kernel="rbf"), "1": robust(l2_regularization=1.0), "auto": robust()}
            found = {}
            for label, model in models.items():
                predicted = np.empty(len(y))
                for train, test in KFold(5, shuffle=True, random_state=0).split(X):
                    predicted[test] = model.fit(X[train], target[train]).predict(X[test])
                found[label] = float(np.median(np.abs(y - predicted)))
            line = {"data": name, "n": len(y), "p": X.shape[1], "spoiled": spoiled, "KernelRidge": found["KernelRidge"]}
            yield line | {f"ours to it, {label}": found[label] / found["KernelRidge"] for label in ("1", "auto")}


def main():
    options = bench.parser(__doc__)
    options.add_argument("--large", action="store_true", help="a million rows as well")
    options.add_argument("--data", help="a table of numbers of your own, the target last")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    lines = []
    for line in times(arguments.large):
        bench.show(line)
        lines.append(line)
    bench.publish(lines, arguments)
    compared = []
    for line in errors(arguments.data):
        bench.show(line)
        compared.append(line)
    for path in ("csv", "markdown"):
        name = getattr(arguments, path)
        setattr(arguments, path, name and "_errors.".join(name.rsplit(".", 1)))
    bench.publish(compared, arguments)


if __name__ == "__main__":
    main()

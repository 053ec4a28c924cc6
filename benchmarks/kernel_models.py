"""Kernels: time and error of a fit against KernelRidge's, and of landmarks against a linear fit of as many columns.

Times: fits taking turns, the median of each, and the ratio. Columns are scaled, kernels are rbf with gamma one over
their number. Errors: cross-validated median absolute error, on the data as they are and with 10% of the training
targets spoiled, for KernelRidge's penalty (1) and for the one chosen ("auto"), relative to KernelRidge, and the last
relative to KernelRidge with the best penalty of a grid; below 1, ours is smaller. Strengths: cross-validated root
mean square error to the truth, or to the data where that is not known, with the strength chosen relative to 1, for
three kernels. Sines: root mean square error to the truth where 15% of 400 rows are outliers, over 20 data sets.

Usage: python benchmarks/kernel_models.py [--large] [--only errors] [--data table.csv] [--markdown table.md]
A table of one's own is numbers with a header, the target in its last column. Each table goes to a file of its own.
"""

import warnings

import bench
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import scale

from sklearn_robust import AdaptiveRobustRegressor

EXACT = [(1000, 1, "10% outliers"), (1000, 10, "10% outliers"), (3000, 1, "10% outliers")]
EXACT += [(3000, 10, noise) for noise in ("gaussian", "t3", "10% outliers")]
LANDMARKS = [(10_000, 100), (100_000, 300)]
LARGE = [(1_000_000, 300)]
MOST_ROWS = 1500


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


def predicted(model, X, target):
    """Each row by a fit to the others (five folds)."""
    found = np.empty(len(target))
    for train, test in KFold(5, shuffle=True, random_state=0).split(X):
        found[test] = model.fit(X[train], target[train]).predict(X[test])
    return found


def spoilt(y, share, rng):
    """Targets of which a share is lifted by 3 to 20 standard deviations."""
    bad = rng.permutation(len(y))[: int(share * len(y))]
    target = y.copy()
    target[bad] += rng.uniform(3, 20, len(bad)) * y.std()
    return target


def errors(own):
    """Lines of errors."""
    for name, X, y in data_sets(own):
        X, rng = scale(X), np.random.default_rng(0)
        for spoiled in (0.0, 0.1):
            target = spoilt(y, spoiled, rng)
            grid = GridSearchCV(KernelRidge(kernel="rbf"), {"alpha": np.logspace(-4, 3, 8)})
            models = {"KernelRidge": KernelRidge(kernel="rbf"), "tuned": grid}
            models |= {"1": robust(l2_regularization=1.0), "auto": robust()}
            found = {
                label: float(np.median(np.abs(y - predicted(model, X, target)))) for label, model in models.items()
            }
            line = {"data": name, "n": len(y), "p": X.shape[1], "spoiled": spoiled, "KernelRidge": found["KernelRidge"]}
            line |= {f"ours to it, {label}": found[label] / found["KernelRidge"] for label in ("1", "auto")}
            yield line | {"KernelRidge, tuned": found["tuned"], "auto to it": found["auto"] / found["tuned"]}


def kinds(own):
    """(name, X, y, truth) of many kinds of data, with the target for a truth that is not known."""
    for name, X, y in data_sets(own):
        some = np.random.default_rng(0).permutation(len(y))[:500]
        clean = {"friedman1": make_friedman1, "friedman2": make_friedman2, "friedman3": make_friedman3}.get(name)
        yield name, X[some], y[some], (clean(500, random_state=0)[1] if clean else y)[some]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 3))
    truth = np.sin(X).sum(axis=1)
    yield "sines", X, truth + 0.3 * rng.standard_normal(500), truth
    yield "sines, t3 noise", X, truth + 0.3 * rng.standard_t(3, 500), truth
    yield "sines, hardly any noise", X, truth + 0.001 * rng.standard_normal(500), truth
    yield "noise alone", X, rng.standard_normal(500), np.zeros(500)


def strengths(own):
    """Lines of errors with the strength chosen, relative to strength 1."""
    for name, X, y, truth in kinds(own):
        X = scale(X)
        for spoiled in (0.0, 0.1):
            target = spoilt(y, spoiled, np.random.default_rng(0))
            line = {"data": name, "n": len(y), "p": X.shape[1], "spoiled": spoiled}
            for kernel in ("rbf", "laplacian", "polynomial"):
                roots = [
                    np.sqrt(
                        np.mean(
                            (truth - predicted(robust(l2_regularization=each).set_params(kernel=kernel), X, target))
                            ** 2
                        )
                    )
                    for each in ("auto", 1.0)
                ]
                line[kernel] = float(roots[0] / roots[1])
            yield line


def sines(own):
    """Lines of errors to the truth of sin(2 x) with outliers, one a data set."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-3, 3, size=(400, 1))
        truth = np.sin(2 * X[:, 0])
        y = truth + 0.1 * rng.standard_normal(400)
        y[rng.permutation(400)[:60]] += rng.uniform(3, 20, 60)
        line = {"seed": seed}
        for label, model in {"ours": robust(), "KernelRidge": KernelRidge(kernel="rbf")}.items():
            line[label] = float(np.sqrt(np.mean((model.fit(X, y).predict(X) - truth) ** 2)))
        yield line


def summarised(lines):
    """The geometric mean and the largest of the ratios, of clean and of spoiled data."""
    table = pd.DataFrame(lines)
    notes = []
    for spoiled, some in table.groupby("spoiled"):
        ratios = some[["rbf", "laplacian", "polynomial"]].to_numpy()
        mean, largest = np.exp(np.log(ratios).mean()), ratios.max()
        notes.append(f"Spoiled {spoiled:g}: geometric mean {mean:.2f}, largest {largest:.2f}.")
    return notes


def main():
    options = bench.parser(__doc__)
    options.add_argument("--large", action="store_true", help="a million rows as well")
    options.add_argument("--data", help="a table of numbers of your own, the target last")
    options.add_argument("--only", choices=("times", "errors", "strengths", "sines"), help="one of the tables")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    tables = {"times": lambda own: times(arguments.large), "errors": errors, "strengths": strengths, "sines": sines}
    names = {path: getattr(arguments, path) for path in ("csv", "markdown")}
    for table, measured in tables.items():
        if arguments.only not in (None, table):
            continue
        lines = []
        for line in measured(arguments.data):
            bench.show(line)
            lines.append(line)
        for path, name in names.items():
            own_name = name and (name if table == "times" else f"_{table}.".join(name.rsplit(".", 1)))
            setattr(arguments, path, own_name)
        bench.publish(lines, arguments, summarised(lines) if table == "strengths" else ())


if __name__ == "__main__":
    main()

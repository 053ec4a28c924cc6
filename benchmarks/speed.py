"""Time and peak memory of a fit, against other regressors, in one run.

For each size and noise: the median time of each regressor, the fits taking turns; the ratio of ours to each; the passes
over all rows that ours took; and what our fit allocated beyond its input, as a share of X.

Usage: python benchmarks/speed.py [--quick] [--csv table.csv] [--picture cost.png]
"""

import argparse
import time
import tracemalloc
import warnings

import numpy as np
import pandas as pd
from sklearn.linear_model import HuberRegressor, LinearRegression, RANSACRegressor, Ridge

from sklearn_robust import AdaptiveRobustRegressor

SIZES = [(100, 1), (100, 5), (1000, 10), (10_000, 10), (100_000, 10), (100_000, 200), (1_000_000, 1), (1_000_000, 20)]
LARGEST = [(10_000_000, 10)]
NOISES = ("gaussian", "t3", "10% outliers")
# Entries of X beyond which a peer takes minutes.
SLOW = {"HuberRegressor": 3e7, "RANSACRegressor": 3e7, "RLM": 2e6}


class RLM:
    """statsmodels' RLM with Huber's loss, where statsmodels is installed."""

    def fit(self, X, y):
        import statsmodels.api as sm

        return sm.RLM(y, sm.add_constant(X)).fit()


def peers():
    """The regressors to compare with, by name."""
    found = {"LinearRegression": LinearRegression(), "Ridge": Ridge(), "HuberRegressor": HuberRegressor(max_iter=1000)}
    found["RANSACRegressor"] = RANSACRegressor(random_state=0)
    try:
        import statsmodels  # noqa: F401
    except ImportError:
        return found
    return found | {"RLM": RLM()}


def make_data(n, p, noise, seed=0):
    """A linear model with noise of one kind."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    error = rng.standard_t(3, n) if noise == "t3" else rng.standard_normal(n)
    if noise == "10% outliers":
        error[rng.choice(n, n // 10, replace=False)] += 20.0
    return X, X @ np.linspace(-1, 1, p) + 1.0 + error


def median_times(models, X, y, repeats):
    """Median seconds of each model's fit, the models taking turns after one untimed fit each."""
    times = {name: [] for name in models}
    for turn in range(repeats + 1):
        for name, model in models.items():
            begin = time.perf_counter()
            model.fit(X, y)
            if turn:
                times[name].append(time.perf_counter() - begin)
    return {name: float(np.median(each)) for name, each in times.items()}


def extra_memory(model, X, y):
    """Bytes at the peak of a fit beyond what was there before."""
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(n, p, noise):
    """One line of the table."""
    X, y = make_data(n, p, noise)
    ours = AdaptiveRobustRegressor()
    models = {"ours": ours} | {name: each for name, each in peers().items() if X.size <= SLOW.get(name, np.inf)}
    repeats = 31 if X.size <= 1e5 else 7 if X.size <= 3e6 else 3
    seconds = median_times(models, X, y, repeats)
    line = {"n": n, "p": p, "noise": noise, "ours ms": 1e3 * seconds["ours"]}
    line |= {f"to {name}": seconds["ours"] / seconds[name] for name in models if name != "ours"}
    line["steps"] = ours.n_iter_
    line["extra bytes a row, beyond 10% of X"] = (extra_memory(ours, X, y) - 0.1 * X.nbytes) / n
    return line


def draw(table, picture):
    """Cost of a fit, a row, against the number of rows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    some = table[table["noise"] == "10% outliers"]
    for p, part in some.groupby("p"):
        ax.loglog(part["n"], 1e6 * part["ours ms"] / part["n"], "o-", label=f"p = {p}")
    ax.set(xlabel="rows", ylabel="nanoseconds a row", title="AdaptiveRobustRegressor().fit, 10% outliers")
    ax.legend()
    figure.savefig(picture, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the largest sizes")
    parser.add_argument("--csv", help="write the table here as well")
    parser.add_argument("--picture", help="draw the cost of a row here")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # peers that do not converge
    lines = []
    for n, p in SIZES + ([] if arguments.quick else LARGEST):
        for noise in NOISES:
            lines.append(measure(n, p, noise))
            print(
                ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in lines[-1].items()),
                flush=True,
            )
    table = pd.DataFrame(lines)
    print("\n" + table.to_string(index=False, float_format="{:.3g}".format))
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)
    if arguments.picture:
        draw(table, arguments.picture)


if __name__ == "__main__":
    main()

"""Time and peak memory of a fit, against other regressors, in one run.

For each size and noise: the median time of our fit, the fits taking turns; the ratio of ours to each of the others (">"
where it took longer than the limit: then it was left out, by its pace on smaller data); the steps that ours took; and
what ours and HuberRegressor allocated beyond X and y, as a share of X, each in a fit of its own.

Usage: python benchmarks/speed.py [--quick] [--limit 20] [--csv table.csv] [--markdown table.md] [--picture cost.png]
"""

import importlib.util
import warnings

import bench
import numpy as np
from sklearn.linear_model import HuberRegressor, LinearRegression, RANSACRegressor, Ridge

from sklearn_robust import AdaptiveRobustRegressor

ROWS = {
    1: (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000),
    10: (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000),
    20: (1000, 100_000, 1_000_000),
    200: (1000, 10_000, 100_000, 1_000_000),
}
QUICK_ENTRIES = 3e6
NOISES = ("gaussian", "t3", "10% outliers")
SHOWN, PICTURED = "10% outliers", (1, 10, 200)


class RLM:
    """statsmodels' RLM with Huber's loss."""

    def fit(self, X, y):
        import statsmodels.api as sm

        sm.RLM(y, sm.add_constant(X)).fit()


class LmRob:
    """pylmrob's MM-estimator, the lmrob of R."""

    def fit(self, X, y):
        import pylmrob

        pylmrob.LmRob().fit(X, y, seed=0)


def peers():
    """The regressors to compare with, by name; statsmodels and pylmrob where they are installed."""
    found = {"OLS": LinearRegression(), "Ridge": Ridge(), "Huber": HuberRegressor(max_iter=1000)}
    found["RANSAC"] = RANSACRegressor(random_state=0)
    for name, module, peer in (("RLM", "statsmodels", RLM()), ("pylmrob", "pylmrob", LmRob())):
        if importlib.util.find_spec(module):
            found[name] = peer
    return found


def make_data(n, p, noise, seed=0):
    """A linear model with noise of one kind."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    error = rng.standard_t(3, n) if noise == "t3" else rng.standard_normal(n)
    if noise == "10% outliers":
        error[rng.choice(n, n // 10, replace=False)] += 20.0
    return X, X @ np.linspace(-1, 1, p) + 1.0 + error


def measure(n, p, noise, limit, pace):
    """One line of the table; pace holds the seconds an entry of X of each peer on smaller data, and is updated."""
    X, y = make_data(n, p, noise)
    ours, all_peers = AdaptiveRobustRegressor(), peers()
    kept = {name: peer for name, peer in all_peers.items() if pace.get(name, 0.0) * X.size <= limit}
    tasks = {name: lambda model=model: model.fit(X, y) for name, model in {"ours": ours, **kept}.items()}
    times = bench.in_turns(tasks)
    pace.update((name, times[name] / X.size) for name in kept)
    line = {"n": n, "p": p, "noise": noise, "ours ms": 1e3 * times["ours"]}
    for name in all_peers:
        line[f"to {name}"] = times["ours"] / times[name] if name in kept else f"> {limit:g} s"
    line["steps"] = ours.n_iter_
    line["memory / X"] = bench.extra_memory(ours, X, y) / X.nbytes
    line["Huber's"] = bench.extra_memory(all_peers["Huber"], X, y) / X.nbytes if "Huber" in kept else ""
    return line, times


def draw(lines, all_times, picture):
    """Seconds against the number of rows, a panel for each number of columns."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(PICTURED), figsize=(11, 4.2), layout="constrained", sharex=True, sharey=True)
    names = ["ours", *peers()]
    for ax, p in zip(axes, PICTURED, strict=True):
        some = [k for k, line in enumerate(lines) if line["p"] == p and line["noise"] == SHOWN]
        for k, name in enumerate(names):
            points = [(lines[i]["n"], all_times[i][name]) for i in some if name in all_times[i]]
            style = {"color": "black", "linewidth": 2.5, "zorder": 3} if name == "ours" else {"color": f"C{k - 1}"}
            label = "AdaptiveRobustRegressor" if name == "ours" else name
            ax.loglog(*zip(*points, strict=True), "o-", markersize=4, label=label, **style)
        ax.set(title=f"{p} column{'s' * (p > 1)}", xlabel="rows")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(f"seconds a fit, {SHOWN}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(picture, dpi=110)


def main():
    options = bench.parser(__doc__)
    options.add_argument("--quick", action="store_true", help="leave out the largest sizes")
    options.add_argument("--limit", type=float, default=20.0, help="leave out peers that take longer (seconds)")
    options.add_argument("--picture", help="draw cost against rows here")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")  # peers that do not converge
    sizes = [(n, p) for p, counts in ROWS.items() for n in counts if not arguments.quick or n * p <= QUICK_ENTRIES]
    pace = {noise: {} for noise in NOISES}
    lines, all_times = [], []
    for n, p in sizes:
        for noise in NOISES:
            line, times = measure(n, p, noise, arguments.limit, pace[noise])
            bench.show(line)
            lines.append(line)
            all_times.append(times)
    bench.publish(lines, arguments)
    if arguments.picture:
        draw(lines, all_times, arguments.picture)


if __name__ == "__main__":
    main()

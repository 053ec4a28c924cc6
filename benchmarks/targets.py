"""Several targets in one call, against a Python loop of single fits and other regressors looped over.

For each size and noise: the time of one call; its ratio to a loop of our single fits, as it is and with one thread for
linear algebra (which a call has too), to scikit-learn's MultiOutputRegressor over processes, and to a loop of
HuberRegressor; and how far coefficients and scales of the call are from those of the loop.

Usage: python benchmarks/targets.py [--targets 500] [--csv table.csv] [--markdown table.md]
"""

import warnings

import bench
import numpy as np
from sklearn.linear_model import HuberRegressor
from sklearn.multioutput import MultiOutputRegressor
from threadpoolctl import threadpool_limits

from sklearn_robust import AdaptiveRobustRegressor

SIZES = ((200, 5), (1000, 10), (5000, 32))
NOISES = ("t3", "10% outliers")


def make_data(n, p, k, noise, seed=0):
    """One X and k targets."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    errors = rng.standard_t(3, (n, k)) if noise == "t3" else rng.standard_normal((n, k))
    if noise == "10% outliers":
        errors[rng.choice(n, n // 10, replace=False)] += 20.0 * rng.standard_normal((n // 10, k))
    return X, X @ rng.standard_normal((p, k)) + errors


def measure(n, p, k, noise):
    """One line of the table."""
    X, Y = make_data(n, p, k, noise)
    found = {}

    def call():
        found["call"] = AdaptiveRobustRegressor().fit(X, Y)

    def loop():
        found["loop"] = [AdaptiveRobustRegressor().fit(X, y) for y in Y.T]

    def single():
        with threadpool_limits(1, user_api="blas"):
            loop()

    tasks = {
        "loop": loop,
        "loop, one thread": single,
        "processes": MultiOutputRegressor(AdaptiveRobustRegressor(), n_jobs=-1).fit,
        "Huber": lambda: [HuberRegressor(max_iter=1000).fit(X, y) for y in Y.T],
    }
    tasks["processes"] = lambda fit=tasks["processes"]: fit(X, Y)
    times = bench.in_turns({"call": call} | tasks, least=3, budget=20.0)
    line = {"n": n, "p": p, "targets": k, "noise": noise, "ms a target": 1e3 * times["call"] / k}
    line.update((f"{name} to call", times[name] / times["call"]) for name in tasks)
    pairs = zip(found["call"].coef_, found["loop"], strict=True)
    line["largest difference"] = max(np.abs(coef - each.coef_).max() for coef, each in pairs)
    return line


def main():
    options = bench.parser(__doc__)
    options.add_argument("--targets", type=int, default=100, help="targets of one call")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")  # peers that do not converge
    lines = []
    for n, p in SIZES:
        for noise in NOISES:
            lines.append(measure(n, p, arguments.targets, noise))
            bench.show(lines[-1])
    bench.publish(lines, arguments)


if __name__ == "__main__":
    main()

"""Time, error and memory of a fit of sparse X, against regressors of scikit-learn that take it.

X has 20 random entries a row, y a linear model with t3 noise, 10% of it lifted by 30. For each size: seconds of
AdaptiveRobustRegressor, and its ratio to the others; root mean square errors of the coefficients; and what a fit
allocated beyond X and y, as a multiple of X, in a fit of its own. Peers that took longer than the limit on smaller data
by their pace are left out.

Usage: python benchmarks/sparse.py [--quick] [--limit 60] [--csv table.csv] [--markdown table.md]
"""

import warnings

import bench
import numpy as np
from scipy import sparse
from sklearn.linear_model import HuberRegressor, Ridge, SGDRegressor

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor

SIZES = ((10_000, 100), (100_000, 1000), (300_000, 3000), (1_000_000, 10_000))
PER_ROW = 20
QUICK_ROWS = 100_000


def models():
    """Ours and the others, by name."""
    return {
        "ours": AdaptiveRobustRegressor(),
        "General": GeneralRobustRegressor(),
        "Ridge": Ridge(alpha=1.0, solver="sparse_cg"),
        "Huber": HuberRegressor(max_iter=1000),
        "SGD": SGDRegressor(loss="huber", epsilon=1.35, penalty=None, random_state=0),
    }


def make_data(n, p, seed=0):
    """Compressed sparse rows, y, and the coefficients."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, p, size=n * PER_ROW)
    X = sparse.csr_matrix((rng.standard_normal(n * PER_ROW), columns, np.arange(n + 1) * PER_ROW), shape=(n, p))
    X.sum_duplicates()
    coef = rng.standard_normal(p)
    y = X @ coef + 1.0 + rng.standard_t(3, size=n)
    y[: n // 10] += 30.0
    return X, y, coef


def measure(n, p, limit, pace):
    """One line of the table; pace holds the seconds a row of each model on smaller data, and is updated."""
    X, y, coef = make_data(n, p)
    fitted = {name: each for name, each in models().items() if name == "ours" or pace.get(name, 0.0) * n <= limit}
    times = bench.in_turns(
        {name: lambda each=each: each.fit(X, y) for name, each in fitted.items()}, least=1, most=5, budget=10.0
    )
    pace.update((name, seconds / n) for name, seconds in times.items())
    line = {"n": n, "p": p, "entries": int(X.nnz), "ours s": times["ours"]}
    for name in [*models()][1:]:
        line[f"to {name}"] = times["ours"] / times[name] if name in times else f"> {limit:g} s"
    for name in models():
        error = np.sqrt(np.mean((fitted[name].coef_ - coef) ** 2)) if name in fitted else float("nan")
        line[f"error {name}"] = float(error)
    size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    line["memory / X"] = bench.extra_memory(fitted["ours"], X, y) / size
    return line


def main():
    options = bench.parser(__doc__)
    options.add_argument("--quick", action="store_true", help="leave out the largest sizes")
    options.add_argument("--limit", type=float, default=60.0, help="leave out peers that take longer (seconds)")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")  # peers that do not converge
    pace, lines = {}, []
    for n, p in SIZES:
        if not arguments.quick or n <= QUICK_ROWS:
            lines.append(measure(n, p, arguments.limit, pace))
            bench.show(lines[-1])
    bench.publish(lines, arguments)


if __name__ == "__main__":
    main()

"""Coverage of confidence and prediction intervals, by simulation with default parameters.

Share of the 95% intervals that hold the true slopes and intercept, for both covariances and for those of x0 alone, on
which unequal variances depend; of the 90% intervals that hold clean new rows, and of clean new rows whose p-value is
below 0.01. The true line has slopes 1 and intercept 1; columns are Gaussian.
"""

import zlib
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from bench import parser, publish, show

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor

SIZES = [(60, 1), (60, 5), (100, 10), (150, 3), (1000, 3)]
N_NEW = 200


def one_sided(rng, n):
    """Gaussian noise, a tenth of it 10 higher."""
    noise = rng.normal(size=n)
    noise[: n // 10] += 10.0
    return noise


def normal(rng, n):
    """Gaussian noise."""
    return rng.normal(size=n)


def equal(X):
    """One spread for all rows."""
    return np.ones(len(X))


# What the noise of the rows is, what it is for clean new rows, and its spread.
SCENARIOS = {
    "Gaussian": (normal, normal, equal),
    "t3": (lambda rng, n: rng.standard_t(3, n),) * 2 + (equal,),
    "t1": (lambda rng, n: rng.standard_t(1, n),) * 2 + (equal,),
    "Laplace": (lambda rng, n: rng.laplace(size=n),) * 2 + (equal,),
    "one-sided outliers 10%": (one_sided, normal, equal),
    "spread 0.5 + |x0|": (normal, normal, lambda X: 0.5 + np.abs(X[:, 0])),
    "spread exp(x0)": (normal, normal, lambda X: np.exp(X[:, 0])),
    "spread 0.1 + x0²": (normal, normal, lambda X: 0.1 + X[:, 0] ** 2),
}
MODELS = {
    "adaptive": AdaptiveRobustRegressor,
    "MM": lambda: GeneralRobustRegressor(alpha=-np.inf, init="s"),
}


def one(task):
    """What is covered on one data set: slopes, x0 and intercept for both covariances, new rows, and small p-values."""
    name, which, n, p, k = task
    rng = np.random.default_rng([zlib.crc32(name.encode()), n, p, k])
    noise, clean, spread = SCENARIOS[name]
    X, new = rng.normal(size=(n, p)), rng.normal(size=(N_NEW, p))
    y = 1.0 + X.sum(axis=1) + spread(X) * noise(rng, n)
    y_new = 1.0 + new.sum(axis=1) + spread(new) * clean(rng, N_NEW)
    model = MODELS[which]().fit(X, y)
    found = []
    for cov_type in ("model", "hc"):
        low, high = model.conf_int(0.95, cov_type).to_numpy().T
        inside = (low < 1.0) & (high > 1.0)
        found += [inside[1:].mean(), inside[1], inside[0]]
    low, high = model.predict_interval(new, 0.9).T
    return [*found, ((low < y_new) & (y_new < high)).mean(), (model.outlier_pvalue(new, y_new) < 0.01).mean()]


def main():
    """Run the simulation."""
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=2000)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    arguments = options.parse_args()
    names = ["model", "model, x0", "model, intercept", "hc", "hc, x0", "hc, intercept", "new rows", "p < 0.01"]
    lines = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for which, name, (n, p) in ((w, s, size) for w in arguments.models for s in SCENARIOS for size in SIZES):
            tasks = [(name, which, n, p, k) for k in range(arguments.repeats)]
            means = np.mean(list(pool.map(one, tasks, chunksize=25)), axis=0)
            line = {"fit": which, "noise": name, "n": n, "p": p} | dict(zip(names, map(float, means), strict=True))
            show(line)
            lines.append(line)
    error = np.sqrt(0.05 * 0.95 / arguments.repeats)
    publish(lines, arguments, [f"{arguments.repeats} data sets a line: a share of 0.95 is known to {error:.3f}."])


if __name__ == "__main__":
    main()

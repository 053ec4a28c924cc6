"""Error of the slopes in many kinds of data, relative to the best peer of each.

Root mean square error of the slopes over simulated data sets: clean laws, vertical outliers, leverage, a second line,
dummies, unequal variances. Geometric means over all rows stand below the table. --quick gives a first look.
"""

import time
import warnings
import zlib

import numpy as np
from bench import parser, publish, show
from sklearn.linear_model import HuberRegressor, LinearRegression, RANSACRegressor, TheilSenRegressor

from sklearn_robust import AdaptiveRobustRegressor

SIZES = [(50, 1), (50, 5), (50, 10), (100, 5), (200, 10), (500, 20), (1000, 50), (5000, 20)]


def _rows(n, p, rng):
    return rng.normal(size=(n, p)), rng.normal(size=n)


def clean(law):
    """Independent Gaussian columns, noise of a law of unit spread."""

    def make(n, p, rng):
        X = rng.normal(size=(n, p))
        return X, X.sum(axis=1) + law(n, rng)

    return make


def vertical(share, shift):
    """A share of the rows moved up or down."""

    def make(n, p, rng):
        X, noise = _rows(n, p, rng)
        moved = rng.permutation(n)[: round(share * n)]
        noise[moved] += shift(len(moved), rng)
        return X, X.sum(axis=1) + noise

    return make


def cluster(share, slope, spread=0.1):
    """A share of the rows in a cluster of high leverage, at the distance that ``slope`` times its leverage makes."""

    def make(n, p, rng):
        X, noise = _rows(n, p, rng)
        moved = rng.permutation(n)[: round(share * n)]
        X[moved] = spread * rng.normal(size=(len(moved), p))
        X[moved, 0] += rng.choice([4.0, 8.0])
        y = X.sum(axis=1) + noise
        y[moved] += slope * X[moved, 0] + (spread - 1.0) * noise[moved]
        return X, y

    return make


def scattered(share):
    """A share of the rows far out in every direction, without relation to y."""

    def make(n, p, rng):
        X, noise = _rows(n, p, rng)
        moved = rng.permutation(n)[: round(share * n)]
        X[moved] *= 5.0
        y = X.sum(axis=1) + noise
        y[moved] = 5.0 * rng.normal(size=len(moved))
        return X, y

    return make


def good_leverage(n, p, rng):
    """A tenth of the rows far out, on the line."""
    X, noise = _rows(n, p, rng)
    X[rng.permutation(n)[: n // 10]] *= 5.0
    return X, X.sum(axis=1) + noise


def second_line(share):
    """A share of the rows follows another line."""

    def make(n, p, rng):
        X, noise = _rows(n, p, rng)
        moved = rng.permutation(n)[: round(share * n)]
        y = X.sum(axis=1) + noise
        y[moved] = 3.0 - X[moved].sum(axis=1) + noise[moved]
        return X, y

    return make


def dummies(share):
    """Every second column is 1 in a fifth of the rows; a share of the rows is moved."""

    def make(n, p, rng):
        X, noise = _rows(n, p, rng)
        X[:, ::2] = rng.uniform(size=X[:, ::2].shape) < 0.2
        noise[rng.permutation(n)[: round(share * n)]] += 10.0
        return X, X.sum(axis=1) + noise

    return make


def unequal(share):
    """The spread of the noise grows with a column; a share of the rows is moved."""

    def make(n, p, rng):
        X, noise = _rows(n, p, rng)
        noise *= 0.5 + np.abs(X[:, 0])
        noise[rng.permutation(n)[: round(share * n)]] += 12.0
        return X, X.sum(axis=1) + noise

    return make


SCENARIOS = {
    "Gaussian": clean(lambda n, rng: rng.normal(size=n)),
    "t3": clean(lambda n, rng: rng.standard_t(3, size=n)),
    "t1": clean(lambda n, rng: rng.standard_t(1, size=n)),
    "Laplace": clean(lambda n, rng: rng.laplace(size=n)),
    "skewed, chi2(3)": clean(lambda n, rng: (rng.chisquare(3, size=n) - 3.0) / np.sqrt(6.0)),
    "skewed, lognormal": clean(lambda n, rng: rng.lognormal(sigma=0.7, size=n) - np.exp(0.245)),
    "vertical, symmetric 10%": vertical(0.1, lambda m, rng: 10.0 * rng.choice([-1.0, 1.0], size=m)),
    "vertical, wide 25%": vertical(0.25, lambda m, rng: 10.0 * rng.normal(size=m)),
    "vertical, close in 10%": vertical(0.1, lambda m, rng: np.full(m, 4.0)),
    "vertical, one-sided 10%": vertical(0.1, lambda m, rng: 10.0 + rng.normal(size=m)),
    "vertical, one-sided 40%": vertical(0.4, lambda m, rng: 10.0 + rng.normal(size=m)),
    "good leverage 10%": good_leverage,
    "cluster 5%": cluster(0.05, -2.0),
    "cluster 10%": cluster(0.1, -2.0),
    "cluster 20%": cluster(0.2, -2.0),
    "compact cluster 30%": cluster(0.3, -2.0),
    "scattered leverage 10%": scattered(0.1),
    "scattered leverage 30%": scattered(0.3),
    "scattered leverage 45%": scattered(0.45),
    "second line 30%": second_line(0.3),
    "dummies, 10%": dummies(0.1),
    "dummies, 25%": dummies(0.25),
    "unequal variances": unequal(0.0),
    "unequal variances, 10%": unequal(0.1),
}


def _statsmodels(X, y, which):
    import statsmodels.api as sm
    from statsmodels.robust.resistant_linear_model import RLMDetSMM

    design = sm.add_constant(X, has_constant="add")
    if which == "RLMDetSMM":
        return RLMDetSMM(y, design).fit().params[1:]
    return sm.RLM(y, design, M=sm.robust.norms.TukeyBiweight()).fit().params[1:]


def _pylmrob(X, y):
    import pandas as pd
    import pylmrob

    names = [f"x{j}" for j in range(X.shape[1])]
    fit = pylmrob.lmrob("y ~ " + " + ".join(names), pd.DataFrame(X, columns=names).assign(y=y))
    return np.asarray(fit.coef_)[1:]


FITS = {
    "ours": lambda X, y: AdaptiveRobustRegressor().fit(X, y).coef_,
    "OLS": lambda X, y: LinearRegression().fit(X, y).coef_,
    "Huber": lambda X, y: HuberRegressor(max_iter=1000).fit(X, y).coef_,
    "RANSAC": lambda X, y: RANSACRegressor(random_state=0).fit(X, y).estimator_.coef_,
    "TheilSen": lambda X, y: TheilSenRegressor(random_state=0, max_subpopulation=1000).fit(X, y).coef_,
    "RLM Tukey": lambda X, y: _statsmodels(X, y, "RLM"),
    "RLMDetSMM": lambda X, y: _statsmodels(X, y, "RLMDetSMM"),
    "pylmrob": _pylmrob,
}


def errors(fit, make, n, p, repeats, seed=0):
    """Mean squared error of the slopes in each of the data sets; inf where a fit fails."""
    out = np.empty(repeats)
    for k in range(repeats):
        X, y = make(n, p, np.random.default_rng([seed, k, n, p]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out[k] = np.mean((fit(X, y) - 1.0) ** 2)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            out[k] = np.inf
    return out


def compare(names, sizes, repeats, limit):
    """A line for each scenario and size: root mean square errors, ours relative to the best peer."""
    lines = []
    for (n, p), scenario in ((size, name) for size in sizes for name in SCENARIOS):
        line = {"scenario": scenario, "n": n, "p": p}
        squares = {}
        for name in names:
            begin = time.perf_counter()
            errors(FITS[name], SCENARIOS[scenario], n, p, 1, seed=1)
            if name == "ours" or (time.perf_counter() - begin) * repeats <= limit:
                seed = zlib.crc32(scenario.encode())
                squares[name] = errors(FITS[name], SCENARIOS[scenario], n, p, repeats, seed)
        line |= {name: float(np.sqrt(square.mean())) for name, square in squares.items()}
        peers = {name: value for name, value in line.items() if name in names and name != "ours"}
        best = min(peers, key=peers.get)
        line |= {"best peer": best, "ours to best": line["ours"] / peers[best]}
        difference = squares["ours"] - 1.21 * squares[best]
        line["beyond 1.10"] = float(difference.mean() / (difference.std() / np.sqrt(repeats) + 1e-300))
        show(line)
        lines.append(line)
    return lines


def draw(lines, picture):
    """The error of ours relative to the best peer: a row for each kind of data, a column for each size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes = list(dict.fromkeys((line["n"], line["p"]) for line in lines))
    ratios = np.array(
        [[next(k["ours to best"] for k in lines if (k["scenario"], k["n"], k["p"]) == (name, *size)) for size in sizes]
         for name in SCENARIOS]
    )  # fmt: skip
    figure, ax = plt.subplots(figsize=(2.8 + 0.9 * len(sizes), 8.0), layout="constrained")
    image = ax.imshow(np.log2(ratios), cmap="RdBu_r", vmin=-2.0, vmax=2.0, aspect="auto")
    for (row, column), ratio in np.ndenumerate(ratios):
        color = "white" if abs(np.log2(ratio)) > 1.0 else "black"
        ax.text(column, row, f"{ratio:.2f}", ha="center", va="center", fontsize=8, color=color)
    ax.set_xticks(range(len(sizes)), [f"n = {n}\np = {p}" for n, p in sizes])
    ax.set_yticks(range(len(SCENARIOS)), list(SCENARIOS))
    ax.set_title("error relative to the best peer of each cell")
    bar = figure.colorbar(image, ticks=[-2, -1, 0, 1, 2], shrink=0.5)
    bar.set_ticklabels(["1/4", "1/2", "1", "2", "4"])
    figure.savefig(picture, dpi=110)


def size(text):
    """Rows and columns, written with a comma between them."""
    n, p = text.split(",")
    return int(n), int(p)


def main():
    """Run the comparison."""
    options = parser(__doc__)
    options.add_argument("--picture", help="draw ours to the best peer here")
    options.add_argument("--repeats", type=int, default=200)
    options.add_argument("--limit", type=float, default=120.0, help="seconds for a peer and a line of the table")
    options.add_argument("--peers", nargs="*", default=["OLS", "Huber", "RANSAC", "RLM Tukey", "RLMDetSMM"])
    options.add_argument("--sizes", nargs="*", type=size, default=SIZES, help="rows and columns, as in 50,1 200,10")
    options.add_argument("--quick", action="store_true", help="20 data sets a line, small sizes")
    arguments = options.parse_args()
    sizes = SIZES[:4] if arguments.quick else arguments.sizes
    names = ["ours", *arguments.peers]
    lines = compare(names, sizes, 20 if arguments.quick else arguments.repeats, arguments.limit)
    notes = []
    for name in arguments.peers:
        ratios = [line["ours"] / line[name] for line in lines if np.isfinite(line.get(name, np.nan))]
        notes.append(f"Geometric mean of ours to {name}: {np.exp(np.mean(np.log(ratios))):.3f}")
    worst = max(lines, key=lambda line: line["ours to best"])
    notes.append(f"Largest ratio to the best peer: {worst['ours to best']:.2f} ({worst['scenario']}, n={worst['n']})")
    publish(lines, arguments, notes)
    if arguments.picture:
        draw(lines, arguments.picture)


if __name__ == "__main__":
    main()

"""Four regressions through three sets of points with outliers: a table each, and a picture.

The Belgian phone calls (Rousseeuw & Leroy 1987): from 1964 to 1969 another unit was recorded. The star cluster CYG OB1
(the same book): four red giants, cool and bright, apart from the main sequence. And a line of which 10% of the points
are flipped to the mirrored line. All regressors have their default parameters; the error is the root mean square of
the residuals of the good points.

Usage: python plot_line_fit.py [picture.png]
"""

import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import HuberRegressor, LinearRegression, RANSACRegressor

from sklearn_robust import AdaptiveRobustRegressor
from sklearn_robust.datasets import load_phone_calls, load_star_cluster, make_outlier_line

STYLES = {
    "OLS": {"color": "tab:gray", "linestyle": ":"},
    "HuberRegressor": {"color": "tab:orange", "linestyle": "--"},
    "RANSACRegressor": {"color": "tab:green", "linestyle": "-."},
    "AdaptiveRobustRegressor": {"color": "tab:blue", "linestyle": "-"},
}


def fit_all(X, y, good):
    """Fit the four regressors; return their table, a row each, with the error on the good points."""
    rows = {}
    for name, model in {
        "OLS": LinearRegression(),
        "HuberRegressor": HuberRegressor(max_iter=1000),
        "RANSACRegressor": RANSACRegressor(random_state=0),
        "AdaptiveRobustRegressor": AdaptiveRobustRegressor(),
    }.items():
        line = model.fit(X, y)
        line = getattr(line, "estimator_", line)
        error = np.sqrt(np.mean((y - line.predict(X))[good] ** 2))
        rows[name] = {"slope": line.coef_[0], "intercept": line.intercept_, "error on good points": error}
    return pd.DataFrame.from_dict(rows, orient="index")


def plot(ax, X, y, good, table, title):
    """Draw points and lines."""
    ax.plot(X[good, 0], y[good], "o", color="black", markersize=4, label="good points")
    ax.plot(X[~good, 0], y[~good], "x", color="tab:red", markersize=6, label="outliers")
    ends = np.array([X.min(), X.max()])
    for name, row in table.iterrows():
        ax.plot(ends, row["slope"] * ends + row["intercept"], linewidth=2, label=name, **STYLES[name])
    ax.set_title(title)


def main(picture: str) -> None:
    calls, stars = load_phone_calls(), load_star_cluster()
    X, y, is_outlier = make_outlier_line(return_outliers=True)
    data = {
        "Belgian phone calls": (calls.data, calls.target, ~calls.is_outlier),
        "Star cluster CYG OB1": (stars.data, stars.target, ~stars.is_outlier),
        "A line with 10% of its points flipped": (X, y, ~is_outlier),
    }
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for ax, (title, (X, y, good)) in zip(axes, data.items(), strict=True):
        table = fit_all(X, y, good)
        plot(ax, X, y, good, table, title)
        best = table["error on good points"].idxmin()
        print(f"\n{title} (smallest error: {best})")
        print(table.to_string(float_format="{:.3f}".format))
    axes[0].set(xlabel="year", ylabel="calls (millions)")
    axes[1].set(xlabel="log temperature", ylabel="log light intensity")
    axes[2].set(xlabel="x", ylabel="y")
    axes[0].legend(loc="upper left", fontsize="small")
    figure.savefig(picture, dpi=110)
    print(f"\nThe picture is in {picture}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "line_fit.png")

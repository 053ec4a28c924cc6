"""A curve through points of which 15% are gross outliers: kernel ridge, and its robust counterpart.

Both have the same kernel (rbf, gamma = 1). KernelRidge has its default penalty and one that cross-validation would
choose; ours chooses its own. The error is the root mean square distance to the true curve.

Usage: python plot_kernel_curve.py [picture.png]
"""

import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV

from sklearn_robust import AdaptiveRobustRegressor


def make_data(n=400, seed=0):
    """y = sin(2x), noise of 0.1, and 15% of the points lifted by 3 to 20."""
    rng = np.random.default_rng(seed)
    X = np.sort(rng.uniform(-3, 3, size=n))[:, None]
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=n)
    bad = rng.permutation(n)[: int(0.15 * n)]
    y[bad] += rng.uniform(3, 20, size=len(bad))
    return X, y


def main(picture: str) -> None:
    X, y = make_data()
    truth = np.sin(2 * X[:, 0])
    search = GridSearchCV(KernelRidge(kernel="rbf", gamma=1.0), {"alpha": np.logspace(-3, 3, 13)})
    models = {
        "KernelRidge": (KernelRidge(kernel="rbf", gamma=1.0), "tab:orange", "--"),
        "KernelRidge, alpha by cross-validation": (search, "tab:green", "-."),
        "AdaptiveRobustRegressor": (AdaptiveRobustRegressor(kernel="rbf", gamma=1.0), "tab:blue", "-"),
    }
    figure, (whole, near) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(1, 1.6))
    for ax in (whole, near):
        ax.plot(X[:, 0], y, "o", color="black", markersize=3, alpha=0.4, label="points")
        ax.plot(X[:, 0], truth, color="tab:gray", linewidth=5, alpha=0.4, label="sin(2x)")
    for name, (model, color, style) in models.items():
        predicted = model.fit(X, y).predict(X)
        print(f"{name}: error {np.sqrt(np.mean((predicted - truth) ** 2)):.3f}")
        for ax in (whole, near):
            ax.plot(X[:, 0], predicted, color=color, linestyle=style, linewidth=2, label=name)
    robust = models["AdaptiveRobustRegressor"][0]
    print(f"share of outliers {robust.contamination_:.3f}, scale of the noise {robust.scale_:.3f}")
    whole.set(title="All points", xlabel="x", ylabel="y")
    near.set(title="Near the curve", xlabel="x", ylim=(-1.6, 4.6))
    near.legend(loc="upper left", ncols=2, fontsize="small")
    figure.savefig(picture, dpi=110)
    print(f"The picture is in {picture}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "kernel_curve.png")

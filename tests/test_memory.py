"""A fit takes little memory beside X: at most a tenth of it, and 16 bytes a row of which ``weights_`` is 8."""

import tracemalloc

import numpy as np
import pytest

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor


def extra_peak(model, X, y) -> int:
    """Bytes allocated at the peak of a fit, above what there was before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        model.fit(X, y)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


SHAPES = [(100_000, 10), (100_000, 20), (200_000, 20), (400_000, 1), (100_000, 50)]
MODELS = [AdaptiveRobustRegressor(), AdaptiveRobustRegressor(solver="irls"), GeneralRobustRegressor()]


@pytest.mark.parametrize("noise", ["t3", "outliers"])  # with outliers alpha = 2 and a smaller one are both looked at
@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_extra_memory_of_a_fit(model, n, p, noise):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    errors = rng.standard_t(3, size=n) if noise == "t3" else rng.normal(size=n)
    if noise == "outliers":
        errors[: n // 10] += 20.0 * rng.normal(size=n // 10)
    y = X.sum(axis=1) + errors
    model.fit(X, y)  # compiles, and starts threads
    assert extra_peak(model, X, y) <= 0.1 * X.nbytes + 16 * n


def test_the_measure_sees_a_copy():
    X = np.zeros((50_000, 4))

    class Copies:
        def fit(self, X, y):
            self.X = X.copy()

    assert X.nbytes <= extra_peak(Copies(), X, None) <= 1.01 * X.nbytes

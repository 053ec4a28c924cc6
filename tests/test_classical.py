"""Classical data sets whose outliers are agreed upon, with default parameters, against R's lmrob."""

import json
from pathlib import Path

import numpy as np
import pytest

from sklearn_robust import AdaptiveRobustRegressor

CLASSICAL = json.loads((Path(__file__).parent / "classical.json").read_text(encoding="utf-8"))["sets"]
AGREED = [name for name, data in CLASSICAL.items() if data["outliers"]]


def clean_errors(name):
    """Root mean squares on the clean rows of our fit and of lmrob's, relative to least squares of these rows."""
    data = CLASSICAL[name]
    rows = np.array(data["rows"])
    X, y = rows[:, :-1], rows[:, -1]
    clean = np.setdiff1d(np.arange(len(y)), data["outliers"])
    design = np.column_stack((np.ones(len(clean)), X[clean]))
    model = AdaptiveRobustRegressor().fit(X, y)
    lines = np.linalg.lstsq(design, y[clean], rcond=None)[0], [model.intercept_, *model.coef_], data["coefficients"]
    best, ours, theirs = (np.sqrt(np.mean((y[clean] - design @ line) ** 2)) for line in lines)
    return ours / best, theirs / best


@pytest.mark.filterwarnings("ignore:The fit has left its start")
@pytest.mark.parametrize("name", AGREED)
def test_error_on_clean_rows_is_near_the_best(name):
    assert clean_errors(name)[0] < 1.3


@pytest.mark.filterwarnings("ignore:The fit has left its start")
def test_error_on_clean_rows_is_no_worse_than_of_lmrob():
    errors = np.array([clean_errors(name) for name in AGREED])
    assert len(errors) == 10
    assert np.log(errors[:, 0] / errors[:, 1]).mean() <= 0.0

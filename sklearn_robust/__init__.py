"""Robust regression on the general and adaptive loss."""

from sklearn_robust.regressors import AdaptiveRobustRegressor, GeneralRobustRegressor

__all__ = ["AdaptiveRobustRegressor", "GeneralRobustRegressor"]
__version__ = "0.1.0"

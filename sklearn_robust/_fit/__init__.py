"""Iterations: knows neither estimators, nor raw units, nor where rows live."""

"""Errors on the clean rows of classical data sets, relative to least squares of these rows alone.

The data and the coefficients of R's lmrob stand in tests/classical.json, with their sources. Only sets whose outliers
are agreed upon have clean rows. Geometric means stand below the table.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from bench import parser, publish
from scenarios import FITS

DATA = Path(__file__).parents[1] / "tests" / "classical.json"
PEERS = ("ours", "OLS", "Huber", "RANSAC", "TheilSen", "RLM Tukey", "RLMDetSMM")


def _error(X, y, coef):
    """Root mean square on clean rows, with the best intercept: peers name slopes only."""
    residuals = y - X @ coef
    return float(np.sqrt(np.mean((residuals - residuals.mean()) ** 2)))


def compare(data):
    """A line of the table: each peer's error; nan where a fit fails."""
    rows = np.array(data["rows"])
    X, y = rows[:, :-1], rows[:, -1]
    clean = np.setdiff1d(np.arange(len(y)), data["outliers"])
    best = _error(X[clean], y[clean], FITS["OLS"](X[clean], y[clean]))
    line = {}
    for name in PEERS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                line[name] = _error(X[clean], y[clean], FITS[name](X, y)) / best
        except (ImportError, ValueError, ArithmeticError, np.linalg.LinAlgError):
            line[name] = np.nan
    return line | {"lmrob (R)": _error(X[clean], y[clean], np.array(data["coefficients"][1:])) / best}


def main():
    """Run the comparison."""
    arguments = parser(__doc__).parse_args()
    sets = json.loads(DATA.read_text(encoding="utf-8"))["sets"]
    lines = [
        {"data": name, "n": len(data["rows"]), "p": len(data["columns"]) - 1} | compare(data)
        for name, data in sets.items()
        if data["outliers"]
    ]
    notes = []
    for name in (*PEERS[1:], "lmrob (R)"):
        ratios = np.array([line["ours"] / line[name] for line in lines])
        notes.append(f"Geometric mean of ours to {name}: {np.exp(np.log(ratios[np.isfinite(ratios)]).mean()):.3f}")
    publish(lines, arguments, notes)


if __name__ == "__main__":
    main()

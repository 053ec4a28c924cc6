"""The summary of a fit: a table of coefficients and a few lines, as text and as HTML."""

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Summary:
    """Coefficients, the law of the noise and the end of a fit; prints as text, shows as HTML in a notebook.

    Attributes
    ----------
    table : DataFrame
        A row for each coefficient: estimate, standard error, z, p, lower, upper.
    law : DataFrame
        Estimate and standard error of alpha, log c and the share of outliers.
    title, notes : str, tuple of str
        The lines above and below the table.
    """

    table: "pd.DataFrame"
    law: "pd.DataFrame"
    title: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, model, table: "pd.DataFrame", law: "pd.DataFrame", cov_type: str, dof: float) -> Self:
        """The summary of a fitted model with S - d degrees of freedom."""
        alpha, log_c, share = law["standard error"]
        c_error = f" (standard error of its logarithm {log_c:.2g})" if math.isfinite(log_c) else ""
        notes = [
            f"alpha {model.alpha_:.4g}{_error(alpha)}, c {model.c_:.4g}{c_error}, scale {model.scale_:.4g}",
            f"robust R² {model.robust_r2_:.4g}, {dof:.6g} degrees of freedom",
            f"{'converged' if model.converged_ else 'not converged'} after {model.n_iter_} iterations: "
            f"{model.stop_reason_}",
        ]
        if hasattr(model, "contamination_"):
            notes.insert(1, f"share of outliers {model.contamination_:.4g}{_error(share)}")
        lost = int(table["standard error"].isna().sum())
        if lost:
            notes.append(f"The rows do not determine {lost} of the coefficients (nan).")
        title = f'{type(model).__name__}, 95% intervals, cov_type="{cov_type}"'
        return cls(table, law, title, tuple(notes))

    def __str__(self) -> str:
        formats = {name: _number for name in self.table} | {"z": "{:.2f}".format, "p": "{:.3f}".format}
        return "\n".join((self.title, "", self.table.to_string(formatters=formats), "", *self.notes))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        formats = {name: _number for name in self.table} | {"z": "{:.2f}".format, "p": "{:.3f}".format}
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<div><p><b>{escape(self.title)}</b></p>{self.table.to_html(formatters=formats)}{notes}</div>"


def _number(value: float) -> str:
    return f"{value:.5g}"


def _error(value: float) -> str:
    return f" (standard error {value:.2g})" if math.isfinite(value) else ""

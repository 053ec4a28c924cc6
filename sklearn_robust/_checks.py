"""Bad input gets one line: name, value, expectation, remedy."""

import math
import numbers
import re
from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array

from sklearn_robust._rows.on_device import DeviceArray

# Beyond it, products of two sums over rows overflow.
_LARGEST_TOTAL = 1e100
# Of what was given for a parameter, so many characters are shown.
_LONGEST_SHOWN = 100


def shown(value) -> str:
    """What a message shows of a value: one line of a few words."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def refuse(name: str, value, expectation: str, remedy: str = "") -> None:
    """Raise the one ValueError line."""
    raise ValueError(f"{name} must be {expectation}. Got {name}={shown(value)}" + (f"; {remedy}." if remedy else "."))


def is_auto(value) -> bool:
    """Whether a parameter is the word "auto"."""
    return isinstance(value, str) and value == "auto"


def is_real(value) -> bool:
    """Whether a parameter is a real number (not a bool, not NaN, not an integer beyond all floats)."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        return False


def check_positive(name: str, value, remedy: str, alternative: str = "") -> None:
    """A positive finite number."""
    if not (is_real(value) and 0.0 < value < np.inf):
        refuse(name, value, "a positive finite number" + alternative, remedy)


def check_fraction(name: str, value, remedy: str) -> None:
    """A number in (0, 1)."""
    if not (is_real(value) and 0.0 < value < 1.0):
        refuse(name, value, "a number in (0, 1)", remedy)


def check_choice(name: str, value, choices: tuple[str, ...], remedy: str) -> None:
    """One of a few words."""
    if not (isinstance(value, str) and value in choices):
        refuse(name, value, "one of " + ", ".join(map(repr, choices)), remedy)


def check_random_state(value) -> None:
    """What scikit-learn takes for a random_state."""
    known = value is None or value is np.random or isinstance(value, np.random.RandomState)
    seed = isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 <= int(value) < 2**32
    if not known and not seed:
        refuse("random_state", value, "an integer in [0, 2**32), a RandomState or None", "0 gives the same fit always")


@contextmanager
def naming(name: str):
    """Turn the errors of a conversion into one line that names the array, and does not print it."""
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        text = " ".join(str(error).split())
        if text.startswith("The feature names"):  # a list of names, which has its lines
            raise
        text = re.sub(r":? array=\[.*\]\.", ".", re.sub(r"(Complex data not supported).*", r"\1", text))
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            text if re.search(rf"\b{name}\b", text) else f"{name} must be an array of real numbers: {text}"
        ) from error


def check_flag(name: str, value) -> None:
    """A bool."""
    if not isinstance(value, (bool, np.bool_)):
        refuse(name, value, "True or False")


def is_count(value, least: int) -> bool:
    """Whether a parameter is an integer from ``least`` on."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def check_count(name: str, value, least: int, remedy: str = "") -> None:
    """An integer from ``least`` on."""
    if not is_count(value, least):
        refuse(name, value, f"an integer >= {least}", remedy)


def check_finite(name: str, array) -> None:
    """No NaN, no inf in an array (n,) or (n, p), or a sparse one; says where the first one is."""
    if sparse.issparse(array):
        if np.isfinite(array.data).all():
            return
        array = array.tocoo()
        first = np.flatnonzero(~np.isfinite(array.data))
        bad = np.column_stack((array.row, array.col))[first]
        _refuse_infinite(name, array.data[first[0]], bad, 2)
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):
            return
    bad = array.infinite() if isinstance(array, DeviceArray) else np.argwhere(~np.isfinite(array))
    if len(bad) == 0:
        return
    _refuse_infinite(name, array[tuple(bad[0])], bad, array.ndim)


def _refuse_infinite(name: str, value, bad, ndim: int) -> None:
    """Raise the line for entries at bad (m, ndim), of which the first has this value."""
    what = "NaN" if np.isnan(value) else "inf" if value > 0 else "-inf"
    where = f"row {bad[0][0]}" + (f", column {bad[0][1]}" if ndim == 2 else "")
    raise ValueError(
        f"{name} must be finite. Got {what} at {where} ({len(bad)} such entries); "
        "drop these rows, or impute them (sklearn.impute)."
    )


def check_length(name: str, array, n_rows: int, n_targets: int | None = None) -> None:
    """One entry a row, or one for each row and target."""
    if n_targets is not None:
        if array.shape != (n_rows, n_targets):
            raise ValueError(
                f"{name} must have one entry for each row of X and each of the {n_targets} targets. Got {name} of "
                f"shape {array.shape}; pass an array of shape ({n_rows}, {n_targets})."
            )
    elif array.shape != (n_rows,):
        raise ValueError(
            f"{name} must have one entry for each of the {n_rows} rows of X. Got {name} of shape {array.shape}; "
            f"pass an array of shape ({n_rows},)."
        )


def check_target(y, estimator_name: str) -> np.ndarray:
    """Y as finite numbers (n,) or (n, k)."""
    if y is None:
        raise ValueError(f"This {estimator_name} estimator requires y to be passed, but the target y is None.")
    if isinstance(y, DeviceArray):
        check_finite("y", y)
        return y  # type: ignore[return-value]
    with naming("y"):
        if not (type(y) is np.ndarray and y.ndim == 1 and y.dtype == np.float64):
            y = check_array(
                y,
                dtype=np.float64,
                ensure_2d=False,
                allow_nd=True,
                ensure_all_finite=False,
                ensure_min_samples=0,
                ensure_min_features=0,
            )
    if y.ndim not in (1, 2) or y.shape[1:] == (0,):
        raise ValueError(
            f"y must be an array of shape (n_samples,) or (n_samples, n_targets). Got y of shape {y.shape}; give each "
            "target a column."
        )
    check_finite("y", y)
    return np.ascontiguousarray(y)


def check_row_numbers(name: str, values, n_rows: int, *, positive: bool) -> np.ndarray:
    """One finite number a row (n,), positive or at least non-negative; a scalar stands for all rows; empty for None."""
    if values is None:
        return np.empty(0)
    try:
        if isinstance(values, numbers.Real):
            values = np.full(n_rows, float(values))
        array = np.asarray(values)
        if array.dtype.kind in "cmM":
            raise TypeError
        array = np.ascontiguousarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name} must be an array of {n_rows} numbers, one a row of X. Got {type(values).__name__} that is none; "
            f"pass an array of shape ({n_rows},)."
        ) from None
    check_length(name, array, n_rows)
    check_finite(name, array)
    low = float(array.min())
    if low < 0 or (positive and low == 0):
        row = int(array.argmin())
        raise ValueError(
            f"{name} must be {'positive' if positive else 'non-negative'}. Got {low!r} at row {row}; "
            + ("give the error bar of the row in units of y." if positive else "drop the row or give it weight 0.")
        )
    with np.errstate(over="ignore"):
        total = float(array.sum())
    if not positive and not total <= _LARGEST_TOTAL:
        raise ValueError(
            f"{name} must add up to at most {_LARGEST_TOTAL:g}. Got {total:g}; divide it by its largest entry."
        )
    if not positive and array.max() == 0:
        raise ValueError(
            f"{name} must be positive for at least one row. Got zero for all {n_rows}; pass None for ones."
        )
    return array

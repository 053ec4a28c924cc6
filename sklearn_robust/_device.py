"""Where the passes of a fit run: on the CPU or on a GPU, and what is said when a GPU fails."""

from contextlib import contextmanager

from sklearn_robust import _checks
from sklearn_robust._rows import gpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.kernels import KernelRows
from sklearn_robust._rows.on_device import DeviceRows

DEVICES = ("cpu", "cuda", "auto")
# Entries of X from which on "auto" takes them to a GPU: a guess, not measured.
_WORTH_A_COPY = 2**24


def check_device(device) -> None:
    """One of the devices, and a GPU where it is asked for."""
    _checks.check_choice("device", device, DEVICES, "'auto' takes a GPU where one is there and worth it")
    if device == "cuda" and gpu.missing():
        raise RuntimeError(f"device='cuda' needs a usable GPU: {gpu.missing()}. device='cpu' works without one.")


def placed(device: str, rows: Rows) -> Rows:
    """Rows where their passes will run."""
    no_columns = isinstance(rows, KernelRows) or rows.design is not None
    if device == "cpu" or (device == "auto" and (no_columns or rows.X.size < _WORTH_A_COPY or gpu.missing())):
        return rows
    if no_columns:
        what = "an exact kernel, or ridge with more columns than rows" if rows.design is None else "sparse X"
        remedy = "; for a kernel set n_components" if rows.design is None else ""
        raise ValueError(f"device='cuda' must come with dense columns. Got {what}; device='cpu' takes it{remedy}.")
    gpu.load()
    return DeviceRows.of(rows)


@contextmanager
def one_line(device: str):
    """Say in a line what a GPU could not do; the estimator is as it was before."""
    try:
        yield
    except Exception as error:
        if device == "cpu" or not type(error).__module__.startswith(("cupy", "numba", "cuda")):
            raise
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError) or "out of memory" in text.lower():
            raise MemoryError(
                f"The GPU has too little memory for this fit ({text}); pass fewer rows, X in float32 that already lies "
                "on the GPU, or device='cpu'."
            ) from error
        raise RuntimeError(
            f"The GPU failed ({type(error).__name__}: {text}); check it with nvidia-smi, or set device='cpu'."
        ) from error

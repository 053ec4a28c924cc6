"""Where the passes of a fit run: on the CPU or on a GPU, and what is said when a GPU fails."""

import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from sklearn_robust import _checks
from sklearn_robust._rows import gpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.kernels import KernelRows
from sklearn_robust._rows.on_device import DeviceArray, DeviceRows, DeviceVector, LazyWeights

DEVICES = ("cpu", "cuda", "auto")
# Entries of X, or of the matrix of an exact kernel, from which on "auto" takes them to a GPU. The first fit of a
# process compiles its kernels for some ten seconds: as long as a few cores take for a fit of so many entries.
_WORTH_A_COPY, _WORTH_FACTORING = 2**28, 2**26

# Where errors of a GPU come from, and the words of Numba, CUDA, cuBLAS and cuSOLVER for too little memory.
_OF_GPUS = ("cupy", "numba.cuda", "numba_cuda", "cuda.")
_NO_MEMORY = ("out of memory", "alloc failed")


def check_device(device) -> None:
    """One of the devices, and a GPU where it is asked for."""
    _checks.check_choice("device", device, DEVICES, "'auto' takes a GPU where one is there and worth it")
    if device == "cuda" and gpu.missing():
        raise RuntimeError(f"device='cuda' needs a usable GPU: {gpu.missing()}. device='cpu' works without one.")


def placed(device: str, rows: Rows) -> Rows:
    """Rows where their passes will run."""
    if isinstance(rows.X, DeviceArray):
        return DeviceRows.of(rows)
    is_kernel = isinstance(rows, KernelRows)
    size = rows.X.shape[0] * rows.X.shape[1]
    worth = _WORTH_FACTORING if is_kernel else _WORTH_A_COPY
    if device == "cpu" or (device == "auto" and (rows.design is not None or size < worth or gpu.missing())):
        return rows
    if rows.design is not None:
        raise ValueError("device='cuda' must come with dense X. Got sparse X; device='cpu' takes it.")
    gpu.load()
    return replace(rows, X=rows.X.moved(gpu)) if is_kernel else DeviceRows.of(rows)


def on_gpu(rows: Rows) -> bool:
    """Whether passes over the rows, or the systems of an exact kernel, are for a GPU."""
    return isinstance(rows, DeviceRows) or (isinstance(rows, KernelRows) and rows.X.algebra is gpu)


def adopted(name: str, values, device: str):
    """An array that lies on a GPU, where it lies."""
    if device == "cpu":
        raise ValueError(
            f"{name} must lie on the CPU for device='cpu'. Got {type(values).__name__} on a GPU; set device='cuda', or "
            "pass a copy."
        )
    if gpu.missing():
        raise RuntimeError(f"{name} lies on a GPU that cannot be used: {gpu.missing()}.")
    array = gpu.adopted(values)
    here = getattr(array, "device", None)
    if here is not None and gpu.xp is not np and here != gpu.xp.cuda.Device():
        raise ValueError(
            f"{name} must lie on the current GPU, {gpu.xp.cuda.Device().id}. Got {name} on GPU {here.id}; make that "
            "the current one (cupy.cuda.Device(k).use()), or copy it."
        )
    return array


def on_cpu(name: str, values, device: str):
    """One number a row, copied from a GPU where it lies on one."""
    return gpu.to_host(adopted(name, values, device)) if gpu.is_there(values) else values


def array(name: str, values, device: str) -> DeviceArray:
    """Numbers that lie on a GPU, where they lie: float32 and float64 row by row, others as a copy."""
    found = adopted(name, values, device)
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be an array of real numbers. Got dtype {found.dtype}.")
    return DeviceArray(found if found.dtype in (np.float32, np.float64) else found.astype(np.float64))


def matrix(name: str, X, device: str) -> DeviceArray:
    """X (n, p) that lies on a GPU."""
    found = array(name, X, device)
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"{name} must be an array of rows and columns. Got {name} of shape {found.shape}.")
    return found


def column(name: str, values, device: str):
    """A target (n,) that lies on a GPU, where it lies; several targets, copied from there; others as they are."""
    if not gpu.is_there(values):
        return values
    found = array(name, values, device)
    return DeviceArray(found.array.astype(np.float64, copy=False)) if found.ndim == 1 else found[:]


def on_one_side(X, y, kept) -> tuple[np.ndarray, np.ndarray]:
    """X and y on the GPU if X is there and stays: it does where no fewer of its rows count than it has columns."""
    if isinstance(X, DeviceArray) and (len(X) if kept is None else kept.sum()) < X.shape[1]:
        X = X[:]
    return X, y if isinstance(X, DeviceArray) else np.asarray(y)


def loss_weights(values, y, given):
    """Weights of the loss (n,): as the kind of array that y was given as, if y stayed on a GPU."""
    on_gpu = isinstance(values, DeviceVector | LazyWeights) and isinstance(y, DeviceArray)
    return like(given, values.array) if on_gpu else np.asarray(values)


def like(X, values):
    """Predictions as the kind of array that X is."""
    if not gpu.is_there(X):
        return values
    values, name = gpu.to_device(values), type(X).__module__.partition(".")[0]
    if name == "numba":
        return gpu.for_kernels(values, sync=True)
    library = sys.modules.get("jax.numpy" if name == "jaxlib" else name)
    return library.from_dlpack(values) if hasattr(library, "from_dlpack") else values


@contextmanager
def one_line(model):
    """Leave the model's attributes as they were where something fails, and say in a line what a GPU could not do."""
    before = dict(vars(model))
    try:
        yield
    except Exception as error:
        for name in vars(model).keys() - before.keys():
            delattr(model, name)
        vars(model).update(before)
        if model.device == "cpu" or not type(error).__module__.startswith(_OF_GPUS):
            raise
        text = " ".join(str(error).split())
        said = text.lower().replace("_", " ")
        if isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY):
            raise MemoryError(
                f"The GPU has too little memory for this fit ({text}); pass fewer rows, X in float32 that already lies "
                "on the GPU, or device='cpu'."
            ) from error
        raise RuntimeError(
            f"The GPU failed ({type(error).__name__}: {text}); check it with nvidia-smi, or set device='cpu'."
        ) from error

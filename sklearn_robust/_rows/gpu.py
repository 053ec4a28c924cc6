"""A GPU: whether one is usable, arrays that lie on it, and launches of the kernels. No other file imports CuPy.

Linear algebra beside the kernels goes through ``xp``, the array namespace: CuPy, or NumPy in Numba's simulator.
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from sklearn_robust._rows import cuda
from sklearn_robust._rows.cpu import MEAT, RESIDUALS, SCORE
from sklearn_robust._rows.sums import N_CROSS, N_SCALARS

xp: Any = None  # once ``load`` has found it

_NO_TERMS, _NO_OUT = np.zeros(0, dtype=np.int64), np.zeros((1, 1))
# What DLPack calls memory of CUDA, and memory that it manages.
_DLPACK_GPU = (2, 13)
# Bytes of a copy to the device that are pinned at once.
_PINNED = 2**26


@cache
def missing() -> str:
    """What a GPU needs and is not there, and the remedy, in a line; empty where nothing is missing."""
    if cuda.simulated():
        return ""
    absent = [name for name, module in (("numba-cuda", "numba_cuda"), ("cupy", "cupy")) if find_spec(module) is None]
    if absent:
        return f"not installed: {', '.join(absent)}; pip install 'sklearn-robust[cuda]'"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # whatever a broken installation says
        text = " ".join(str(error).split())
        if "InsufficientDriver" in text:
            return f"there is no NVIDIA driver, or it is too old ({text}); install the newest"
        return f"CuPy finds none ({text}); check it with nvidia-smi"
    if count == 0:
        return "there is no card"
    try:
        load()
        cuda.cuda.current_context()
        xp.arange(2.0) @ xp.arange(2.0)
    except Exception as error:
        return f"the one that is there cannot be used ({' '.join(str(error).split())}); check it with nvidia-smi"
    return ""


def load() -> None:
    """Import what a GPU needs."""
    global xp
    if xp is not None:
        return
    cuda.load()
    if cuda.simulated():
        xp = np
    else:
        import cupy as xp


def to_device(values):
    """An array on the device: a copy, pinned part by part where it is large, of one that is not there yet."""
    if not isinstance(values, np.ndarray) or xp is np:
        return values
    if values.nbytes <= _PINNED or not values.flags.c_contiguous:
        return xp.ascontiguousarray(xp.asarray(values))  # threads of a block read along rows
    import cupyx

    out = xp.empty(values.shape, values.dtype)
    size = max(_PINNED // max(values[:1].nbytes, 1), 1)
    stream = xp.cuda.Stream()  # which waits for what the memory was used for before
    buffers = [cupyx.empty_pinned((size, *values.shape[1:]), values.dtype) for _ in range(2)]
    copied: list[Any] = [None, None]
    for k, first in enumerate(range(0, len(values), size)):
        part, buffer = values[first : first + size], buffers[k % 2]
        if copied[k % 2] is not None:
            copied[k % 2].synchronize()
        buffer[: len(part)] = part
        out[first : first + size].set(buffer[: len(part)], stream=stream)
        copied[k % 2] = stream.record()
    stream.synchronize()
    return out


def is_there(values) -> bool:
    """Whether an array of another library lies on a GPU."""
    if isinstance(values, np.ndarray):
        return False
    if hasattr(values, "__cuda_array_interface__"):
        return True
    return hasattr(values, "__dlpack_device__") and int(values.__dlpack_device__()[0]) in _DLPACK_GPU


def adopted(values):
    """An array of another library that lies on the GPU, where it lies."""
    load()
    return xp.asarray(values) if hasattr(values, "__cuda_array_interface__") else xp.from_dlpack(values)


def to_host(values) -> np.ndarray:
    """A copy of an array of the device on the CPU."""
    return np.asarray(values) if xp is np else xp.asnumpy(values)


def _grid(n_rows: int, tile: int) -> int:
    return max(min(-(-n_rows // tile), cuda.BLOCKS), 1)


def _added(partials) -> np.ndarray:
    """What blocks have summed (blocks, m), added up (m,), on the CPU."""
    sums = xp.empty(partials.shape[1])
    cuda.sum_kernel()[-(-sums.size // cuda.THREADS), cuda.THREADS](partials, sums)
    return to_host(sums)


def sweep(X, y, weights, noise, weighted, noisy, center, inv_scale, point, learn_shape, want, out):
    """One pass over X (n, p): scalars (11,), lines (4, w) and gram (w, w) on the CPU; residuals go to ``out``."""
    q = len(point) - cuda.HEAD
    n_blocks = -(-(q + (N_CROSS if want == MEAT else 0)) // 4)
    n_products = n_blocks + (0 if want in (RESIDUALS, SCORE) else n_blocks * (n_blocks + 1) // 2)
    width, per_row = 4 * n_blocks, 4 * n_blocks + 1 + cuda.N_LINES + 1 + N_SCALARS
    tile = min(cuda.TILE, cuda.TILE_NUMBERS // per_row // cuda.WARP * cuda.WARP)
    threads = max(cuda.THREADS, -(-n_products // cuda.WARP) * cuda.WARP)
    grid, n_bytes = _grid(len(X), tile), 8 * max(tile * per_row, 16 * threads)
    n_gram = width * width if n_products > n_blocks else 0
    partials = xp.zeros((grid, N_SCALARS + cuda.N_LINES * width + n_gram) if want != RESIDUALS else (1, 1))
    cuda.sweep_kernel(want)[grid, threads, 0, n_bytes](
        X,
        y,
        weights,
        noise,
        weighted,
        noisy,
        center,
        inv_scale,
        to_device(point),
        learn_shape,
        tile,
        to_device(out),
        partials,
    )
    if want == RESIDUALS:
        return None
    sums = _added(partials)
    scalars, lines, gram = np.split(sums, [N_SCALARS, N_SCALARS + cuda.N_LINES * width])
    gram = np.tril(gram.reshape(width, width)) if n_gram else np.zeros((0, 0))
    return scalars, lines.reshape(cuda.N_LINES, width), gram + np.tril(gram, -1).T


def known(residuals, weights, weighted, laws, learn_shape, kept=_NO_TERMS, out=_NO_OUT) -> np.ndarray:
    """The scalars (k, 11) of known residuals (n,) at k laws, on the CPU; terms ``kept`` go to ``out``."""
    laws = np.array(laws, dtype=float)
    grid = _grid(len(residuals), cuda.TILE)
    partials = xp.empty((grid, len(laws), N_SCALARS))
    cuda.known_kernel()[grid, cuda.THREADS, 0, 8 * N_SCALARS * cuda.THREADS](
        residuals, weights, weighted, to_device(laws), learn_shape, to_device(kept), to_device(out), partials
    )
    return _added(partials.reshape(grid, -1)).reshape(len(laws), N_SCALARS)

"""A GPU: whether one is usable, arrays that lie on it, and launches of the kernels. No other file imports CuPy.

Linear algebra beside the kernels goes through ``xp``, the array namespace: CuPy, or NumPy in Numba's simulator.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from sklearn_robust._rows import cuda
from sklearn_robust._rows.cpu import GRAM, HESSIAN, MEAT
from sklearn_robust._rows.ptx import SIDE
from sklearn_robust._rows.sums import N_CROSS, N_SCALARS

xp: Any = None  # once ``load`` has found it

_NO_TERMS, _NO_OUT = np.zeros(0, dtype=np.int64), np.zeros((1, 1))
# What DLPack calls memory of CUDA, and memory that it manages.
_DLPACK_GPU = (2, 13)
# The first cards that multiply float64 on tensor cores, and copy to shared memory while they compute.
_LEAST_CAPABILITY = (8, 0)
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
        capability = cuda.cuda.get_current_device().compute_capability
    except Exception as error:
        return f"the one that is there cannot be used ({' '.join(str(error).split())}); check it with nvidia-smi"
    if capability < _LEAST_CAPABILITY:
        least, found = ("{}.{}".format(*numbers) for numbers in (_LEAST_CAPABILITY, capability))
        return f"kernels need compute capability {least} (A100, RTX 30) or more, the card has {found}"
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
    if values.nbytes <= _PINNED:
        return xp.ascontiguousarray(xp.asarray(values))  # threads of a block read along rows
    import cupyx

    out = xp.empty(values.shape, values.dtype)
    size = max(_PINNED // max(values[:1].nbytes, 1), 1)
    stream = xp.cuda.Stream()
    stream.wait_event(xp.cuda.get_current_stream().record())  # for what the memory was used for before
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


def for_kernels(values, sync: bool = False):
    """An array on the device as the one that kernels ask for, which takes a while to make; ``sync`` waits for it."""
    return values if xp is np else cuda.cuda.as_cuda_array(values, sync=sync)


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
    named = hasattr(values, "__cuda_array_interface__")
    if hasattr(values, "__dlpack__") and not isinstance(values, xp.ndarray):
        try:
            return xp.from_dlpack(values)  # which waits for the stream that makes them
        except Exception:  # whatever a library says that refuses
            if not named:
                raise
    return xp.asarray(values)


def to_host(values) -> np.ndarray:
    """A copy of an array of the device on the CPU."""
    return np.asarray(values) if xp is np else xp.asnumpy(values)


def _raising():
    """Where linear algebra raises what it finds, as NumPy's does."""
    if xp is np:
        return nullcontext()
    import cupyx

    return cupyx.errstate(linalg="raise")


def _triangular(lower, right, transposed: bool = False):
    """The solution of a triangular system: of the transposed factor, column by column as cuBLAS wants it."""
    if xp is np:
        from scipy.linalg import solve_triangular
    else:
        from cupyx.scipy.linalg import solve_triangular
    return solve_triangular(lower.T, right, trans=int(not transposed), lower=False)


def product(matrix, vector):
    """The product (n,) of a symmetric matrix and a vector, both on the device."""
    return matrix @ vector


def cholesky(matrix):
    """The lower Cholesky factor of a symmetric matrix on the device; None where there is none."""
    with _raising():
        try:
            lower = xp.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return None
    return lower if xp.isfinite(lower.diagonal()).all() else None


def cholesky_solve(lower, right):
    """The solution (n,) of the system of a factored matrix."""
    return _triangular(lower, _triangular(lower, right), transposed=True)


def inverse_trace(lower) -> float:
    """The trace of the inverse of a factored matrix."""
    inverse = _triangular(lower, xp.eye(len(lower)))
    return float((inverse * inverse).sum())


def solve(matrix, rights):
    """The solution (n, k) of a system; None where the matrix is singular."""
    with _raising():
        try:
            return xp.linalg.solve(matrix, rights)
        except np.linalg.LinAlgError:
            return None


@cache
def _multiprocessors() -> int:
    return 2 if xp is np else int(xp.cuda.Device().attributes["MultiProcessorCount"])


@cache
def _external_stream(pointer: int):
    return cuda.cuda.external_stream(pointer)


def _stream():
    """CuPy's current stream, as launches name it: 0 is the default one."""
    pointer = 0 if xp is np else xp.cuda.get_current_stream().ptr
    return _external_stream(pointer) if pointer else 0


def _launched(kernel_of: Callable, grid: int, threads: int, numbers: int, arguments, shape: tuple[int, ...]):
    """What the blocks of a kernel have summed, of ``shape`` (k, ...), on the CPU; the last axis begins with scalars.

    Blocks have so many ``numbers`` of shared memory. Once more, with what knows them, where the loss of some rows may
    overflow.
    """
    partials = xp.empty((grid, *shape))
    given = [for_kernels(each) if isinstance(each, xp.ndarray) else each for each in (*arguments, partials)]
    for far in (False, True):
        with cuda.few_blocks_unsaid():
            launch = kernel_of(far)[grid, threads, _stream(), 8 * numbers]
        launch(*given)
        sums = to_host(partials.sum(axis=0))
        if not np.isnan(sums[..., :1]).any():
            break
    return sums


def sweep(X, y, weights, noise, weighted, noisy, n, columns, head, theta, learn_shape, want, out):
    """One pass over the entries of X (n, p): scalars (11,), score (w,), cross terms (3, w), gram (w, w), on the CPU.

    ``head`` (8,) is the centre of y, one over its scale and the law; ``columns`` (2, p) are centres and one over the
    scales of the columns, theta (q,) begins with the intercept if there is one. w is q, or for inference q + 3.
    Residuals go to ``out``.
    """
    q, p = len(theta), columns.shape[1]
    intercept = q > p
    blocks, by_weight = max(-(-p // SIDE), 1), want == GRAM
    want = HESSIAN if by_weight else want
    size, tiles = cuda.team(want, blocks), cuda.tiles_of(want, blocks)
    head = [*head[:3], 1.0 / head[3], *head[4:], theta[0] if intercept else 0.0, float(by_weight)]
    of_columns = np.zeros((SIDE * blocks, 3))
    of_columns[:p] = np.vstack((*columns, theta[q - p :])).T
    point = np.concatenate((head, of_columns.ravel()))
    grid = max(min(-(-n // size), _multiprocessors() * cuda.resident(want, blocks)), 1)
    sums = _launched(
        partial(cuda.sweep_kernel, want, blocks), grid, size, cuda.shared_numbers(want, blocks),
        (X, y, weights, noise, weighted, noisy, p, intercept, to_device(point), learn_shape, out),
        (N_SCALARS + cuda.TILE * len(tiles) if tiles else 0,),
    )  # fmt: skip
    product = np.zeros((SIDE * (blocks + 1), SIDE * (blocks + 1)))
    for (a, b), tile in zip(tiles, sums[N_SCALARS:].reshape(-1, SIDE, SIDE), strict=True):
        product[SIDE * a : SIDE * (a + 1), SIDE * b : SIDE * (b + 1)] = tile
    lines, added = product[-SIDE:, :p], product[-SIDE:, -SIDE:]
    lines = np.hstack((added[:, [cuda.ONE] * intercept], lines))
    score, cross, gram = lines[cuda.SCORE_LINE], lines[cuda.CROSS_LINES : cuda.ONE_LINE], np.zeros((q, q))
    gram[q - p :, q - p :] = np.tril(product[:p, :p])
    if intercept:
        gram[:, 0] = lines[cuda.ONE_LINE]
    if want == MEAT:
        rest = added[cuda.ADDED_LINES :]
        score = np.append(score, rest[:, cuda.UNIT])
        gram = np.block([[gram, np.zeros((q, N_CROSS))], [cross, rest[:, cuda.ADDED : cuda.UNIT]]])
        cross = np.zeros((N_CROSS, q + N_CROSS))
    if by_weight:
        cross = np.zeros_like(cross)
    return sums[:N_SCALARS], score, cross, np.tril(gram) + np.tril(gram, -1).T


def known(residuals, weights, weighted, laws, learn_shape, kept=_NO_TERMS, out=_NO_OUT) -> np.ndarray:
    """The scalars (k, 11) of known residuals (n,) at k laws, on the CPU; terms ``kept`` go to ``out``."""
    laws = np.array(laws, dtype=float)
    grid = max(min(-(-len(residuals) // cuda.THREADS), _multiprocessors() * cuda.KNOWN_RESIDENT), 1)
    return _launched(
        cuda.known_kernel, grid, cuda.THREADS, N_SCALARS * cuda.THREADS,
        (residuals, weights, weighted, to_device(laws), learn_shape, to_device(kept), to_device(out)),
        (len(laws), N_SCALARS),
    )  # fmt: skip

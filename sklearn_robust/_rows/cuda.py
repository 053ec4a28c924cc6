"""The loops over rows as CUDA kernels. No other file imports numba.cuda.

A block of threads takes one tile of rows after the other. It packs a tile into shared memory in working units, as
``cpu`` packs its buffer; a thread a row then forms the residual and the terms of the loss, by the formulas of
``_loss``; then each thread adds its own four by four entries of the gram, or of the score and the cross terms, which
stay in registers. A block writes what it has summed, and a second kernel adds up the blocks in their order: no atomics,
so that the same data give the same bits. X may be of float32 or float64; all sums are of float64.

Kernels are compiled when first used. Where ``NUMBA_ENABLE_CUDASIM`` asks for Numba's simulator they run without a GPU,
on arrays of NumPy, which wants ``cuda`` to be a global name.
"""

import os
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numba import float64

from sklearn_robust._loss import mixture
from sklearn_robust._loss.jit import jit
from sklearn_robust._loss.mixture import terms_of_row
from sklearn_robust._rows.cpu import GRAM, HESSIAN, MEAT, PLAIN_GRAM, RESIDUALS, SCORE
from sklearn_robust._rows.sums import (
    CURVATURE,
    DIRTY,
    FITTED,
    FITTED_SQUARES,
    LOSS,
    N_CROSS,
    N_SCALARS,
    ONES,
    PULLS,
    SCALE,
    SCALE_SCALE,
    SCALE_SHAPE,
    SHAPE,
    SHAPE_SHAPE,
    SHARED,
    SHARED_SCALE,
    SHARED_SHAPE,
    SQUARES,
    WEIGHTS,
)


def simulated() -> bool:
    """Whether Numba's simulator stands in for a GPU."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


cuda: Any = None  # numba.cuda, once ``load`` has imported it

# Coefficients whose gram one block holds in registers, at most.
MOST_COEFS = 65
# Blocks of a grid, at most: four for each of the 132 multiprocessors of an H100, and the same on any card.
BLOCKS = 528
# Rows of a tile, at most, and the float64 numbers of shared memory that it may take. Threads of a block, at least, and
# the multiple that they come in: few in the simulator, which pays for each.
TILE, TILE_NUMBERS = 128, 6144
THREADS, WARP = (4, 4) if simulated() else (128, 32)
N_LINES = 1 + N_CROSS
# Entries of ``point`` before the coefficients: centre of y and one over its scale, and the law.
HEAD = 8


def load() -> None:
    """Import numba.cuda."""
    global cuda
    if not hasattr(np, "row_stack"):  # numba-cuda 0.30 reads it
        np.row_stack = np.vstack  # noqa: NPY201
    from numba import cuda as module

    cuda = module


@jit
def _add_scalars(u, s, learn_shape, mixed, terms, sums, at, stride):
    """Add a row to its scalars, which stand ``stride`` apart from ``at`` on."""
    u_pull = u * terms[mixture.PULL]
    sums[at + LOSS * stride] += s * terms[mixture.LOSS]
    sums[at + SQUARES * stride] += s * (u * u)
    scale = s * u_pull
    scale_scale = s * (u_pull + u * terms[mixture.STRETCH])
    if learn_shape:
        sums[at + SHAPE * stride] += s * terms[mixture.SHAPE]
        sums[at + SHAPE_SHAPE * stride] += s * terms[mixture.SHAPE_SHAPE]
    scale_shape = -s * (u * terms[mixture.PULL_ALPHA])
    if mixed:
        dirty = s * (1.0 - terms[mixture.CLEAN])
        shared_scale = s * terms[mixture.SHARED_SCALE]
        shared_shape = s * terms[mixture.SHARED_SHAPE]
        sums[at + DIRTY * stride] += dirty
        sums[at + SHARED * stride] += s * terms[mixture.SHARED]
        sums[at + SHARED_SCALE * stride] += shared_scale
        scale += dirty
        scale_scale -= shared_scale
        if learn_shape:
            sums[at + SHARED_SHAPE * stride] += shared_shape
            scale_shape -= shared_shape
    sums[at + SCALE * stride] += scale
    sums[at + SCALE_SCALE * stride] += scale_scale
    if learn_shape:
        sums[at + SCALE_SHAPE * stride] += scale_shape


@jit
def _add_for_inference(s, one, fitted, terms, sums, at, stride):
    """The same with the scalars of a pass for inference."""
    weight = s * terms[mixture.WEIGHT]
    sums[at + CURVATURE * stride] += s * terms[mixture.CURVATURE]
    sums[at + PULLS * stride] += s * (terms[mixture.PULL] * terms[mixture.PULL])
    sums[at + WEIGHTS * stride] += weight
    sums[at + ONES * stride] += weight * (one * one)
    sums[at + FITTED * stride] += weight * (one * fitted)
    sums[at + FITTED_SQUARES * stride] += weight * (fitted * fitted)


@lru_cache(maxsize=6)
def sweep_kernel(want: int):
    """The kernel of a pass over X, compiled for what it is asked for (of ``cpu``).

    ``point`` (8 + q,) is the centre of y, one over its scale, the law and theta. ``out`` takes residuals (n,), and
    ``partials`` (blocks, 11 + 4 w + w²) what each block has summed: scalars, score and cross terms, and a gram of w
    columns, q rounded up to a multiple of four, below the diagonal.
    """
    has_gram = want not in (RESIDUALS, SCORE)
    n_extra = N_CROSS if want == MEAT else 0

    def sweep(X, y, weights, noise, weighted, noisy, center, inv_scale, point, learn_shape, tile, out, partials):
        n, p = X.shape
        q = point.size - HEAD
        intercept = q - p
        n_blocks = (q + n_extra + 3) // 4
        width = 4 * n_blocks
        pitch = width + 1  # odd: threads of neighbouring rows read other banks
        shared = cuda.shared.array(0, float64)
        lines_at = tile * pitch
        g_at = lines_at + N_LINES * tile
        sums_at = g_at + tile
        thread = cuda.threadIdx.x
        n_threads = cuda.blockDim.x
        n_grams = n_blocks * (n_blocks + 1) // 2 if has_gram else 0
        n_products = n_grams + n_blocks
        n_groups = n_threads // n_products
        group = thread // n_products
        product = thread - group * n_products
        a = -1  # which four columns, or lines, times which
        b = product - n_grams
        if product < n_grams:
            a = 0
            while (a + 1) * (a + 2) // 2 <= product:
                a += 1
            b = product - a * (a + 1) // 2
        a *= 4
        b *= 4
        t00 = t01 = t02 = t03 = t10 = t11 = t12 = t13 = 0.0
        t20 = t21 = t22 = t23 = t30 = t31 = t32 = t33 = 0.0
        for e in range(thread, sums_at + N_SCALARS * tile, n_threads):
            shared[e] = 0.0
        alpha, c, tail = point[2], point[3], point[4]
        mixed = tail > -np.inf
        rows_step = n_threads // p if p else 0
        columns_step = n_threads - rows_step * p
        for first in range(cuda.blockIdx.x * tile, n, cuda.gridDim.x * tile):
            m = min(tile, n - first)
            cuda.syncthreads()
            if p:
                i = thread // p
                j = thread - i * p
                while i < m:
                    shared[i * pitch + j + intercept] = (X[first + i, j] - center[j]) * inv_scale[j]
                    i += rows_step
                    j += columns_step
                    if j >= p:
                        j -= p
                        i += 1
            cuda.syncthreads()
            for i in range(thread, m, n_threads):
                row = i * pitch
                inv = 1.0 / noise[first + i] if noisy else 1.0
                if intercept:
                    shared[row] = inv
                if noisy:
                    for k in range(intercept, q):
                        shared[row + k] *= inv
                residual = (y[first + i] - point[0]) * point[1] * inv
                fitted = 0.0
                if want != PLAIN_GRAM:
                    for k in range(q):
                        fitted += point[HEAD + k] * shared[row + k]
                    residual -= fitted
                s = weights[first + i] if weighted else 1.0
                if want == RESIDUALS:
                    out[first + i] = residual
                elif want == PLAIN_GRAM:
                    shared[g_at + i] = s
                else:
                    u = residual / c
                    terms = terms_of_row(u, alpha, learn_shape, tail, point[5], point[6], point[7])
                    if want == MEAT:
                        one = shared[row] if intercept else 0.0
                        _add_for_inference(s, one, fitted, terms, shared, sums_at + i, tile)
                        for k in range(q):
                            shared[row + k] *= terms[mixture.PULL]
                        shared[row + q] = u * terms[mixture.PULL] - terms[mixture.CLEAN]
                        shared[row + q + 1] = -terms[mixture.SHAPE] if learn_shape else 0.0
                        shared[row + q + 2] = 1.0 - terms[mixture.CLEAN]
                        shared[lines_at + i] = s
                        shared[g_at + i] = s
                    else:
                        _add_scalars(u, s, learn_shape, mixed, terms, shared, sums_at + i, tile)
                        pull = s * terms[mixture.PULL]
                        shared[lines_at + i] = pull
                        if want == GRAM:
                            shared[g_at + i] = s * terms[mixture.WEIGHT]
                        elif want == HESSIAN:
                            shared[g_at + i] = s * terms[mixture.CURVATURE]
                            shared[lines_at + tile + i] = pull + s * terms[mixture.STRETCH]
                            if learn_shape:
                                shared[lines_at + 2 * tile + i] = -s * terms[mixture.PULL_ALPHA]
                            if mixed:
                                shared[lines_at + 3 * tile + i] = s * terms[mixture.SHARED_PULL]
            cuda.syncthreads()
            if want == RESIDUALS or group >= n_groups:
                continue
            for i in range(group, m, n_groups):
                row = i * pitch
                if a >= 0:
                    g = shared[g_at + i]
                    f0, f1 = g * shared[row + a], g * shared[row + a + 1]
                    f2, f3 = g * shared[row + a + 2], g * shared[row + a + 3]
                else:
                    line = lines_at + i
                    f0, f1 = shared[line], shared[line + tile]
                    f2, f3 = shared[line + 2 * tile], shared[line + 3 * tile]
                x0, x1, x2, x3 = shared[row + b], shared[row + b + 1], shared[row + b + 2], shared[row + b + 3]
                t00, t01, t02, t03 = t00 + f0 * x0, t01 + f0 * x1, t02 + f0 * x2, t03 + f0 * x3
                if want == SCORE:  # one line
                    continue
                t10, t11, t12, t13 = t10 + f1 * x0, t11 + f1 * x1, t12 + f1 * x2, t13 + f1 * x3
                t20, t21, t22, t23 = t20 + f2 * x0, t21 + f2 * x1, t22 + f2 * x2, t23 + f2 * x3
                t30, t31, t32, t33 = t30 + f3 * x0, t31 + f3 * x1, t32 + f3 * x2, t33 + f3 * x3
        if want == RESIDUALS:
            return
        cuda.syncthreads()
        block = cuda.blockIdx.x
        for k in range(thread, N_SCALARS, n_threads):
            total = 0.0
            for i in range(tile):
                total += shared[sums_at + k * tile + i]
            partials[block, k] = total
        cuda.syncthreads()
        at = thread * 16
        shared[at], shared[at + 1], shared[at + 2], shared[at + 3] = t00, t01, t02, t03
        shared[at + 4], shared[at + 5], shared[at + 6], shared[at + 7] = t10, t11, t12, t13
        shared[at + 8], shared[at + 9], shared[at + 10], shared[at + 11] = t20, t21, t22, t23
        shared[at + 12], shared[at + 13], shared[at + 14], shared[at + 15] = t30, t31, t32, t33
        cuda.syncthreads()
        if group == 0:
            begin = N_SCALARS + b
            if a >= 0:
                begin += (N_LINES + a) * width
            for k in range(16):
                total = 0.0
                for other in range(n_groups):
                    total += shared[(other * n_products + product) * 16 + k]
                partials[block, begin + k // 4 * width + k % 4] = total

    return cuda.jit(sweep)


@cache
def known_kernel():
    """The kernel of a pass over known residuals (n,), which X takes no part in.

    ``partials`` (blocks, k, 11) takes the scalars at each of the laws (k, 6), and ``out`` (., n) the terms ``kept`` at
    the last of them.
    """

    def known(residuals, weights, weighted, laws, learn_shape, kept, out, partials):
        shared = cuda.shared.array(0, float64)
        thread, n_threads = cuda.threadIdx.x, cuda.blockDim.x
        for k in range(laws.shape[0]):
            alpha, c, tail = laws[k, 0], laws[k, 1], laws[k, 2]
            for j in range(N_SCALARS):
                shared[j * n_threads + thread] = 0.0
            for i in range(cuda.grid(1), residuals.size, cuda.gridsize(1)):
                u = residuals[i] / c
                s = weights[i] if weighted else 1.0
                with_shape = learn_shape and alpha != 2.0
                terms = terms_of_row(u, alpha, with_shape, tail, laws[k, 3], laws[k, 4], laws[k, 5])
                _add_scalars(u, s, with_shape, tail > -np.inf, terms, shared, thread, n_threads)
                if k == laws.shape[0] - 1:
                    for j in range(kept.size):
                        out[j, i] = terms[kept[j]]
            cuda.syncthreads()
            for j in range(thread, N_SCALARS, n_threads):
                total = 0.0
                for i in range(n_threads):
                    total += shared[j * n_threads + i]
                partials[cuda.blockIdx.x, k, j] = total
            cuda.syncthreads()

    return cuda.jit(known)


@cache
def sum_kernel():
    """The kernel that adds up what blocks have summed, (blocks, m), in their order."""

    def add(partials, sums):
        for e in range(cuda.grid(1), sums.size, cuda.gridsize(1)):
            total = 0.0
            for block in range(partials.shape[0]):
                total += partials[block, e]
            sums[e] = total

    return cuda.jit(add)

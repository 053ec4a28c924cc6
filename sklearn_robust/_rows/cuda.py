"""The loops over rows as CUDA kernels. No other file imports numba.cuda.

A block is one team of threads, of one warp, or of two where columns are many, and takes one tile of rows after the
other: as many rows as threads. The team copies a tile into shared memory; a thread a row then brings it into working
units, as ``cpu`` does, and forms the residual and the terms of the loss, by the formulas of ``_loss``; and all that is
summed over rows beside a few scalars is the lower triangle of one product

    sum_i  (g_i x_i, lines_i)' (x_i, aux_i)

of blocks of eight columns, x a row in blocks, ``lines`` what the score, the cross terms and the row of the intercept
are made of, ``aux`` one and what a pass for inference adds. Tensor cores multiply (m8n8k4 of float64: four rows at a
time), a tile of the product stays in the registers of its warp. A block writes what it has summed, and the blocks are
added in their order: no atomics, so that the same data give the same bits. X may be of float32 or float64; all sums
are of float64.

Kernels are compiled when first used. Where ``NUMBA_ENABLE_CUDASIM`` asks for Numba's simulator they run without a GPU,
on arrays of NumPy, which wants ``cuda`` to be a global name; there each thread multiplies for itself.
"""

import os
import warnings
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numba import float64

from sklearn_robust._loss import mixture
from sklearn_robust._loss.mixture import terms_of_any_row, terms_of_row
from sklearn_robust._loss.terms import is_near
from sklearn_robust._rows import ptx
from sklearn_robust._rows.cpu import HESSIAN, MEAT, PLAIN_GRAM, RESIDUALS, SCORE
from sklearn_robust._rows.ptx import APART, DEPTH, MOST_BLOCKS, SIDE
from sklearn_robust._rows.sums import LOSS, N_CROSS, N_SCALARS, add_for_inference, add_scalars


def simulated() -> bool:
    """Whether Numba's simulator stands in for a GPU."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


cuda: Any = None  # numba.cuda, once ``load`` has imported it

# Threads of a warp, and of a block that reads known residuals.
WARP, THREADS = 32, 4 if simulated() else 128
# Blocks of columns that the registers of one warp have room for.
_MOST_ALONE = 5
KNOWN_RESIDENT, _RESIDENT, _PAIRS_RESIDENT = 4, {1: 16, 2: 16, 3: 12, 4: 12}, 4
_LEAST_RESIDENT = 8  # blocks of one warp that have room, however many registers it has
# Bytes of shared memory of a multiprocessor (of compute capability 9.0), and of it for each block.
_SHARED_BYTES, _RESERVED_BYTES = 227 * 1024, 1024
MOST_COLUMNS = MOST_BLOCKS * SIDE
# Lines: that of the score, those of the cross terms, the row of the intercept in the gram; then those of what a pass
# for inference adds to a row, whose sums are with ``aux``: one, what is added, 1. The last number is g.
SCORE_LINE, CROSS_LINES, ONE_LINE, ADDED_LINES = 0, 1, 1 + N_CROSS, 2 + N_CROSS
ONE, ADDED, UNIT, _G = 0, 1, 1 + N_CROSS, SIDE - 1
_LINES_STRIDE = 2 * SIDE + 1  # odd, as the stride of x: threads that read down a column wait for no bank
TILE = SIDE * SIDE
# Entries of ``point`` before the columns: centre of y and one over its scale, the law (with one over c), the intercept,
# and whether the gram is that of the weights. Then three for each column: its centre, one over its scale, its
# coefficient. They are read where they are needed: registers are scarce.
HEAD, OF_COLUMN = 10, 3
FOURS = SIDE // 4
_LAW, _INTERCEPT, _BY_WEIGHT = 2, 8, 9


def load() -> None:
    """Import numba.cuda."""
    global cuda
    if not hasattr(np, "row_stack"):  # numba-cuda 0.30 reads it
        np.row_stack = np.vstack  # noqa: NPY201
    from numba import cuda as module

    cuda = module


@contextmanager
def few_blocks_unsaid():
    """Without Numba's warning of few blocks, which few rows are."""
    from numba.core.errors import NumbaPerformanceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        yield


def _intrinsic():
    """Numba's decorator for functions that write their own machine code; None in the simulator."""
    if simulated():
        return None
    from numba.cuda.extending import intrinsic

    return intrinsic


def tiles_of(want: int, blocks: int) -> list[tuple[int, int]]:
    """The tiles (a, b) of the product, a >= b; the last a are the lines, the last b is ``aux``."""
    first = {SCORE: blocks, RESIDUALS: blocks + 1}.get(want, 0)
    return [(a, b) for a in range(first, blocks + 1) for b in range(a + 1)]


def _parts(want: int, blocks: int) -> list[list[tuple[int, int]]]:
    """The tiles of each warp of a team."""
    tiles = tiles_of(want, blocks)
    if want in (RESIDUALS, SCORE) or blocks <= _MOST_ALONE:
        return [tiles]
    middle = len(tiles) // 2
    return [tiles[:middle], tiles[middle:]]


def team(want: int, blocks: int) -> int:
    """Threads of a block, and rows of a tile."""
    return WARP * len(_parts(want, blocks))


def resident(want: int, blocks: int) -> int:
    """Blocks that a multiprocessor holds at once, which their registers and shared memory have room for."""
    by_registers = _PAIRS_RESIDENT if team(want, blocks) > WARP else _RESIDENT.get(blocks, _LEAST_RESIDENT)
    return min(by_registers, _SHARED_BYTES // (8 * shared_numbers(want, blocks) + _RESERVED_BYTES))


def _buffers(want: int, blocks: int) -> int:
    """Tiles that a block has room for: two, of which one is fetched while the other is read, but for large ones."""
    return 1 if team(want, blocks) > WARP else 2


def shared_numbers(want: int, blocks: int) -> int:
    """Numbers of shared memory of a block: tiles and lines. A block can have 48 KiB without further ado."""
    stride = _buffers(want, blocks) * (SIDE * blocks + 1) + (0 if want == RESIDUALS else _LINES_STRIDE)
    return team(want, blocks) * stride


def _compiled(kernel, threads: int, blocks: int, far: bool):
    """A kernel of which a multiprocessor holds so many blocks at once, or where rows are far no matter how many."""
    return cuda.jit(kernel) if far or simulated() else cuda.jit(launch_bounds=(threads, blocks))(kernel)


@lru_cache(maxsize=32)
def sweep_kernel(want: int, blocks: int, far: bool):
    """The kernel of a pass over X, its entries row by row, for what it is asked for (of ``cpu``; HESSIAN for GRAM).

    ``point`` (10 + 3 p,) has the numbers, in the order above.
    ``out`` takes residuals (n,), and ``partials`` (blocks, 11 + 64 tiles) what each block has summed.
    With ``far`` it knows rows whose loss may overflow; without, these make the first scalar NaN.
    """
    intrinsic = _intrinsic()
    peek, poke = ptx.entries(intrinsic)
    fetch, dispatch, await_all_but, landed, per_number = ptx.copies(intrinsic)
    terms_of = terms_of_any_row if far else terms_of_row
    parts, size, stride = _parts(want, blocks), team(want, blocks), SIDE * blocks + 1
    buffer, several, ahead = size * stride, len(parts) > 1, _buffers(want, blocks) > 1
    lines_at = _buffers(want, blocks) * buffer
    of_parts = [
        ptx.products(intrinsic, cuda.jit(device=True), tiles, blocks, stride, (lines_at, _LINES_STRIDE, SIDE + _G))
        for tiles in parts
    ]
    first_products, other_products = of_parts[0], of_parts[-1]
    n_first, n_other = len(parts[0]), len(parts[-1])
    nothing = (0.0,) * (2 * max(n_first, n_other, 1))

    @cuda.jit(device=True)
    def of_row(y, weights, noise, weighted, noisy, i):
        if i >= y.size:
            return 0.0, 0.0, 0.0
        return y[i], weights[i] if weighted else 1.0, 1.0 / noise[i] if noisy else 1.0

    @cuda.jit(device=True)
    def fetch_rows(X, row, last, p, j, rows_step, shared, place):
        """Send rows row, row + rows_step, ... before last, in columns j, j + 32, ..., to ``place`` and on."""
        while j < p:
            here, there, end = row * p + j, place + j, last * p
            while here < end:
                fetch(shared, there, X, here)
                here += rows_step * p
                there += rows_step * (stride * per_number(X))
            j += WARP
        dispatch()

    def sweep(X, y, weights, noise, weighted, noisy, p, intercept, point, learn_shape, out, partials):
        n = y.size
        shared = cuda.shared.array(0, float64)
        scalars = cuda.local.array(N_SCALARS, float64)
        for k in range(N_SCALARS):
            scalars[k] = 0.0
        thread = cuda.threadIdx.x
        lane, part = thread % WARP, thread // WARP if several else 0
        sums = nothing
        for e in range(thread, shared.size, size):
            shared[e] = 0.0
        mine = lines_at + thread * _LINES_STRIDE
        # a warp fetches its own rows, so many at once, of which a thread has the ith and column j
        rows_step = WARP // p if 0 < p < WARP else 1
        i = lane // p if 0 < p < WARP else 0
        j = lane - i * p if i < rows_step else p
        i += WARP * part
        place = i * (stride * per_number(X))
        step = cuda.gridDim.x * size
        begin, first = 0, cuda.blockIdx.x * size
        if ahead:
            cuda.syncthreads()
            fetch_rows(X, first + i, min(first + WARP * (part + 1), n), p, j, rows_step, shared, place)
        while first < n:
            target, s, one = of_row(y, weights, noise, weighted, noisy, first + thread)
            cuda.syncthreads()
            if ahead:
                last = min(first + step + WARP * (part + 1), n)
                at = place + (buffer - begin) * per_number(X)
                fetch_rows(X, first + step + i, last, p, j, rows_step, shared, at)
                await_all_but(1)
            else:
                last = min(first + WARP * (part + 1), n)
                fetch_rows(X, first + i, last, p, j, rows_step, shared, place)
                await_all_but(0)
            cuda.syncthreads()
            own = begin + thread * stride
            fitted = peek(point, _INTERCEPT) * one
            # four columns at a time: what is read and written in turn would wait for each other; and backwards, since
            # float32 lie where the first half of the numbers comes
            for behind in range(FOURS * blocks):
                k = 4 * (FOURS * blocks - 1 - behind)
                at, from_first = HEAD + OF_COLUMN * k, own * per_number(X) + k
                x0, x1, x2, x3 = (0.0, 0.0, 0.0, 0.0)
                # what stands where no row was fetched may be any number, two halves of one even NaN
                if per_number(X) == 1 or (k < p and one > 0.0):
                    x0 = landed(shared, from_first, X)
                if per_number(X) == 1 or (k + 1 < p and one > 0.0):
                    x1 = landed(shared, from_first + 1, X)
                if per_number(X) == 1 or (k + 2 < p and one > 0.0):
                    x2 = landed(shared, from_first + 2, X)
                if per_number(X) == 1 or (k + 3 < p and one > 0.0):
                    x3 = landed(shared, from_first + 3, X)
                x0 = (x0 - peek(point, at)) * peek(point, at + 1) * one
                x1 = (x1 - peek(point, at + 3)) * peek(point, at + 4) * one
                x2 = (x2 - peek(point, at + 6)) * peek(point, at + 7) * one
                x3 = (x3 - peek(point, at + 9)) * peek(point, at + 10) * one
                fitted += peek(point, at + 2) * x0 + peek(point, at + 5) * x1
                fitted += peek(point, at + 8) * x2 + peek(point, at + 11) * x3
                poke(shared, own + k, x0)
                poke(shared, own + k + 1, x1)
                poke(shared, own + k + 2, x2)
                poke(shared, own + k + 3, x3)
            residual = (target - peek(point, 0)) * peek(point, 1) * one - fitted
            if want == RESIDUALS:
                if first + thread < n:
                    out[first + thread] = residual
            else:
                if not intercept:
                    one = 0.0
                if want == PLAIN_GRAM:
                    g = s
                else:
                    alpha, tail = peek(point, _LAW), peek(point, _LAW + 2)
                    u = residual * peek(point, _LAW + 1)
                    if not (far or is_near(u, alpha)):
                        scalars[LOSS] = np.nan
                    slope, curve, knee = peek(point, _LAW + 3), peek(point, _LAW + 4), peek(point, _LAW + 5)
                    terms = terms_of(u, alpha, learn_shape, tail, slope, curve, knee)
                    pull = s * terms[mixture.PULL]
                    poke(shared, mine + SCORE_LINE, pull)
                    if want == MEAT:
                        add_for_inference(s, one, fitted, terms, scalars)
                        e0 = u * terms[mixture.PULL] - terms[mixture.CLEAN]
                        e1 = -terms[mixture.SHAPE] if learn_shape else 0.0
                        e2 = 1.0 - terms[mixture.CLEAN]
                        g = pull * terms[mixture.PULL]
                        poke(shared, mine + CROSS_LINES, pull * e0)
                        poke(shared, mine + CROSS_LINES + 1, pull * e1)
                        poke(shared, mine + CROSS_LINES + 2, pull * e2)
                        poke(shared, mine + ADDED_LINES, s * e0)
                        poke(shared, mine + ADDED_LINES + 1, s * e1)
                        poke(shared, mine + ADDED_LINES + 2, s * e2)
                        poke(shared, mine + SIDE + ADDED, e0)
                        poke(shared, mine + SIDE + ADDED + 1, e1)
                        poke(shared, mine + SIDE + ADDED + 2, e2)
                        poke(shared, mine + SIDE + UNIT, 1.0)
                    else:
                        add_scalars(u, s, learn_shape, tail > -np.inf, terms, scalars)
                        g = 0.0
                        if want == HESSIAN:
                            g = s * (
                                terms[mixture.WEIGHT] if peek(point, _BY_WEIGHT) > 0.0 else terms[mixture.CURVATURE]
                            )
                            poke(shared, mine + CROSS_LINES, pull + s * terms[mixture.STRETCH])
                            poke(shared, mine + CROSS_LINES + 1, -s * terms[mixture.PULL_ALPHA] if learn_shape else 0.0)
                            poke(shared, mine + CROSS_LINES + 2, s * terms[mixture.SHARED_PULL])
                poke(shared, mine + ONE_LINE, g * one)
                poke(shared, mine + SIDE + ONE, one)
                poke(shared, mine + SIDE + _G, g)
                cuda.syncthreads()
                for group in range(0, size, APART * DEPTH):
                    for row in range(group, group + APART):
                        if several and part > 0:
                            sums = other_products(shared, begin, row, lane, sums)
                        else:
                            sums = first_products(shared, begin, row, lane, sums)
            if ahead:
                begin = buffer - begin
            first += step
        if want == RESIDUALS:
            return
        cuda.syncthreads()
        for k in range(N_SCALARS):
            shared[k * size + thread] = scalars[k]
        cuda.syncthreads()
        block = cuda.blockIdx.x
        for k in range(thread, N_SCALARS, size):
            total = 0.0
            for i in range(size):
                total += shared[k * size + i]
            partials[block, k] = total
        begin, own_tiles = N_SCALARS + 2 * lane, n_first
        if several and part > 0:
            begin, own_tiles = begin + TILE * n_first, n_other
        for k in range(own_tiles):
            partials[block, begin + TILE * k] = sums[2 * k]
            partials[block, begin + TILE * k + 1] = sums[2 * k + 1]

    return _compiled(sweep, size, resident(want, blocks), far)


@cache
def known_kernel(far: bool):
    """The kernel of a pass over known residuals (n,), which X takes no part in.

    ``partials`` (blocks, k, 11) takes the scalars at each of the laws (k, 6), and ``out`` (., n) the terms ``kept`` at
    the last of them.
    """
    terms_of = terms_of_any_row if far else terms_of_row

    def known(residuals, weights, weighted, laws, learn_shape, kept, out, partials):
        shared = cuda.shared.array(0, float64)
        scalars = cuda.local.array(N_SCALARS, float64)
        thread, n_threads = cuda.threadIdx.x, cuda.blockDim.x
        for k in range(laws.shape[0]):
            alpha, c, tail = laws[k, 0], laws[k, 1], laws[k, 2]
            for j in range(N_SCALARS):
                scalars[j] = 0.0
            for i in range(cuda.grid(1), residuals.size, cuda.gridsize(1)):
                u = residuals[i] / c
                s = weights[i] if weighted else 1.0
                with_shape = learn_shape and alpha != 2.0
                if not (far or is_near(u, alpha)):
                    scalars[LOSS] = np.nan
                terms = terms_of(u, alpha, with_shape, tail, laws[k, 3], laws[k, 4], laws[k, 5])
                add_scalars(u, s, with_shape, tail > -np.inf, terms, scalars)
                if k == laws.shape[0] - 1:
                    for j in range(kept.size):
                        out[j, i] = terms[kept[j]]
            for j in range(N_SCALARS):
                shared[j * n_threads + thread] = scalars[j]
            cuda.syncthreads()
            for j in range(thread, N_SCALARS, n_threads):
                total = 0.0
                for i in range(n_threads):
                    total += shared[j * n_threads + i]
                partials[cuda.blockIdx.x, k, j] = total
            cuda.syncthreads()

    return _compiled(known, THREADS, KNOWN_RESIDENT, far)

"""How a block of rows comes into a pass.

    x' = (x - center) inv_scale,     y' = (y - y_center) y_inv_scale,

with a leading one where there is an intercept, all divided by the noise scale of the row. For a gram a block is packed,
transposed, into a short buffer; residuals, and the score of a pass without a gram, come from the rows as they lie.

What is indexed by a sum, such as j + intercept, is read by its ``pointer``: an index that might be negative is checked,
and a loop with such a check does not become vector code. Rows that come next are fetched from memory while these are
worked on: several are read at a time, and a processor does not foresee which line of its cache is asked for next.
"""

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from sklearn_robust._loss.jit import jit_apart, jit_part, jit_sums, pointer, times
from sklearn_robust._rows import vector
from sklearn_robust._rows.sums import N_CROSS
from sklearn_robust._rows.vector import LINE, STEP

# Lines of the scratch beside those of ``vector``: sample weights, inverse noise scales, residuals, fitted values, what
# the gram is weighted with, and what the columns are multiplied by for the score and the cross terms.
S, UNIT, RESIDUAL, FITTED, G, LINES = range(vector.N_LINES * LINE, (vector.N_LINES + 6) * LINE, LINE)
N_LINES = vector.N_LINES + 6 + N_CROSS
# Rows that are read together, and transposed together, from and to what the processor loads at once.
_TOGETHER, _STRIP = 4, 8
# How many entries of X ahead lines of the cache, each of so many, are fetched: into the second cache (2 of 0 to 3).
_AHEAD, _CACHE_LINE, _SECOND_CACHE = 4096, 8, 2


@jit_apart
def read_numbers(y, weights, noise, y_center, y_inv_scale, first, m, steps, lines):
    """Write of a block of rows the sample weights, the inverse noise scales, and y; zeros but for the scales beyond."""
    for i in range(STEP * steps):
        lines[S + i] = lines[UNIT + i] = 1.0
    if weights.size:
        for i in range(m):
            lines[S + i] = weights[first + i]
    if noise.size:
        for i in range(m):
            lines[UNIT + i] = 1.0 / noise[first + i]
    for i in range(m):
        lines[RESIDUAL + i] = (y[first + i] - y_center) * y_inv_scale * lines[UNIT + i]
    for i in range(m, STEP * steps):
        lines[S + i] = lines[RESIDUAL + i] = 0.0


@intrinsic
def _prefetch(context, array, row, column):
    """Fetch the line of the cache with an entry of an array (n, p), which need not be there."""
    signature = numba.types.void(array, numba.types.intp, numba.types.intp)

    def generate(context, builder, signature, arguments):
        array, index = arguments[0], arguments[1:]
        array = context.make_array(signature.args[0])(context, builder, array)
        place = builder.ptrtoint(array.data, cgutils.intp_t)
        for number, stride in zip(index, cgutils.unpack_tuple(builder, array.strides), strict=True):
            place = builder.add(place, builder.mul(number, stride))
        kind, number = cgutils.voidptr_t, ir.IntType(32)
        fetch = ir.FunctionType(ir.VoidType(), [kind, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [kind], fetch)
        builder.call(fetch, [builder.inttoptr(place, kind), number(0), number(_SECOND_CACHE), number(1)])
        return context.get_dummy_value()

    return signature, generate


@jit_part
def _fetch(X, row, size):
    """Fetch as many entries as are read now from a row on, some ahead, where rows lie one after the other."""
    if X.strides[1] == X.itemsize:
        for j in range(0, size, _CACHE_LINE):
            _prefetch(X, row, _AHEAD + j)


@jit_apart
def pack(X, center, inv_scale, first, m, steps, intercept, xt, lines):
    """Write the columns of a block of rows, with ones in front if there is room."""
    centers, factors = pointer(center), pointer(inv_scale)
    for k in range(intercept):
        for i in range(m):
            xt[k, i] = lines[UNIT + i]
    for start in range(0, m - _STRIP + 1, _STRIP):
        _fetch(X, first + start, _STRIP * center.size)
        for j in range(center.size):
            middle, factor = centers[j], factors[j]
            for i in range(_STRIP):
                xt[intercept + j, start + i] = (X[first + start + i, j] - middle) * factor * lines[UNIT + start + i]
    for i in range(m - m % _STRIP, m):
        for j in range(center.size):
            xt[intercept + j, i] = (X[first + i, j] - centers[j]) * factors[j] * lines[UNIT + i]
    for i in range(m, STEP * steps):
        for j in range(intercept + center.size):
            xt[j, i] = 0.0


@jit_part
def _four_rows(first, i, m):
    """Row numbers from the i-th of m on, the last one again where there are no more."""
    b = i + 1 if i + 1 < m else i
    c = i + 2 if i + 2 < m else b
    d = i + 3 if i + 3 < m else c
    return first + i, first + b, first + c, first + d


@jit_sums
def subtract_fitted(X, center, inv_scale, theta, first, m, steps, intercept, lines):
    """Write the fitted values, and what is left: rows are read as they lie, four at a time."""
    centers, factors, coefs = pointer(center), pointer(inv_scale), pointer(theta)
    for i in range(0, m, _TOGETHER):
        a, b, c, d = _four_rows(first, i, m)
        _fetch(X, a, _TOGETHER * center.size)
        ta = tb = tc = td = 0.0
        for j in range(center.size):
            middle, coef = centers[j], times(factors[j], coefs[intercept + j])
            ta += (X[a, j] - middle) * coef
            tb += (X[b, j] - middle) * coef
            tc += (X[c, j] - middle) * coef
            td += (X[d, j] - middle) * coef
        lines[FITTED + i], lines[FITTED + i + 1], lines[FITTED + i + 2], lines[FITTED + i + 3] = ta, tb, tc, td
    constant = theta[0] if intercept else 0.0
    for i in range(m):
        lines[FITTED + i] = (lines[FITTED + i] + constant) * lines[UNIT + i]
    for i in range(m, STEP * steps):
        lines[FITTED + i] = 0.0
    for i in range(STEP * steps):
        lines[RESIDUAL + i] -= lines[FITTED + i]


@jit_apart
def add_score_rows(X, center, inv_scale, first, m, intercept, lines, score):
    """Add X'g, where g is the line of the score: of the rows as they lie.

    In this order: an entry of X times its g may overflow before it is scaled.
    """
    centers, factors, sums = pointer(center), pointer(inv_scale), pointer(score)
    for i in range(m):
        lines[LINES + i] *= lines[UNIT + i]
    for k in range(intercept):
        total = 0.0
        for i in range(m):
            total += lines[LINES + i]
        score[k] += total
    for i in range(0, m, _TOGETHER):
        a, b, c, d = _four_rows(first, i, m)
        ga, gb, gc, gd = lines[LINES + i], lines[LINES + i + 1], lines[LINES + i + 2], lines[LINES + i + 3]
        for j in range(center.size):
            middle, factor = centers[j], factors[j]
            sums[intercept + j] += (
                ga * ((X[a, j] - middle) * factor)
                + gb * ((X[b, j] - middle) * factor)
                + gc * ((X[c, j] - middle) * factor)
                + gd * ((X[d, j] - middle) * factor)
            )

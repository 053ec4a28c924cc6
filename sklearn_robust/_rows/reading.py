"""How a block of rows comes into a pass.

    x' = (x - center) inv_scale,     y' = (y - y_center) y_inv_scale,

with a leading one where there is an intercept, all divided by the noise scale of the row. For a gram a block is packed,
transposed, into a short buffer; residuals, and the score of a pass without a gram, come from the rows as they lie.
"""

from sklearn_robust._loss.jit import jit_exact, jit_part, jit_sums
from sklearn_robust._rows import vector
from sklearn_robust._rows.sums import N_CROSS
from sklearn_robust._rows.vector import LINE, STEP

# Lines of the scratch beside those of ``vector``: sample weights, inverse noise scales, residuals, fitted values, what
# the gram is weighted with, and what the columns are multiplied by for the score and the cross terms.
S, UNIT, RESIDUAL, FITTED, G, LINES = range(vector.N_LINES * LINE, (vector.N_LINES + 6) * LINE, LINE)
N_LINES = vector.N_LINES + 6 + N_CROSS


@jit_sums
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


@jit_exact
def pack(X, center, inv_scale, first, m, steps, intercept, xt, lines):
    """Write the columns of a block of rows, with ones in front if there is room."""
    for k in range(intercept):
        for i in range(m):
            xt[k, i] = lines[UNIT + i]
    for i in range(m):
        unit = lines[UNIT + i]
        for j in range(center.size):
            xt[j + intercept, i] = (X[first + i, j] - center[j]) * inv_scale[j] * unit
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
    for i in range(0, m, 4):
        a, b, c, d = _four_rows(first, i, m)
        ta = tb = tc = td = 0.0
        for j in range(center.size):
            middle, factor = center[j], inv_scale[j]
            coef = theta[j + intercept]
            ta += (X[a, j] - middle) * factor * coef
            tb += (X[b, j] - middle) * factor * coef
            tc += (X[c, j] - middle) * factor * coef
            td += (X[d, j] - middle) * factor * coef
        lines[FITTED + i], lines[FITTED + i + 1], lines[FITTED + i + 2], lines[FITTED + i + 3] = ta, tb, tc, td
    constant = theta[0] if intercept else 0.0
    for i in range(m):
        lines[FITTED + i] = (lines[FITTED + i] + constant) * lines[UNIT + i]
    for i in range(m, STEP * steps):
        lines[FITTED + i] = 0.0
    for i in range(STEP * steps):
        lines[RESIDUAL + i] -= lines[FITTED + i]


@jit_exact
def add_score_rows(X, center, inv_scale, first, m, intercept, lines, score):
    """Add X'g, where g is the line of the score: of the rows as they lie.

    In this order: an entry of X times its g may overflow before it is scaled.
    """
    for i in range(m):
        lines[LINES + i] *= lines[UNIT + i]
    for k in range(intercept):
        total = 0.0
        for i in range(m):
            total += lines[LINES + i]
        score[k] += total
    for i in range(0, m, 4):
        a, b, c, d = _four_rows(first, i, m)
        ga, gb, gc, gd = lines[LINES + i], lines[LINES + i + 1], lines[LINES + i + 2], lines[LINES + i + 3]
        for j in range(center.size):
            middle, factor = center[j], inv_scale[j]
            score[j + intercept] += (
                ga * ((X[a, j] - middle) * factor)
                + gb * ((X[b, j] - middle) * factor)
                + gc * ((X[c, j] - middle) * factor)
                + gd * ((X[d, j] - middle) * factor)
            )

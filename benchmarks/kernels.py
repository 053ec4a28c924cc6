"""Nanoseconds an element of the loss, and a row of each pass over the data, against plain NumPy and a memory copy.

Plain NumPy is the same formula on blocks of rows that stay in the cache; the copy moves the bytes that are read.

Usage: python benchmarks/kernels.py [--csv table.csv] [--markdown table.md]
"""

import itertools

import bench
import numpy as np
from threadpoolctl import threadpool_limits

from sklearn_robust import losses
from sklearn_robust._loss import mixture
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import RowLaw, Rows
from sklearn_robust._rows.frame import NONE, Frame

ALPHA = 1.0
BLOCK = 8192
N_ELEMENTS, MOST_ENTRIES = 1_000_000, 10_000_000
COLUMNS = (1, 10, 20, 200)
PASSES = {"gradient": cpu.SCORE, "gradient and Hessian": cpu.HESSIAN, "plain gram": cpu.PLAIN_GRAM}


def numpy_rho(x, alpha):
    b = abs(alpha - 2.0)
    return b / alpha * np.expm1(0.5 * alpha * np.log1p(x * x / b))


def numpy_weight(x, alpha):
    return np.exp((0.5 * alpha - 1.0) * np.log1p(x * x / abs(alpha - 2.0)))


def blocks(n):
    return (slice(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK))


def in_blocks(function, x, out):
    for part in blocks(x.size):
        out[part] = function(x[part], ALPHA)


def numpy_pass(X, y, theta, want):
    """The sums of a pass, written plainly."""
    n, p = X.shape
    b = 2.0 - ALPHA
    loss, score, gram, cross = 0.0, np.zeros(p), np.zeros((p, p)), np.zeros((2, p))
    for part in blocks(n):
        x = X[part]
        if want == cpu.PLAIN_GRAM:
            gram += x.T @ x
            continue
        u = y[part] - x @ theta
        log1p_r = np.log1p(u * u / b)
        w = np.exp((0.5 * ALPHA - 1.0) * log1p_r)
        loss += (b / ALPHA * np.expm1(0.5 * ALPHA * log1p_r)).sum()
        score += x.T @ (u * w)
        if want == cpu.HESSIAN:
            q = u * u / (b + u * u)
            curvature = w * (1.0 + (ALPHA - 2.0) * q)
            gram += x.T @ (curvature[:, None] * x)
            cross[0] += x.T @ (u * (w + curvature))
            cross[1] += x.T @ (0.5 * u * w * (log1p_r - q))
    return loss, score, gram, cross


def compared(name, p, threads, per, tasks):
    """One line of the table, in ns for each of ``per`` elements or rows."""
    ns = {key: 1e9 * value / per for key, value in bench.in_turns(tasks, least=5, budget=1.5).items()}
    line = {"what": name, "p": p, "threads": threads, "ours ns": ns["ours"], "NumPy ns": ns["NumPy"]}
    return line | {
        "copy ns": ns["copy"],
        "ours to NumPy": ns["ours"] / ns["NumPy"],
        "ours to copy": ns["ours"] / ns["copy"],
    }


def elements(threads):
    """The loss one element at a time: the public functions, and the weights as a fit writes them."""
    x = np.random.default_rng(0).standard_cauchy(N_ELEMENTS)
    out, fitted = np.empty_like(x), x.copy()
    copy = {"copy": lambda: np.copyto(out, x)}
    for name, ours, plain in (("losses.rho", losses.rho, numpy_rho), ("losses.weight", losses.weight, numpy_weight)):
        tasks = {"ours": lambda ours=ours: ours(x, ALPHA), "NumPy": lambda plain=plain: in_blocks(plain, x, out)}
        yield compared(name, "", threads, x.size, tasks | copy)
    tasks = {
        "ours": lambda: cpu.row_terms(ALPHA, 1.0, -np.inf, mixture.WEIGHT, fitted, *cpu.scratch(0)[:2])
    }  # in place: weights of weights, in time
    tasks["NumPy"] = lambda: in_blocks(numpy_weight, x, out)
    yield compared("weights of a fit", "", threads, x.size, tasks | copy)


def passes(p, threads):
    """Every pass over the rows, at p columns."""
    n = min(1_000_000, MOST_ENTRIES // p)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    theta = np.linspace(-1, 1, p)
    y = X @ theta + rng.standard_t(3, n)
    frame = Frame(np.zeros(p), np.ones(p), 0.0, 1.0, 1.0, False)
    rows = Rows(X, y, NONE, NONE, frame)
    target = np.empty_like(X)
    for name, want in PASSES.items():
        plain = want == cpu.PLAIN_GRAM
        tasks = {"ours": rows.gram if plain else lambda want=want: rows.sweep(theta, RowLaw(ALPHA, 1.0), want, True)}
        tasks["NumPy"] = lambda want=want: numpy_pass(X, y, theta, want)
        yield compared(name, p, threads, n, tasks | {"copy": lambda: np.copyto(target, X)})


def main():
    arguments = bench.parser(__doc__).parse_args()
    lines = []
    for limit in (1, None):
        with threadpool_limits(limits=limit):
            threads = "1" if limit else "all"
            measured = [elements(threads)] if limit else []  # element by element there is one thread
            for line in itertools.chain(*measured, *(passes(p, threads) for p in COLUMNS)):
                bench.show(line)
                lines.append(line)
    bench.publish(lines, arguments)


if __name__ == "__main__":
    main()

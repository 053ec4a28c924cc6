"""Passes and whole fits on a GPU: values against the CPU, times against what reading X costs on the same card.

For each size, on fresh random data each time: the largest relative difference of the sums of a pass to those of the CPU
(of as many rows as it holds in reasonable time); the floor, the bytes of X and y over the bandwidth of the card, which
is measured by reading a large array; what a pass costs however few its rows; the time of a pass with the gradient,
with the gram and with the Hessian, and of CuPy's ``X.T @ X``, each relative to the floor; and the time of a whole
adaptive fit of data that lie on the GPU, and of the same fit on the CPU. "not measured" stands for what does not fit on
the card, or would take too long on the CPU.

Usage: python benchmarks/cuda.py [--rows 100000000] [--dtype float64] [--csv table.csv] [--markdown table.md]
"""

import datetime
import sys
from itertools import product
from pathlib import Path

import bench
import numpy as np

from sklearn_robust import AdaptiveRobustRegressor
from sklearn_robust._rows import cpu, gpu
from sklearn_robust._rows.blocks import RowLaw
from sklearn_robust._rows.frame import NONE, Frame
from sklearn_robust._rows.on_device import DeviceArray, DeviceRows

# This folder has a file of the name of a package that CuPy imports.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

COLUMNS = (8, 16, 32, 33, 64, 65)
ROWS = (10**5, 10**6, 10**7, 10**8)
WANTS = {"gradient": cpu.SCORE, "gram": cpu.GRAM, "Hessian": cpu.HESSIAN}
# Rows that the CPU fits at most, on which values are compared (the last tile nearly empty, in a block that has had
# others), and whose pass takes no time.
MOST_ON_CPU, COMPARED, FEW = 10**6, 2**19 + 3, 1000
READ = 2**28  # numbers, for the bandwidth
LAW = RowLaw(1.2, 0.7, -2.0, 0.1, 0.2)
NOT_MEASURED = "not measured"


def synchronised(task):
    """A call that ends when the card has ended."""

    def call():
        task()
        gpu.xp.cuda.Device().synchronize()

    return call


def bandwidth():
    """Bytes a second of reading an array too large for any cache."""
    values = gpu.xp.ones(READ)
    time = bench.in_turns({"read": synchronised(values.sum)})["read"]
    return values.nbytes / time


def make_data(n, p, dtype):
    """X and y on the card: t3 noise and 10% outliers, other ones at each call."""
    random = gpu.xp.random.default_rng()
    X = random.standard_normal((n, p), dtype=dtype)
    noise = random.standard_normal(n) / gpu.xp.sqrt(random.chisquare(3.0, n) / 3.0)
    noise[: n // 10] += 20.0
    return X, X.sum(axis=1, dtype=float) + noise


def first_rows(there, n, intercept=True):
    """The first rows, on the card."""
    X, y = DeviceArray(there.X.array[:n]), DeviceArray(there.y.array[:n])
    return DeviceRows(X, y, NONE, NONE, Frame.of(X, y, NONE, intercept))


def difference(there, theta):
    """The largest relative difference of sums to those of the CPU, in float64, with an intercept and without."""
    worst = 0.0
    for intercept, want in product((True, False), WANTS.values()):
        few = first_rows(there, min(COMPARED, len(there) - 29), intercept)
        found, expected = (rows.sweep(theta[-few.frame.n_coefs :], LAW, want, True)[0] for rows in (few, few.host))
        for name in ("scalars", "score", "gram") if want != cpu.SCORE else ("scalars", "score"):
            mine, other = getattr(found, name), getattr(expected, name)
            worst = np.maximum(worst, np.abs(mine - other).max() / np.abs(other).max())  # which NaN is not lost in
    return float(worst)


def measure(n, p, dtype, bytes_a_second):
    """One line of the table."""
    line = {"n": n, "p": p}
    try:
        X, y = make_data(n, p, dtype)
        matrix, target = DeviceArray(X), DeviceArray(y)
        there = DeviceRows(matrix, target, NONE, NONE, Frame.of(matrix, target, NONE, True))
        theta = np.random.default_rng().normal(size=p + 1) * 0.1
        line["difference"] = difference(there, theta)
        floor = (X.nbytes + y.nbytes) / bytes_a_second
        line["floor, ms"] = 1e3 * floor
        tasks = {name: lambda want=want: there.sweep(theta, LAW, want, True) for name, want in WANTS.items()}
        tasks = {name: synchronised(task) for name, task in tasks.items()}
        tasks["CuPy's X'X"] = synchronised(lambda: X.T @ X)
        few = first_rows(there, FEW)
        line["fixed, ms"] = (
            1e3 * bench.in_turns({"few": synchronised(lambda: few.sweep(theta, LAW, cpu.HESSIAN, True))})["few"]
        )
        times = bench.in_turns(tasks)
        line.update((f"{name} to floor", time / floor) for name, time in times.items())
        fits = {"fit, s": lambda: AdaptiveRobustRegressor(device="cuda").fit(X, y)}
        if n <= MOST_ON_CPU:
            on_cpu, y_on_cpu = gpu.to_host(X), gpu.to_host(y)
            fits["fit on the CPU, s"] = lambda: AdaptiveRobustRegressor().fit(on_cpu, y_on_cpu)
        line.update(bench.in_turns({name: fit for name, fit in fits.items()}))
    except MemoryError:
        gpu.xp.get_default_memory_pool().free_all_blocks()
    names = ("difference", "floor, ms", "fixed, ms", *(f"{name} to floor" for name in (*WANTS, "CuPy's X'X")))
    return {name: line.get(name, NOT_MEASURED) for name in ("n", "p", *names, "fit, s", "fit on the CPU, s")}


def main():
    options = bench.parser(__doc__)
    options.add_argument("--rows", type=int, default=max(ROWS), help="no more rows than these")
    options.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="how X is stored")
    arguments = options.parse_args()
    if gpu.missing():
        sys.exit(f"No usable GPU: {gpu.missing()}.")
    gpu.load()
    name = gpu.xp.cuda.runtime.getDeviceProperties(gpu.xp.cuda.Device().id)["name"].decode()
    speed = bandwidth()
    card = f"Card: {name}, {speed / 1e12:.2f} TB/s measured, X in {arguments.dtype}, {datetime.date.today()}."
    lines = []
    try:
        for n, p in product((size for size in ROWS if size <= arguments.rows), COLUMNS):
            lines.append(measure(n, p, arguments.dtype, speed))
            bench.show(lines[-1])
    finally:  # what was measured is kept
        bench.publish(lines, arguments, (card,))


if __name__ == "__main__":
    main()

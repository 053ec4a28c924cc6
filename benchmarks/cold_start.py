"""Import and first fit in a fresh process, against HuberRegressor's.

With the compiled kernels of an earlier process on disk (warm), and with none (cold: everything is compiled). Python's
own bytecode is on disk in either case, where an installer puts it.

Usage: python benchmarks/cold_start.py [--repeats 5] [--csv table.csv] [--markdown table.md]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bench
import numpy as np

import sklearn_robust

SIZES = [(100, 3), (1000, 10)]
OURS, HUBER = "sklearn_robust:AdaptiveRobustRegressor", "sklearn.linear_model:HuberRegressor"
SCRIPT = """
import sys, time
module, name = sys.argv[1].split(":")
n, p = int(sys.argv[2]), int(sys.argv[3])
begin = time.perf_counter()
estimator = getattr(__import__(module, fromlist=[name]), name)
imported = time.perf_counter()
import numpy as np
rng = np.random.default_rng(0)
X = rng.standard_normal((n, p))
y = X @ np.linspace(-1, 1, p) + 1.0 + rng.standard_t(3, n)
made = time.perf_counter()
estimator().fit(X, y)
print(imported - begin, time.perf_counter() - made)
"""


def fresh(estimator, n, p, cache):
    """Seconds of (import, first fit) in a new process."""
    root = str(Path(sklearn_robust.__file__).parents[1])
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": root}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", SCRIPT, estimator, str(n), str(p)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return tuple(map(float, out.split()))


def measure(n, p, repeats, n_cold):
    """Lines of the table for one size: Huber, ours warm, ours cold."""
    times = {"HuberRegressor": [], "ours, warm": [], "ours, cold": []}
    with tempfile.TemporaryDirectory() as scratch:
        fresh(OURS, n, p, Path(scratch, "first"))  # leaves its bytecode
        cold = [Path(scratch, f"cold{k}") for k in range(n_cold)]
        times["ours, cold"] = [fresh(OURS, n, p, cache) for cache in cold]
        for _ in range(repeats):
            times["HuberRegressor"].append(fresh(HUBER, n, p, cold[0]))
            times["ours, warm"].append(fresh(OURS, n, p, cold[0]))
    huber = float(np.median([sum(each) for each in times["HuberRegressor"]]))
    for name, each in times.items():
        total = float(np.median([sum(pair) for pair in each]))
        imports, fits = np.median(each, axis=0).tolist()
        line = {"n": n, "p": p, "process": name, "import s": imports, "first fit s": fits, "both s": total}
        yield line | {"ratio to Huber": total / huber, "more than Huber s": total - huber}


def main():
    options = bench.parser(__doc__)
    options.add_argument("--repeats", type=int, default=5, help="processes of each kind (default: 5)")
    options.add_argument("--cold", type=int, default=3, help="of those without compiled kernels (default: 3)")
    arguments = options.parse_args()
    lines = []
    for n, p in SIZES:
        for line in measure(n, p, arguments.repeats, arguments.cold):
            bench.show(line)
            lines.append(line)
    bench.publish(lines, arguments)


if __name__ == "__main__":
    main()

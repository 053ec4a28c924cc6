"""What the benchmarks share: the machine in words, fits taking turns, and tables as text, CSV and Markdown."""

import argparse
import platform
import time
import tracemalloc
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

# The threads of a linear algebra library go on spinning after a call: what comes next waits until they sleep.
REST, QUICK = 0.05, 0.01
LIBRARIES = ("numpy", "scipy", "scikit-learn", "numba", "statsmodels", "pylmrob")


def machine() -> str:
    """Processor, threads and versions: what a time depends on, and nothing else of the machine."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    parts = [names[0] if names else platform.processor() or platform.machine()]
    parts += [f"{_openmp_effective_n_threads()} threads"] + [f"{size:.0f} GiB" for size in memory]
    parts += [platform.system(), f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            parts.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def _lines(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def seconds(task) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    task()
    return time.perf_counter() - begin


def in_turns(tasks, *, least=3, most=31, budget=2.0):
    """Median seconds of each task, in turns after one untimed call each: as often as the budget (seconds) allows."""
    once = sum(seconds(task) for task in tasks.values())
    rest = REST if once > QUICK else 0.0
    repeats = int(np.clip(budget / (once + rest * len(tasks)), least, most))
    times = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            time.sleep(rest)
            times[name].append(seconds(task))
    return {name: float(np.median(each)) for name, each in times.items()}


def extra_memory(model, X, y):
    """Bytes at the peak of a fit beyond what was there before."""
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def parser(doc) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    options = argparse.ArgumentParser(description=doc.splitlines()[0])
    options.add_argument("--csv", help="write the table here as well")
    options.add_argument("--markdown", help="write the table and the machine here, for the documentation")
    return options


def _cell(value) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def show(line) -> None:
    """One line as soon as it is measured."""
    print(", ".join(f"{name} {_cell(value)}" for name, value in line.items()), flush=True)


def publish(lines, arguments, notes=()) -> pd.DataFrame:
    """Print the table, and write it where the options say."""
    table = pd.DataFrame(lines)
    cells = pd.DataFrame([{name: _cell(value) for name, value in line.items()} for line in lines]).fillna("")
    print("\n" + cells.to_string(index=False) + "\n\n" + "\n".join((machine(), *notes)))
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)
    if arguments.markdown:
        rule = ["---" if table[name].dtype == object else "--:" for name in cells]
        bodies = [[cell.replace("|", "\\|") for cell in row] for row in cells.to_numpy().tolist()]
        rows = ["| " + " | ".join(row) + " |" for row in (list(cells), rule, *bodies)]
        text = "\n".join(("Measured on: " + machine() + ".", "", *rows, *(f"\n{note}" for note in notes))) + "\n"
        Path(arguments.markdown).write_text(text, encoding="utf-8")
    return table

"""The benchmark of a GPU, run with few rows wherever there are arrays for it: on a card, or on a stand-in."""

import csv
import importlib.util
import sys
import tempfile
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest.mock import Mock, patch

from sklearn_robust._rows.cuda import MOST_COLUMNS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COLUMNS = 3, MOST_COLUMNS + 1


def module():
    """The benchmark as a module: its name is that of a package that CuPy imports."""
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("benchmark", BENCHMARKS / "cuda.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def benchmark(dtype, error=None):
    """From its first line to its last: how far sums are from those of the CPU. An error comes with the second line."""
    measured = module()

    def once(tasks):
        return {name: measured.bench.seconds(task) for name, task in tasks.items()}

    patches = {"ROWS": (2000, 3000), "COLUMNS": COLUMNS, "READ": 1000}
    if error is not None:
        patches["make_data"] = Mock(side_effect=[measured.make_data(2000, COLUMNS[0], dtype), error])
    with tempfile.TemporaryDirectory() as place:
        table, page = Path(place) / "table.csv", Path(place) / "table.md"
        argv = ["cuda.py", "--rows", "2500", "--dtype", dtype, "--csv", str(table), "--markdown", str(page)]
        with (
            patch.object(sys, "argv", argv),
            patch.object(measured.bench, "in_turns", once),
            patch.multiple(measured, **patches),
            redirect_stdout(sys.stderr),
            suppress(RuntimeError),
        ):
            measured.main()
        assert f"X in {dtype}" in page.read_text(encoding="utf-8")
        lines = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [int(line["p"]) for line in lines] == list(COLUMNS[: 1 if isinstance(error, RuntimeError) else 2])
    for k, line in enumerate(lines):
        lost = k == 1 and error is not None
        assert (measured.NOT_MEASURED in line.values()) == lost, line
        yield 0.0 if lost else float(line["difference"])


BENCHMARK = {
    "float64": lambda: benchmark("float64"),
    "float32": lambda: benchmark("float32"),
    "out of memory": lambda: benchmark("float64", MemoryError()),
    "broken": lambda: benchmark("float64", RuntimeError()),
}

"""The rules of the house: imports only go down, heavy libraries wait inside functions, files stay short."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "sklearn_robust").rglob("*.py"))
LAYERS = {
    "_loss": ("sklearn_robust._loss",),
    "_rows": ("sklearn_robust._loss", "sklearn_robust._rows"),
    "_fit": ("sklearn_robust._loss", "sklearn_robust._rows", "sklearn_robust._fit"),
}
LAZY = ("numba.cuda", "cupy", "dask", "matplotlib")

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())


def within(name, packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def imports(file, *, inside_functions):
    """Full dotted names of all that a file imports, the lazy imports inside its functions too or not."""
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    pending = [ast.parse(file.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join(filter(None, (*above, node.module, alias.name))) for alias in node.names)
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))


@every_file
def test_imports_only_go_down(file):
    layer = file.relative_to(ROOT).parts[1]
    names = list(imports(file, inside_functions=True))
    if layer in LAYERS:
        assert [n for n in names if within(n, ["sklearn_robust"]) and not within(n, LAYERS[layer])] == []
        assert [n for n in names if within(n, ["sklearn.base"])] == []
    if layer == "_loss":
        assert [n for n in names if not within(n, ["math", "numba", "sklearn_robust"])] == []


@every_file
def test_heavy_libraries_are_imported_inside_functions(file):
    assert [n for n in imports(file, inside_functions=False) if within(n, LAZY)] == []


@pytest.mark.parametrize(("library", "name"), [("numba.cuda", "cuda.py"), ("cupy", "gpu.py")])
def test_what_a_gpu_needs_is_imported_in_one_file(library, name):
    found = [file.name for file in FILES if any(within(n, [library]) for n in imports(file, inside_functions=True))]
    assert found == [name]


@every_file
def test_files_are_short(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_three_layers_are_there():
    assert {file.relative_to(ROOT).parts[1] for file in FILES} >= LAYERS.keys()


def test_the_lower_bounds_are_the_oldest_versions_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = set(re.findall(r"^\S+==\S+$", (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert {bound.replace(">=", "==") for bound in project["dependencies"]} <= pins

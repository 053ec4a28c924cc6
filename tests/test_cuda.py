"""Rows on a GPU without one: fits in Numba's simulator, kernels compiled for a card, what is said where none is."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numba import boolean, float32, float64, int64, types
from scipy import sparse

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor, _device
from sklearn_robust._rows import cpu, cuda, gpu
from sklearn_robust._rows.ptx import MOST_BLOCKS

HERE = Path(__file__).parent
COMPILERS = {"numba-cuda": "numba_cuda", "cupy": "cupy", "nvidia-nvvm": "nvidia.cu13.nvvm"}
LINE, LINES, PARTS = (types.Array(float64, ndim, "C") for ndim in (1, 2, 3))
TERMS = types.Array(int64, 1, "C")
SWEEP = (LINE, LINE, LINE, boolean, boolean, int64, boolean, LINE, boolean, LINE, LINES)
KNOWN = (LINE, LINE, boolean, LINES, boolean, TERMS, LINES, PARTS)
WANTS = ("RESIDUALS", "SCORE", "HESSIAN", "PLAIN_GRAM", "MEAT")
# Few columns, as many as one warp has room for, and most of them; and what loss may overflow.
KERNELS = {
    **{
        f"{want}, {blocks}{', far' * far}": (want, blocks, far)
        for want in WANTS
        for blocks, far in ((1, False), (5, False), (MOST_BLOCKS, False), (1, True))
    },
    **{f"HESSIAN, {blocks}, float32": ("HESSIAN", blocks, False) for blocks in (2, 3, 4)},
    "known": ("known", 0, False),
    "known, far": ("known", 0, True),
}


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, X.sum(axis=1) + rng.standard_t(3, size=40)


def errors_of(cases, simulated):
    found = subprocess.run(
        [sys.executable, "-W", "error", HERE / "cuda_cases.py", cases],
        cwd=HERE.parent,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": str(int(simulated))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    errors = dict(map(json.loads, found.stdout.splitlines()))
    assert len(errors) >= 12
    return {name: error for name, error in errors.items() if not error < 1e-10}


@pytest.mark.parametrize("cases", ["passes", "fits", "apart"])
def test_the_simulated_gpu_equals_the_cpu(cases):
    assert errors_of(cases, simulated=True) == {}


@pytest.mark.skipif(bool(gpu.missing()), reason=f"a GPU is needed: {gpu.missing()}")
@pytest.mark.parametrize("cases", ["passes", "fits", "apart"])
def test_a_gpu_equals_the_cpu(cases):
    assert errors_of(cases, simulated=False) == {}


def absent():
    def is_absent(module):
        try:
            return find_spec(module) is None
        except ModuleNotFoundError:
            return True

    return [package for package, module in COMPILERS.items() if is_absent(module)]


@pytest.mark.skipif(bool(absent()), reason=f"compiling for a card needs {', '.join(absent())}")
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_for_a_card(name, tmp_path, monkeypatch):
    gpu.load()
    from numba.cuda import dispatcher

    # kernels that call functions ask for the card's kind
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    want, blocks, far = KERNELS[name]
    X = types.Array(float32, 1, "C") if "float32" in name else LINE
    kernel, signature = cuda.known_kernel(far), KNOWN
    if want != "known":
        kernel, signature = cuda.sweep_kernel(getattr(cpu, want), blocks, far), (X, *SWEEP)
    options = {"launch_bounds": kernel.targetoptions.get("launch_bounds"), "device": False, "abi": "numba"}
    ptx, _ = cuda.cuda.compile(kernel.py_func, signature, cc=(9, 0), output="ptx", **options)
    assert ".target sm_90" in ptx
    assert ".visible .entry" in ptx
    (tmp_path / "kernel.ptx").write_text(ptx)
    found = Path(find_spec("nvidia.cu13.nvvm").submodule_search_locations[0]).parent / "bin" / "ptxas"
    ptxas = shutil.which("ptxas") or (str(found) if found.exists() else None)
    if ptxas is not None:
        command = [ptxas, "-v", "-arch=sm_90", "kernel.ptx", "-o", "kernel.cubin"]
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
        assert "0 bytes spill stores, 0 bytes spill loads" in told, told


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(cuda, "simulated", lambda: False)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name == "cupy" else object())
    assert gpu.missing.__wrapped__() == "not installed: cupy; pip install 'sklearn-robust[cuda]'"


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (RuntimeError("cudaErrorInsufficientDriver: too\nold"), "there is no NVIDIA driver, or it is too old (cuda"),
        (OSError("libcudart.so.13: cannot open"), "CuPy finds none (libcudart.so.13: cannot open); check it with"),
        (0, "there is no card"),
    ],
)
def test_driver_and_card_are_looked_for(answer, line, monkeypatch):
    def count():
        if isinstance(answer, Exception):
            raise answer
        return answer

    runtime = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count))
    monkeypatch.setattr(cuda, "simulated", lambda: False)
    monkeypatch.setattr(gpu, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=runtime))
    found = gpu.missing.__wrapped__()
    assert found.startswith(line)
    assert "\n" not in found


def test_without_a_gpu_cuda_is_one_line(monkeypatch):
    monkeypatch.setattr(gpu, "missing", lambda: "there is no card")
    line = r"^device='cuda' needs a usable GPU: there is no card\. device='cpu' works without one\.$"
    with pytest.raises(RuntimeError, match=line):
        GeneralRobustRegressor(device="cuda").fit(*data())


def test_without_a_gpu_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(gpu, "missing", lambda: "there is no card")
    monkeypatch.setattr(_device, "_WORTH_A_COPY", 0)
    found, expected = (AdaptiveRobustRegressor(device=device).fit(*data()) for device in ("auto", "cpu"))
    np.testing.assert_array_equal(found.coef_, expected.coef_)


def test_small_data_are_not_worth_a_copy(monkeypatch):
    monkeypatch.setattr(gpu, "missing", lambda: pytest.fail("nobody should look for a GPU"))
    AdaptiveRobustRegressor(device="auto").fit(*data())


def test_a_gpu_does_not_take_sparse_X(monkeypatch):
    monkeypatch.setattr(gpu, "missing", lambda: "")
    X, y = data()
    line = r"^device='cuda' must come with dense X\. Got sparse X; device='cpu' takes it\.$"
    with pytest.raises(ValueError, match=line):
        GeneralRobustRegressor(device="cuda").fit(sparse.csr_array(X), y)


def failing(error):
    with _device.one_line(GeneralRobustRegressor(device="cuda")):
        raise error


def test_a_failing_gpu_is_one_line():
    out_of_memory = type("OutOfMemoryError", (MemoryError,), {"__module__": "cupy.cuda.memory"})
    with pytest.raises(
        MemoryError, match=r"^The GPU has too little memory for this fit \(Out of memory a b\); .*'cpu'\.$"
    ):
        failing(out_of_memory("Out of memory\na b"))
    broken = type("CudaAPIError", (Exception,), {"__module__": "numba.cuda.cudadrv.driver"})
    with pytest.raises(RuntimeError, match=r"^The GPU failed \(CudaAPIError: \[999\] unknown\); .*device='cpu'\.$"):
        failing(broken("[999] unknown"))
    with pytest.raises(ValueError, match="ours"):
        failing(ValueError("ours"))

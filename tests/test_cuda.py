"""Rows on a GPU without one: fits in Numba's simulator, kernels compiled for a card, what is said where none is."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import apart
import numpy as np
import pytest
from numba import boolean, float32, float64, int64, types
from numba.core.errors import NumbaPerformanceWarning
from scipy import sparse

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor, _base, _device
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


def errors_of(cases, simulated, least=12):
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
    assert len(errors) >= least
    return {name: error for name, error in errors.items() if not error < 1e-10}


@pytest.mark.parametrize("cases", ["passes", "fits", "apart", "many"])
def test_the_simulated_gpu_equals_the_cpu(cases):
    assert errors_of(cases, simulated=True) == {}


def test_the_benchmark_runs_on_a_stand_in():
    assert errors_of("benchmark", simulated=True, least=4) == {}


@pytest.mark.skipif(bool(gpu.missing()), reason=f"a GPU is needed: {gpu.missing()}")
@pytest.mark.parametrize("cases", ["passes", "fits", "apart", "many"])
def test_a_gpu_equals_the_cpu(cases):
    assert errors_of(cases, simulated=False) == {}


@pytest.mark.skipif(bool(gpu.missing()), reason=f"a GPU is needed: {gpu.missing()}")
def test_the_benchmark_runs_on_a_gpu():
    assert errors_of("benchmark", simulated=False, least=4) == {}


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


@pytest.mark.parametrize("want", ["SCORE", "RESIDUALS"])
def test_blocks_of_one_warp_fill_the_shared_memory(want):
    resident = cuda.resident(getattr(cpu, want), MOST_BLOCKS)
    taken = 8 * cuda.shared_numbers(getattr(cpu, want), MOST_BLOCKS) + 1024
    assert resident * taken <= 227 * 1024 < (resident + 1) * taken


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


def test_an_old_card_is_named(monkeypatch):
    card = SimpleNamespace(compute_capability=(7, 5))
    monkeypatch.setattr(cuda, "simulated", lambda: False)
    monkeypatch.setattr(gpu, "find_spec", lambda name: object())
    runtime = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 1))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=runtime))
    module = SimpleNamespace(current_context=lambda: None, get_current_device=lambda: card)
    monkeypatch.setattr(gpu, "xp", np)
    monkeypatch.setattr(cuda, "cuda", module)
    line = "kernels need compute capability 8.0 (A100, RTX 30) or more, the card has 7.5"
    assert gpu.missing.__wrapped__() == line
    card.compute_capability = (8, 0)
    assert gpu.missing.__wrapped__() == ""


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


OUT_OF_MEMORY = type("OutOfMemoryError", (MemoryError,), {"__module__": "cupy.cuda.memory"})


def failing(error):
    with _device.one_line(GeneralRobustRegressor(device="cuda")):
        raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OUT_OF_MEMORY, "Out of memory\na b"),
        ("numba.cuda.cudadrv.driver", "[2] Call to cuModuleLoadDataEx results in CUDA_ERROR_OUT_OF_MEMORY"),
        ("cupy_backends.cuda.libs.cublas", "CUBLAS_STATUS_ALLOC_FAILED"),
        ("cupy_backends.cuda.libs.cusolver", "CUSOLVER_STATUS_ALLOC_FAILED"),
    ],
)
def test_too_little_memory_is_one_line(error, text):
    error = type("CudaAPIError", (Exception,), {"__module__": error}) if isinstance(error, str) else error
    with pytest.raises(MemoryError, match=r"^The GPU has too little memory for this fit \(.*\); .*'cpu'\.$") as found:
        failing(error(text))
    assert " ".join(text.split()) in str(found.value)


def test_a_failing_gpu_is_one_line():
    broken = type("CudaAPIError", (Exception,), {"__module__": "numba.cuda.cudadrv.driver"})
    with pytest.raises(RuntimeError, match=r"^The GPU failed \(CudaAPIError: \[999\] unknown\); .*device='cpu'\.$"):
        failing(broken("[999] unknown"))
    with pytest.raises(ValueError, match="ours"):
        failing(ValueError("ours"))


class There:
    """An array of another library, on the device."""

    __cuda_array_interface__ = None

    def __dlpack__(self, **_):
        raise AssertionError("for whoever adopts it to ask")


def out_of_memory(*_):
    raise OUT_OF_MEMORY("Out of memory")


@pytest.mark.parametrize(
    "call",
    {
        "fit, X": lambda model, X, y: model.fit(There(), y),
        "fit, y": lambda model, X, y: model.fit(X, There()),
        "fit, weights": lambda model, X, y: model.fit(X, y, There()),
        "fit, noise": lambda model, X, y: model.fit(X, y, noise_scale=There()),
        "predict": lambda model, X, y: model.predict(There()),
        "predict_interval": lambda model, X, y: model.predict_interval(There()),
        "log_density": lambda model, X, y: model.log_density(There(), y),
        "outlier_pvalue": lambda model, X, y: model.outlier_pvalue(There(), y),
        "outlier_proba": lambda model, X, y: model.outlier_proba(There(), y),
        "influence": lambda model, X, y: model.influence(There(), y),
    }.items(),
    ids=lambda call: call[0],
)
def test_a_gpu_that_fails_to_take_an_array_is_one_line(call, monkeypatch):
    X, y = data()
    model = AdaptiveRobustRegressor(device="auto").fit(X, y)
    monkeypatch.setattr(gpu, "missing", lambda: "")
    monkeypatch.setattr(gpu, "adopted", out_of_memory)
    with pytest.raises(MemoryError, match=r"^The GPU has too little memory for this fit"):
        call[1](model, X, y)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_a_fit_that_fails_on_a_gpu_changes_nothing(n_targets, monkeypatch):
    X, y = data()
    y = y if n_targets == 1 else np.column_stack([y, X[:, 0] - y])
    model, never = (GeneralRobustRegressor(device="auto") for _ in range(2))
    before = dict(vars(model.fit(X, y)))
    monkeypatch.setattr(_base, "loss_weights", out_of_memory)
    for each in model, never:
        with pytest.raises(MemoryError, match=r"^The GPU has too little memory for this fit"):
            each.fit(X[:30, :2], y[:30])
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    assert vars(never) == vars(GeneralRobustRegressor(device="auto"))


@pytest.mark.parametrize(("pointer", "stream"), [(0, 0), (7, "stream 7")])
def test_kernels_go_on_the_current_stream_and_few_blocks_are_not_warned_of(pointer, stream, monkeypatch):
    launches = []

    class Kernel:
        def __getitem__(self, launch):
            launches.append(launch)
            warnings.warn("few blocks", NumbaPerformanceWarning, stacklevel=1)
            return lambda *given: None

    monkeypatch.setattr(gpu, "xp", apart)
    monkeypatch.setattr(gpu, "for_kernels", lambda values: values)
    monkeypatch.setattr(apart.default, "ptr", pointer, raising=False)
    monkeypatch.setattr(cuda, "cuda", SimpleNamespace(external_stream=lambda pointer: f"stream {pointer}"))
    gpu._launched(lambda far: Kernel(), 3, 32, 10, (), (11,))
    assert launches == [(3, 32, stream, 80)] * 2


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_are_copied_in_pinned_parts(order, monkeypatch):
    monkeypatch.setattr(gpu, "xp", apart)
    monkeypatch.setattr(apart.Stream, "log", [])
    monkeypatch.setitem(sys.modules, "cupyx", apart.cupyx["cupyx"])
    monkeypatch.setattr(gpu, "_PINNED", 100)
    X = np.asarray(data()[0], order=order)
    there = gpu.to_device(X)
    np.testing.assert_array_equal(there.values, X)
    assert there.flags.c_contiguous
    assert apart.Stream.log == [apart.default, *["copied"] * 10, "ended"]


class Refused(There):
    def __dlpack__(self, **_):
        raise BufferError("not this one")


@pytest.mark.parametrize(
    ("given", "way"), [(There(), "DLPack"), (Refused(), "interface"), (apart.ndarray(1.0), "interface")]
)
def test_arrays_of_other_libraries_come_by_dlpack(given, way, monkeypatch):
    def from_dlpack(values):
        if isinstance(values, Refused):
            raise BufferError
        return "DLPack"

    library = SimpleNamespace(ndarray=apart.ndarray, from_dlpack=from_dlpack, asarray=lambda values: "interface")
    monkeypatch.setattr(gpu, "xp", library)
    assert gpu.adopted(given) == way


def test_what_dlpack_alone_refuses_is_raised(monkeypatch):
    monkeypatch.setattr(gpu, "xp", apart)
    with pytest.raises(BufferError):
        gpu.adopted(SimpleNamespace(__dlpack__=None))


@pytest.mark.parametrize(
    ("module", "kind"),
    [("jaxlib._jax", "jax"), ("torch", "torch"), ("numba.cuda.cudadrv.devicearray", "numba"), ("unknown", "ndarray")],
)
def test_predictions_are_given_back_as_the_kind_of_X(module, kind, monkeypatch):
    X = type("Array", (There,), {"__module__": module})()
    for name, each in (("jax.numpy", "jax"), ("torch", "torch")):
        library = SimpleNamespace(from_dlpack=lambda values, each=each: (each, values))
        monkeypatch.setitem(sys.modules, name, library)
    monkeypatch.setattr(gpu, "xp", apart)
    monkeypatch.setattr(gpu, "for_kernels", lambda values, sync: ("numba", values))
    for values in np.ones(3), apart.ndarray(np.ones(3)):
        found = _device.like(X, values)
        found_kind, there = found if isinstance(found, tuple) else ("ndarray", found)
        assert (found_kind, type(there)) == (kind, apart.ndarray)

"""A stand-in for CuPy on Numba's simulator: an array namespace whose arrays refuse NumPy's, as those of a card do.

What is not said here is NumPy's, of arrays of this module alone. ``install`` makes it what rows on a GPU lie in, and
``install_loops`` has the CPU's loops in the place of kernels as well, for more rows than a simulator has time for.
"""

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from scipy.linalg import solve_triangular

from sklearn_robust._rows import cpu, gpu
from sklearn_robust._rows.blocks import RowLaw, Rows
from sklearn_robust._rows.frame import NONE, Frame


class ndarray(NDArrayOperatorsMixin):
    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("an array of the device must be copied to the CPU by name")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return wrapped(getattr(ufunc, method)(*map(inside, inputs), **{k: inside(v) for k, v in options.items()}))

    def __array_function__(self, function, types, given, options):
        return of_arrays(function)(*given, **options)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.values, name)
        return of_arrays(found) if callable(found) else wrapped(found)

    def __getitem__(self, index):
        return wrapped(self.values[inside(index)])

    def __setitem__(self, index, values):
        self.values[inside(index)] = inside(values)

    def __len__(self):
        return len(self.values)

    def __float__(self):
        return float(self.values)

    def __bool__(self):
        return bool(self.values)

    def set(self, values, stream):
        self.values[...] = values
        stream.log.append("copied")

    __cuda_array_interface__ = property(lambda self: self.values.__array_interface__)
    device = property(lambda self: Device())


def inside(given):
    """What NumPy takes in the place of an argument: for an array of NumPy itself nothing."""
    if isinstance(given, np.ndarray):
        raise TypeError("Unsupported type numpy.ndarray")
    if isinstance(given, tuple):
        return tuple(map(inside, given))
    return given.values if isinstance(given, ndarray) else given


def wrapped(found):
    if isinstance(found, tuple):
        return tuple(map(wrapped, found))
    return ndarray(found) if isinstance(found, np.ndarray | np.generic) else found


def of_arrays(function):
    return lambda *given, **options: wrapped(function(*map(inside, given), **options))


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return of_arrays(getattr(np, name))


def asarray(values):
    return values if isinstance(values, ndarray) else ndarray(np.array(values))


def from_dlpack(values):
    if not isinstance(values, ndarray):
        raise BufferError("CPU arrays cannot be directly imported")
    return values


def asnumpy(values):
    return np.array(values.values) if isinstance(values, ndarray) else np.asarray(values)


def empty(shape, dtype=float):
    return ndarray(np.full(shape, np.nan, dtype))  # whatever stood there


class Device:
    id, attributes = 0, {"MultiProcessorCount": 2}
    synchronize = staticmethod(lambda: None)

    def __eq__(self, other):
        return isinstance(other, Device)


class Stream:
    ptr, log = 0, []

    def record(self):
        return SimpleNamespace(synchronize=lambda: None, of=self)

    def wait_event(self, event):
        self.log.append(event.of)

    def synchronize(self):
        self.log.append("ended")


default = Stream()
runtime = SimpleNamespace(getDeviceProperties=lambda number: {"name": b"none"})
cuda = SimpleNamespace(Device=Device, Stream=Stream, get_current_stream=lambda: default, runtime=runtime)
random = SimpleNamespace(default_rng=lambda: Random())


class Random:
    def __getattr__(self, name):
        return of_arrays(getattr(np.random.default_rng(), name))


def get_default_memory_pool():
    return SimpleNamespace(free_all_blocks=lambda: None)


def solve_column_by_column(matrix, right, **options):
    """As CuPy's, which would copy a matrix that lies row by row."""
    assert matrix.flags.f_contiguous
    return solve_triangular(matrix, right, **options)


linalg = SimpleNamespace(cholesky=of_arrays(np.linalg.cholesky), solve=of_arrays(np.linalg.solve))
cupyx = {
    "cupyx": SimpleNamespace(errstate=lambda **_: nullcontext(), empty_pinned=np.empty),
    "cupyx.scipy.linalg": SimpleNamespace(solve_triangular=of_arrays(solve_column_by_column)),
}


def install():
    gpu.load()
    sys.modules.update(cupyx)
    gpu.xp, gpu.for_kernels = sys.modules[__name__], lambda values, sync=False: values.values


def sweep(X, y, weights, noise, weighted, noisy, n, columns, head, theta, learn_shape, want, out):
    """``gpu.sweep``."""
    center, inv_scale = columns
    frame = Frame(center, 1.0 / inv_scale, head[0], 1.0 / head[1], 1.0, len(theta) > len(center))
    X = X.reshape(n, -1).astype(float)
    rows = Rows(X, y, weights if weighted else NONE, noise if noisy else NONE, frame)
    if want == cpu.RESIDUALS:
        out.values[:] = rows.residuals(theta)
        return None
    scalars, *sums = rows._sweep(theta, [RowLaw(*head[2:])], want, learn_shape)
    return scalars[0], *sums


def known(residuals, weights, weighted, laws, learn_shape, kept=(), out=None):
    """``gpu.known``."""
    rows = Rows(np.empty((len(residuals), 0)), inside(residuals), weights if weighted else NONE, NONE, _NO_COLUMNS)
    terms = np.empty((max(len(kept), 1), len(residuals)))
    kept = np.array(kept, dtype=np.int64)
    scalars = rows._sweep(NONE, laws, cpu.SCORE, learn_shape, kept, terms)[0]
    if len(kept):
        out.values[:] = terms
    return scalars


_NO_COLUMNS = Frame(NONE, NONE, 0.0, 1.0, 1.0, False)


def install_loops():
    install()
    gpu.sweep, gpu.known = sweep, known

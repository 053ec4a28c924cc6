"""How every function of this package is compiled: no GIL, IEEE division, cached where a cache can be written."""

import numba


def _compile(decorator, function, **options):
    try:
        return decorator(cache=True, **options)(function)
    except RuntimeError:  # no writable cache folder: compile afresh in every process
        return decorator(**options)(function)


def jit(function):
    """Compile a function on its first call."""
    return _compile(numba.njit, function, nogil=True, error_model="numpy", no_cfunc_wrapper=True)


def jit_exact(function):
    """Compile a loop that only fuses a product and a sum."""
    return _compile(numba.njit, function, nogil=True, error_model="numpy", no_cfunc_wrapper=True, fastmath={"contract"})


def jit_sums(function):
    """Compile a loop of plain sums of products: the compiler may reorder and fuse them (not for inf or nan)."""
    return _compile(
        numba.njit,
        function,
        nogil=True,
        error_model="numpy",
        no_cfunc_wrapper=True,
        fastmath={"reassoc", "contract", "nsz"},
    )


def ufunc(function):
    """Compile a scalar function into a NumPy ufunc, on its first call."""
    return _compile(numba.vectorize, function)

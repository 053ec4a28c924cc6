"""How every function of this package is compiled: no GIL, IEEE division, cached where a cache can be written.

A function that the compiler may rearrange becomes part of its callers. Left on its own, the copy of it that runs would
be that of whichever library of machine code is loaded first, rounded in another way in the process that compiled it
than in one that reads the cache.
"""

import numba
import numba.extending


def _compile(decorator, function, **options):
    try:
        return decorator(cache=True, **options)(function)
    except RuntimeError:  # no writable cache folder: compile afresh in every process
        return decorator(**options)(function)


def jit(function):
    """Compile a function on its first call."""
    return _compile(numba.njit, function, nogil=True, error_model="numpy", no_cfunc_wrapper=True)


def _jit_into_callers(function, rearrangements: set[str]):
    return _compile(
        numba.njit,
        function,
        nogil=True,
        error_model="numpy",
        no_cfunc_wrapper=True,
        no_cpython_wrapper=True,
        forceinline=True,
        fastmath=rearrangements,
    )


def jit_exact(function):
    """Compile a loop that only fuses a product and a sum, for use in other functions."""
    return _jit_into_callers(function, {"contract"})


def jit_sums(function):
    """Compile a loop of plain sums of products, for use in other functions.

    The compiler may reorder and fuse them (not for inf or nan).
    """
    return _jit_into_callers(function, {"reassoc", "contract", "nsz"})


def jit_within(function):
    """Compile a function as a part of compiled ones; where Python calls it, it runs as it stands.

    For what a fit calls so seldom that compiling it would take longer.
    """
    return numba.extending.register_jitable(function)


def ufunc(function):
    """Compile a scalar function into a NumPy ufunc, on its first call."""
    return _compile(numba.vectorize, function)

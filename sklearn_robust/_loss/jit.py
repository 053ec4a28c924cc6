"""How every function of this package is compiled: no GIL, IEEE division, cached where a cache can be written.

A function that the compiler may rearrange becomes part of its callers. Left on its own, the copy of it that runs would
be that of whichever library of machine code is loaded first, rounded in another way in the process that compiled it
than in one that reads the cache.

Compiling takes seconds before a first fit. So nothing is compiled twice: a part is linked as it comes, and becomes
machine code with its callers alone. And no array is made within, so that none has to be counted: compiled functions
write to what they are given.
"""

import numba
import numba.core.codegen
import numba.core.compiler
import numba.extending

# What Numba looks for and plain loops do not have: closures, array expressions, functions to be inlined before they are
# typed; and where an array is seen last.
_LEFT_OUT = {
    "WithLift",
    "InlineClosureLikes",
    "InlineInlinables",
    "MakeFunctionToJitFunction",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagationSubPipelinePass",
    "NopythonRewrites",
    "InlineOverloads",
    "IRLegalization",
}


class _Part(numba.core.codegen.JITCodeLibrary):
    """Code that is optimised, and loaded, as a part of its callers' alone."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, env):
        """Nothing: what is not loaded has no place for what it knows of Python."""


class _Compiler(numba.core.compiler.CompilerBase):
    def define_pipelines(self):
        manager = numba.core.compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [each for each in manager.passes if each[0].__name__ not in _LEFT_OUT]
        manager.finalize()
        return [manager]


class _PartCompiler(_Compiler):
    def define_pipelines(self):
        self.state.library = _Part(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return super().define_pipelines()


class _ApartCompiler(_PartCompiler):
    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()


_OPTIONS = {"nogil": True, "_nrt": False, "error_model": "numpy", "no_cfunc_wrapper": True}


def _compile(decorator, function, cache=True, **options):
    try:
        return decorator(cache=cache, **options)(function)
    except RuntimeError:  # no writable cache folder: compile afresh in every process
        return decorator(**options)(function)


def jit(function):
    """Compile a function on its first call."""
    return _compile(numba.njit, function, pipeline_class=_Compiler, **_OPTIONS)


def jit_part(function, **options):
    """Compile a function for use in other functions, which are cached."""
    options = {"pipeline_class": _PartCompiler} | options | _OPTIONS
    return _compile(numba.njit, function, cache=False, no_cpython_wrapper=True, **options)


@numba.extending.intrinsic
def pointer(context, array):
    """Where the numbers of an array (n,) without gaps begin: a third less to compile at every index, none negative."""
    signature = numba.types.CPointer(array.dtype)(array)

    def generate(context, builder, signature, arguments):
        (array,) = signature.args
        return context.make_array(array)(context, builder, arguments[0]).data

    return signature, generate


def jit_exact(function):
    """Compile a loop that only fuses a product and a sum, for use in other functions."""
    return jit_part(function, forceinline=True, fastmath={"contract"})


def jit_apart(function):
    """The same for a loop whose arguments share no memory: where a short one has to ask, asking takes longer."""
    return jit_part(function, forceinline=True, fastmath={"contract"}, pipeline_class=_ApartCompiler)


def jit_sums(function):
    """Compile a loop of plain sums of products, whose arguments share no memory, for use in other functions.

    The compiler may reorder and fuse them (not for inf or nan).
    """
    fastmath = {"reassoc", "contract", "nsz"}
    return jit_part(function, forceinline=True, fastmath=fastmath, pipeline_class=_ApartCompiler)


@jit_exact
def times(a, b):
    """A product of two numbers in a sum of products of more: in which order they come is not the compiler's choice.

    It would choose by what was compiled before, and the last bit with it.
    """
    return a * b


def jit_within(function):
    """Compile a function as a part of compiled ones; where Python calls it, it runs as it stands.

    For what a fit calls so seldom that compiling it would take longer.
    """
    return numba.extending.register_jitable(function)


def ufunc(function):
    """Compile a scalar function into a NumPy ufunc, on its first call."""
    return _compile(numba.vectorize, function)

"""Device functions that Numba has no words for, and what they do in its simulator.

    peek(array, at), poke(array, at, value)   an entry by a number that is not negative, which Numba would test first
    fetch(array, at, source, begin)           send an entry of source from global to shared memory, where ``at`` counts
                                              entries of its kind, in the batch that
    dispatch()                                closes;
    await_all_but(n)                          all batches but the last n have arrived, and
    landed(array, at, source)                 reads the entry
    per_number(source)                        entries of its kind in the place of a float64
    multiplied(shared, begin, row, lane, sums)  the products of four rows, by the tensor cores

Each maker takes ``intrinsic``, Numba's decorator for functions that write their own machine code, or None for the
simulator.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types

# Columns of a block of the product; the rows that are multiplied at once, and how far apart they are.
SIDE, DEPTH, APART = 8, 4, 4
# Blocks of columns, at most.
MOST_BLOCKS = 8
_DOUBLE, _SHARED_SPACE, _GLOBAL_SPACE = ir.DoubleType(), 3, 1


def _pointer(context, builder, kind, array, at):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _assembly(builder, result, code: str, constraints: str, arguments):
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(ir.InlineAsm(kind, code, constraints, side_effect=True), arguments)


def _peek(array, at):
    return array[at]


def _poke(array, at, value):
    array[at] = value


def entries(intrinsic) -> tuple[Callable, Callable]:
    """``peek`` and ``poke``."""
    if intrinsic is None:
        return _peek, _poke

    @intrinsic
    def peek(_, array, at):
        def generate(context, builder, signature, arguments):
            return builder.load(_pointer(context, builder, array, *arguments))

        return array.dtype(array, types.intp), generate

    @intrinsic
    def poke(_, array, at, value):
        def generate(context, builder, signature, arguments):
            builder.store(arguments[2], _pointer(context, builder, array, *arguments[:2]))
            return context.get_dummy_value()

        return types.void(array, types.intp, array.dtype), generate

    return peek, poke


def _fetch(array, at, source, begin):
    array.view(source.dtype)[at] = source[begin]


def _nothing(*_):
    pass


def _landed(array, at, source):
    return float(array.view(source.dtype)[at])


def _per_number(source):
    return 8 // source.dtype.itemsize


def copies(intrinsic) -> tuple[Callable, ...]:
    """``fetch``, ``dispatch``, ``await_all_but``, ``landed`` and ``per_number``."""
    if intrinsic is None:
        return _fetch, _nothing, _nothing, _landed, _per_number

    def landing(context, builder, kind, array, at, source):
        first = context.make_array(kind)(context, builder, array).data
        return builder.gep(builder.bitcast(first, context.get_value_type(source.dtype).as_pointer()), [at])

    @intrinsic
    def fetch(_, array, at, source, begin):
        def generate(context, builder, signature, arguments):
            there = landing(context, builder, array, *arguments[:2], source)
            here = _pointer(context, builder, source, *arguments[2:])
            spaces = ((there, _SHARED_SPACE), (here, _GLOBAL_SPACE))
            ends = [builder.addrspacecast(end, ir.PointerType(end.type.pointee, space)) for end, space in spaces]
            code = f"cp.async.ca.shared.global [$0], [$1], {source.dtype.bitwidth // 8};"
            _assembly(builder, ir.VoidType(), code, "r,l,~{memory}", ends)
            return context.get_dummy_value()

        return types.void(array, types.intp, source, types.intp), generate

    @intrinsic
    def landed(_, array, at, source):
        def generate(context, builder, signature, arguments):
            found = builder.load(landing(context, builder, array, *arguments[:2], source))
            return found if source.dtype == types.float64 else builder.fpext(found, _DOUBLE)

        return types.float64(array, types.intp, source), generate

    @intrinsic
    def per_number(_, source):
        def generate(context, builder, signature, arguments):
            return context.get_constant(types.intp, 64 // source.dtype.bitwidth)

        return types.intp(source), generate

    @intrinsic
    def dispatch(_):
        def generate(context, builder, signature, arguments):
            _assembly(builder, ir.VoidType(), "cp.async.commit_group;", "~{memory}", [])
            return context.get_dummy_value()

        return types.void(), generate

    @intrinsic
    def await_all_but(_, n):
        def generate(context, builder, signature, arguments):
            _assembly(builder, ir.VoidType(), f"cp.async.wait_group {n.literal_value};", "~{memory}", [])
            return context.get_dummy_value()

        return (types.void(n), generate) if isinstance(n, types.IntegerLiteral) else None

    return fetch, dispatch, await_all_but, landed, per_number


def _one_by_one(tiles, blocks: int, stride: int, lines_at: int, lines_stride: int, g_at: int):
    """``multiplied`` of the simulator, in which threads have no word for each other: each forms its own two entries."""

    def multiplied(shared, begin, row, lane, sums):
        out = list(sums)
        for i in range(row, row + APART * DEPTH, APART):
            x, line = begin + i * stride, lines_at + i * lines_stride
            for k, (a, b) in enumerate(tiles):
                left = shared[line + lane // 4]
                if a < blocks:
                    left = shared[line + g_at] * shared[x + SIDE * a + lane // 4]
                at = (x + SIDE * b if b < blocks else line + SIDE) + 2 * (lane % 4)
                out[2 * k] += left * shared[at]
                out[2 * k + 1] += left * shared[at + 1]
        return tuple(out)

    return multiplied


def products(intrinsic, device, tiles: list[tuple[int, int]], blocks: int, stride: int, lines: tuple[int, int, int]):
    """``multiplied``, which adds products of the rows ``row``, ``row`` + 4, ... to the tiles (a, b) of a warp.

    Rows of x stand ``stride`` apart from ``begin`` on; lines = (where they begin, their stride, where g is in one).
    Block ``blocks`` stands for the lines on the left, and for aux, behind them, on the right.
    Of a tile thread 4 i + k has entries (i, 2 k) and (i, 2 k + 1), and of four rows the kth in column i.
    """
    assert blocks <= MOST_BLOCKS
    lines_at, lines_stride, g_at = lines
    if intrinsic is None:
        return _one_by_one(tiles, blocks, stride, *lines)

    peek, _ = entries(intrinsic)

    @intrinsic
    def multiply(_, sums, left, right):
        def generate(context, builder, signature, arguments):
            sums, *factors = arguments
            pair = ir.LiteralStructType([_DOUBLE, _DOUBLE])
            code = "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {$0, $1}, {$2}, {$3}, {$4, $5};"
            for k, tile in enumerate(tiles):
                places = (MOST_BLOCKS if block == blocks else block for block in tile)
                given = [builder.extract_value(each, place) for each, place in zip(factors, places, strict=True)]
                given += [builder.extract_value(sums, 2 * k + e) for e in range(2)]
                found = _assembly(builder, pair, code, "=d,=d,d,d,d,d", given)
                for e in range(2):
                    sums = builder.insert_value(sums, builder.extract_value(found, e), 2 * k + e)
            return sums

        return sums(sums, left, right), generate

    @device
    def multiplied(shared, begin, row, lane, sums):
        row += APART * (lane % 4)
        line = lines_at + row * lines_stride
        at = begin + row * stride + lane // 4
        x0 = peek(shared, at)
        x1 = peek(shared, at + 8) if blocks > 1 else 0.0
        x2 = peek(shared, at + 16) if blocks > 2 else 0.0
        x3 = peek(shared, at + 24) if blocks > 3 else 0.0
        x4 = peek(shared, at + 32) if blocks > 4 else 0.0
        x5 = peek(shared, at + 40) if blocks > 5 else 0.0
        x6 = peek(shared, at + 48) if blocks > 6 else 0.0
        x7 = peek(shared, at + 56) if blocks > 7 else 0.0
        g, line = peek(shared, line + g_at), line + lane // 4
        left, right = peek(shared, line), peek(shared, line + SIDE)
        return multiply(
            sums,
            (g * x0, g * x1, g * x2, g * x3, g * x4, g * x5, g * x6, g * x7, left),
            (x0, x1, x2, x3, x4, x5, x6, x7, right),
        )

    return multiplied

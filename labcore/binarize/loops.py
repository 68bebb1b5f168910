"""The two packed loops, for numba: one to read, one to run. Imported when a product is first asked for.

Both fill out[n, m, p] = length - 2 * (bits in which row m and column q = n * width + p differ), where width is
``out.shape[2]``. Word w of column q is ``source[starts[q] + steps[w]]``: the columns of a matrix and the patches of an
image are read in place. Columns `first` to `last` are filled, so threads can share the work.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["COLUMNS", "ROWS", "lanes", "plain"]

# A tile: 8 rows by 2 vectors of 8 columns. Its 16 sums, 2 vectors of columns and a row fit into 32 registers.
ROWS, VECTORS = 8, 2
COLUMNS = 8 * VECTORS

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_SUMS, _RESULTS = ir.VectorType(_INT64, 8), ir.VectorType(_INT32, 8)


# --- one bit count at a time ----------------------------------------------------------------------


@intrinsic
def _popcount(typing_context, word):
    def emit(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


def plain(rows, source, starts, steps, length, out, first, last):
    width = out.shape[2]
    for q in range(first, last):
        for m in range(rows.shape[0]):
            differ = 0
            for w in range(rows.shape[1]):
                differ += _popcount(rows[m, w] ^ source[starts[q] + steps[w]])
            out[q // width, m, q % width] = length - 2 * differ


# --- eight columns to a vector --------------------------------------------------------------------


def _spread(builder, value, vector):
    """A vector with `value` in every lane."""
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, _INT32(0))
    return builder.shuffle_vector(single, single, ir.Constant(_RESULTS, [0] * 8))


def _count_tile(builder, rows, panel, n_words):
    """Bits that differ, for each row and each vector of the panel: sums that LLVM keeps in registers."""
    name, kind = f"llvm.ctpop.v{_SUMS.count}i64", ir.FunctionType(_SUMS, [_SUMS])
    popcount = cgutils.get_or_insert_function(builder.module, kind, name)
    zero = ir.Constant(_SUMS, None)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(VECTORS)] for _ in rows]
    with cgutils.for_range(builder, n_words) as loop:
        starts = [builder.add(builder.mul(loop.index, _INT64(COLUMNS)), _INT64(8 * v)) for v in range(VECTORS)]
        places = [builder.bitcast(builder.gep(panel, [start]), _SUMS.as_pointer()) for start in starts]
        columns = [builder.load(place, align=8) for place in places]
        for row, row_sums in zip(rows, sums, strict=True):
            word = _spread(builder, builder.load(builder.gep(row, [loop.index])), _SUMS)
            for column, total in zip(columns, row_sums, strict=True):
                differ = builder.call(popcount, [builder.xor(word, column)])
                builder.store(builder.add(builder.load(total), differ), total)
    return sums


@intrinsic
def _tile(typing_context, rows, top, panel, length, out, place, stride):
    """Fill `ROWS` by `COLUMNS` results, the first at element `place` of `out`, rows `stride` elements apart."""

    def emit(context, builder, signature, arguments):
        first, results = arguments[1], arguments[5]
        arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 2, 4)]
        matrix, panel, out = (array.data for array in arrays)
        n_words = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
        starts = [builder.mul(builder.add(first, _INT64(m)), n_words) for m in range(ROWS)]
        sums = _count_tile(builder, [builder.gep(matrix, [start]) for start in starts], panel, n_words)
        whole = _spread(builder, builder.trunc(arguments[3], _INT32), _RESULTS)
        for m, row_sums in enumerate(sums):
            row = builder.add(results, builder.mul(_INT64(m), arguments[6]))
            for v, total in enumerate(row_sums):
                differ = builder.trunc(builder.load(total), _RESULTS)
                place = builder.gep(out, [builder.add(row, _INT64(8 * v))])
                result = builder.sub(whole, builder.add(differ, differ))
                builder.store(result, builder.bitcast(place, _RESULTS.as_pointer()), align=4)
        return context.get_dummy_value()

    integers = types.int64, types.int64, types.int64, types.int64
    top, length, place, stride = integers
    return types.void(rows, top, panel, length, out, place, stride), emit


def lanes(rows, source, starts, steps, length, out, first, last):
    n_rows, n_words = rows.shape
    width, stride = out.shape[2], out.strides[1] // 4
    whole = n_rows // ROWS * ROWS
    rest = np.zeros((ROWS, n_words), np.uint64)
    rest[: n_rows - whole] = rows[whole:]
    panel = np.empty(n_words * COLUMNS, np.uint64)
    corner = np.empty((ROWS, COLUMNS), np.int32)
    for left in range(first, last, COLUMNS):
        n_columns = min(COLUMNS, last - left)
        # Lanes without a column read the last one again; what they count is not kept.
        for lane in range(COLUMNS):
            start = starts[min(left + lane, last - 1)]
            for w in range(n_words):
                panel[w * COLUMNS + lane] = source[start + steps[w]]
        n, p = left // width, left % width
        together = n_columns == COLUMNS and p + COLUMNS <= width
        for m in range(0, n_rows, ROWS):
            if together and m < whole:
                _tile(rows, m, panel, length, out, (n * out.strides[0] + p * 4) // 4 + m * stride, stride)
                continue
            if m < whole:
                _tile(rows, m, panel, length, corner, 0, COLUMNS)
            else:
                _tile(rest, 0, panel, length, corner, 0, COLUMNS)
            for row in range(m, min(m + ROWS, n_rows)):
                for q in range(left, left + n_columns):
                    out[q // width, row, q % width] = corner[row - m, q - left]

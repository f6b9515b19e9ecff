"""Kernels made from small matrices of numbers: y = matrix x, for rows of x and y.

All of x's rows stay in registers until all of y's are made, which a compiler does not do with loops
over numbers. Two rows (or columns) of the matrix that are alike but for signs share their sums.
"""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minibp.ops.cpu.vectors import BYTES, INT, Vectors, address, stepping, whole


def combination(matrix, add: bool = False):
    """Return f(x, x0, rows, x_run, y, y0, step, y_run, runs, n), to be called from a kernel:

        y[y0 + i·step + run·y_run + c] = Σ_k matrix[i, k] x[x0 + rows[k] + run·x_run + c]

    for run < runs and c < n. x, y and rows are contiguous and of one dimension. With `add` it is
    +=, and runs go one after the other, so that their parts of y may overlap.
    """
    matrix = np.array(matrix, float)

    @intrinsic
    def combine(typing, x, x0, rows, x_run, y, y0, step, y_run, runs, n):
        size = types.intp
        kinds = types.void(x, size, rows, size, y, size, size, size, size, size)

        def generate(context, builder, signature, arguments):
            x, x0, rows, x_run, y, y0, step, y_run, runs, n = arguments
            kind, real = signature.args[0], signature.args[0].dtype
            top = 8 * BYTES // real.bitwidth
            scale = whole(real.bitwidth // 8)

            at_x = []
            for k in range(matrix.shape[1]):
                place = address(context, builder, signature.args[2], rows, whole(k))
                row = builder.load(builder.inttoptr(place, INT.as_pointer()))
                at_x.append(address(context, builder, kind, x, builder.add(x0, row)))
            at_y = [address(context, builder, signature.args[4], y, y0)]
            for _ in range(len(matrix) - 1):
                at_y.append(builder.add(at_y[-1], builder.mul(step, scale)))

            run, c = (cgutils.alloca_once(builder, INT) for _ in range(2))
            builder.store(whole(0), run)
            with stepping(builder, run, 1, runs) as r:
                builder.store(whole(0), c)
                for lanes in dict.fromkeys((top, top // 2, max(1, top // 4), 1)):
                    v = Vectors(builder, real, lanes)
                    with stepping(builder, c, lanes, n) as i:
                        from_x, from_y = (
                            builder.mul(builder.add(builder.mul(r, each), i), scale)
                            for each in (x_run, y_run)
                        )
                        values = [v.load(builder.add(place, from_x)) for place in at_x]
                        for place, value in zip(at_y, _times(v, matrix, values), strict=True):
                            to = builder.add(place, from_y)
                            v.store(builder.fadd(v.load(to), value) if add else value, to)
            return context.get_dummy_value()

        return kinds, generate

    return combine


def _times(v: Vectors, matrix, x: list) -> list:
    """Return matrix x for vectors x."""
    columns = _pairs(matrix.T)
    if not _pairs(matrix) and columns:  # x_k ± x_{k+1} first
        x, matrix = list(x), matrix.copy()
        for k in columns:
            x[k : k + 2] = v.builder.fadd(x[k], x[k + 1]), v.builder.fsub(x[k], x[k + 1])
            same = matrix[:, k] == matrix[:, k + 1]
            matrix[:, k + 1] = np.where(same, 0, matrix[:, k])
            matrix[:, k] = np.where(same, matrix[:, k], 0)
        return [_sum(v, row, x) for row in matrix]
    y: list = []
    while len(y) < len(matrix):
        row = matrix[len(y)]
        if len(y) in _pairs(matrix):  # what they share, ± what they do not
            same = row == matrix[len(y) + 1]
            shared, other = _sum(v, np.where(same, row, 0), x), _sum(v, np.where(same, 0, row), x)
            y += [v.builder.fadd(shared, other), v.builder.fsub(shared, other)]
        else:
            y.append(_sum(v, row, x))
    return y


def _pairs(matrix) -> list[int]:
    """Return i of each two rows i and i + 1 that are alike but for some of their signs."""
    found: list[int] = []
    for i in range(len(matrix) - 1):
        one, two = matrix[i : i + 2]
        alike = np.array_equal(abs(one), abs(two)) and (one + two).any() and (one - two).any()
        if alike and i - 1 not in found:
            found.append(i)
    return found


def _sum(v: Vectors, numbers, x: list):
    """Return Σ_k numbers[k] x[k], of which at least one is not 0."""
    terms = [(number, value) for number, value in zip(numbers, x, strict=True) if number]
    terms.sort(key=lambda term: term[0] != 1)  # a bare one first, which needs no product
    number, total = terms[0]
    if number != 1:
        total = v.builder.fmul(v.constant(number), total)
    for number, value in terms[1:]:
        if number == 1:
            total = v.builder.fadd(total, value)
        elif number == -1:
            total = v.builder.fsub(total, value)
        else:
            total = v.multiply_add(v.constant(number), value, total)
    return total

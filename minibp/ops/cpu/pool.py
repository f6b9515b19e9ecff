"""Pooling of images (B, H, W, C) with the rectifier before it, if wanted; windows are clipped.

`code` keeps what backward needs, a byte an element: for the maximum, where it was in the window in
scan order, or −1 if the rectifier is off there; for the average, whether the rectifier is on.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minibp.ops.cpu.jit import kernel
from minibp.ops.cpu.vectors import BYTES, INT, Vectors, address, spread, stepping, whole


@kernel
def max_pool(X, kh, kw, stride, top, left, relu, Y, code):
    """Y (B, OH, OW, C), the first maximum of each window; NaN wins over any number."""
    H, W, C = X.shape[1:]
    x, y, places = X.reshape(-1), Y.reshape(-1), code.reshape(-1)
    cells, marks = np.empty(kh * kw, np.intp), np.empty(kh * kw, np.intp)
    for b in range(X.shape[0]):
        for oy in range(Y.shape[1]):
            for ox in range(Y.shape[2]):
                count = 0
                for i in range(max(0, top - oy * stride), min(kh, H + top - oy * stride)):
                    for j in range(max(0, left - ox * stride), min(kw, W + left - ox * stride)):
                        row, column = oy * stride + i - top, ox * stride + j - left
                        cells[count], marks[count] = (row * W + column) * C, i * kw + j
                        count += 1
                at = ((b * Y.shape[1] + oy) * Y.shape[2] + ox) * C
                _largest(x, b * H * W * C, cells, marks, count, relu, y, places, at, C)


@intrinsic
def _largest(typing, x, x0, cells, marks, count, relu, y, code, y0, n):
    """y[y0 + c] = max_k x[x0 + cells[k] + c], c < n, and code likewise the mark of the first such
    k; with `relu` 0 and −1 where it is not above 0. There is at least one k."""
    size = types.intp
    kinds = types.void(x, size, cells, marks, size, types.boolean, y, code, size, size)

    def generate(context, builder, signature, arguments):
        x, x0, _, _, count, relu, y, code, y0, n = arguments
        kind, real = signature.args[0], signature.args[0].dtype
        top = 8 * BYTES // real.bitwidth

        def listed(which, k):
            """Return element k of cells or marks."""
            place = address(context, builder, signature.args[which], arguments[which], k)
            return builder.load(builder.inttoptr(place, INT.as_pointer()))

        def cell(v, k, c):
            """Return channels c … of cell k, and its mark."""
            at = builder.add(builder.add(x0, listed(2, k)), c)
            mark = builder.trunc(listed(3, k), ir.IntType(8))
            return v.load(address(context, builder, kind, x, at)), spread(builder, mark, v.lanes)

        channel, again = (cgutils.alloca_once(builder, INT) for _ in range(2))
        builder.store(whole(0), channel)
        for lanes in dict.fromkeys((top, top // 2, max(1, top // 4), 1)):
            v = Vectors(builder, real, lanes)
            small = ir.VectorType(ir.IntType(8), lanes)
            best, mark = (cgutils.alloca_once(builder, kind) for kind in (v.type, small))

            with stepping(builder, channel, lanes, n) as c:
                for first, to in zip(cell(v, whole(0), c), (best, mark), strict=True):
                    builder.store(first, to)
                builder.store(whole(1), again)
                with stepping(builder, again, 1, count) as k:
                    (value, its_mark), largest = cell(v, k, c), builder.load(best)
                    larger = builder.fcmp_ordered(">", value, largest)
                    nan = builder.fcmp_unordered("uno", value, value)
                    builder.store(builder.select(larger, its_mark, builder.load(mark)), mark)
                    more = builder.or_(larger, nan)
                    builder.store(builder.select(more, value, largest), best)
                value, place = builder.load(best), builder.load(mark)
                low = builder.fcmp_ordered("<=", value, v.zero)
                off = builder.and_(low, spread(builder, relu, lanes))
                value = builder.select(off, v.zero, value)
                place = builder.select(off, ir.Constant(small, [-1] * lanes), place)
                at = builder.add(y0, c)
                v.store(value, address(context, builder, signature.args[6], y, at))
                to = address(context, builder, signature.args[7], code, at)
                builder.store(place, builder.inttoptr(to, small.as_pointer())).align = 1
        return context.get_dummy_value()

    return kinds, generate


@kernel
def max_pool_dX(dY, code, kh, kw, stride, top, left, dX):
    """dX (B, H, W, C): each dY goes whole to the place in its code, or nowhere."""
    H, W, C = dX.shape[1:]
    zero, one = dX.dtype.type(0), dX.dtype.type(1)
    apart = stride >= kh and stride >= kw  # no two windows share a pixel
    for b in range(dX.shape[0]):
        image = dX[b]
        image[:] = zero
        for oy in range(dY.shape[1]):
            for ox in range(dY.shape[2]):
                d, place = dY[b, oy, ox], code[b, oy, ox]
                for i in range(kh):
                    y = oy * stride + i - top
                    for j in range(kw):
                        x = ox * stride + j - left
                        if y < 0 or y >= H or x < 0 or x >= W:
                            continue
                        to, q = image[y, x], np.int8(i * kw + j)
                        if apart:
                            for c in range(C):
                                to[c] = d[c] * (one if place[c] == q else zero)
                        else:
                            for c in range(C):
                                to[c] += d[c] * (one if place[c] == q else zero)


@kernel
def avg_pool(X, kh, kw, stride, top, left, relu, Y, code):
    """Y (B, OH, OW, C), the mean over the cells of each window inside the image."""
    H, W, C = X.shape[1:]
    zero = X.dtype.type(0)
    for b in range(X.shape[0]):
        if relu:
            for y in range(H):
                for x in range(W):
                    value, on = X[b, y, x], code[b, y, x]
                    for c in range(C):
                        on[c] = not (value[c] <= zero)
        for oy in range(Y.shape[1]):
            for ox in range(Y.shape[2]):
                total, cells = Y[b, oy, ox], 0
                for c in range(C):
                    total[c] = zero
                for i in range(kh):
                    y = oy * stride + i - top
                    for j in range(kw):
                        x = ox * stride + j - left
                        if y < 0 or y >= H or x < 0 or x >= W:
                            continue
                        value = X[b, y, x]
                        cells += 1
                        if relu:
                            for c in range(C):
                                total[c] += zero if value[c] <= zero else value[c]
                        else:
                            for c in range(C):
                                total[c] += value[c]
                share = X.dtype.type(cells)
                for c in range(C):
                    total[c] /= share


@kernel
def avg_pool_dX(dY, code, kh, kw, stride, top, left, relu, dX):
    """dX (B, H, W, C): each dY is shared equally by the cells of its window."""
    H, W, C = dX.shape[1:]
    zero, one = dX.dtype.type(0), dX.dtype.type(1)
    for b in range(dX.shape[0]):
        image = dX[b]
        image[:] = zero
        for oy in range(dY.shape[1]):
            rows = min(oy * stride + kh - top, H) - max(oy * stride - top, 0)
            for ox in range(dY.shape[2]):
                width = min(ox * stride + kw - left, W) - max(ox * stride - left, 0)
                d, share = dY[b, oy, ox], dX.dtype.type(1) / dX.dtype.type(rows * width)
                for i in range(kh):
                    y = oy * stride + i - top
                    for j in range(kw):
                        x = ox * stride + j - left
                        if y < 0 or y >= H or x < 0 or x >= W:
                            continue
                        to = image[y, x]
                        for c in range(C):
                            to[c] += d[c] * share
        if relu:
            for y in range(H):
                for x in range(W):
                    to, on = image[y, x], code[b, y, x]
                    for c in range(C):
                        to[c] *= one if on[c] != 0 else zero

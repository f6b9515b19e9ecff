"""Pooling of images (B, H, W, C) with the rectifier before it, if wanted; windows are clipped.

`code` keeps what backward needs, a byte an element: for the maximum, where it was in the window in
scan order, or −1 if the rectifier is off there; for the average, whether the rectifier is on.
"""

import numpy as np

from minibp.ops.cpu.jit import kernel


@kernel
def _max_of_four(X, y, x, relu, best, place):
    """The commonest window, 2×2, in two loops."""
    x0, x1, x2, x3 = X[y, x], X[y, x + 1], X[y + 1, x], X[y + 1, x + 1]
    zero = X.dtype.type(0)
    for c in range(best.size):
        top = x1[c] if x1[c] > x0[c] or x1[c] != x1[c] else x0[c]
        top = x2[c] if x2[c] > top or x2[c] != x2[c] else top
        top = x3[c] if x3[c] > top or x3[c] != x3[c] else top
        best[c] = zero if relu and top <= zero else top
    for c in range(best.size):
        q = np.int8(1) if x1[c] > x0[c] else np.int8(0)
        top = x1[c] if x1[c] > x0[c] or x1[c] != x1[c] else x0[c]
        q = np.int8(2) if x2[c] > top else q
        top = x2[c] if x2[c] > top or x2[c] != x2[c] else top
        q = np.int8(3) if x3[c] > top else q
        top = x3[c] if x3[c] > top or x3[c] != x3[c] else top
        place[c] = np.int8(-1) if relu and top <= zero else q


@kernel
def max_pool(X, kh, kw, stride, top, left, relu, Y, code):
    """Y (B, OH, OW, C), the first maximum of each window; NaN wins over any number."""
    H, W, C = X.shape[1:]
    zero = X.dtype.type(0)
    quarters = kh == kw == stride == 2 and top == left == 0
    quarters = quarters and 2 * Y.shape[1] <= H and 2 * Y.shape[2] <= W
    for b in range(X.shape[0]):
        for oy in range(Y.shape[1]):
            for ox in range(Y.shape[2]):
                best, place = Y[b, oy, ox], code[b, oy, ox]
                if quarters:
                    _max_of_four(X[b], 2 * oy, 2 * ox, relu, best, place)
                    continue
                begun = False
                for i in range(kh):
                    y = oy * stride + i - top
                    for j in range(kw):
                        x = ox * stride + j - left
                        if y < 0 or y >= H or x < 0 or x >= W:
                            continue
                        value, q = X[b, y, x], np.int8(i * kw + j)
                        if not begun:
                            for c in range(C):
                                best[c] = value[c]
                            for c in range(C):
                                place[c] = q
                            begun = True
                            continue
                        for c in range(C):
                            place[c] = q if value[c] > best[c] else place[c]
                        for c in range(C):
                            more = value[c] > best[c] or value[c] != value[c]
                            best[c] = value[c] if more else best[c]
                if relu:
                    for c in range(C):
                        place[c] = np.int8(-1) if best[c] <= zero else place[c]
                    for c in range(C):
                        best[c] = zero if best[c] <= zero else best[c]


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

"""NumPy's Philox4x64-10, so that a kernel draws the numbers of a named stream, bit for bit."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minibp.ops.cpu.jit import kernel

U = np.uint64
M0, M1 = U(0xD2E7470EE14C6C93), U(0xCA5A826395121157)
W0, W1 = U(0x9E3779B97F4A7C15), U(0xBB67AE8584CAA73B)


@intrinsic
def _high(typing_context, a, b):
    """The upper 64 bits of a product of two uint64."""

    def generate(context, builder, signature, args):
        wide = ir.IntType(128)
        a, b = (builder.zext(x, wide) for x in args)
        return builder.trunc(builder.lshr(builder.mul(a, b), ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@kernel
def _block(counter, step, k0, k1):
    """Four words of 64 bits."""
    c0, c1, c2, c3 = U(counter), U(0), U(step), U(0)
    for _ in range(10):
        high0, low0 = _high(M0, c0), M0 * c0
        high1, low1 = _high(M1, c2), M1 * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += W0
        k1 += W1
    return c0, c1, c2, c3


@kernel
def _draw(half):
    """A float32 in [0, 1) of the lower 32 bits, of which the upper 24 count."""
    return np.float32(np.uint32(half) >> np.uint32(8)) * np.float32(2.0**-24)


@kernel
def uniform(first, key, step, out):
    """out[i] = the float32 draw number first + i of the stream with that key, at that step.

    key (2,) uint64, out (n,) of any floating-point type. A block, with (block + 1, 0, step, 0) for
    its counter, has eight draws.
    """
    k0, k1 = key[0], key[1]
    i, n = 0, out.size
    while i < n:
        block, begin = (first + i) // 8, (first + i) % 8
        words = _block(block + 1, step, k0, k1)
        if begin == 0 and i + 8 <= n:
            eight = out[i : i + 8]
            for k in range(4):
                eight[2 * k] = _draw(words[k])
                eight[2 * k + 1] = _draw(words[k] >> U(32))
            i += 8
        else:
            for place in range(begin, min(8, begin + n - i)):
                out[i] = _draw(words[place // 2] >> U(32 * (place % 2)))
                i += 1


@kernel
def signs(first, key, step, p, out):
    """out[i] = −1 where the float32 draw number first + i is below p (float32), else 1."""
    uniform(first, key, step, out)
    for i in range(out.size):
        out[i] = -1 if out[i] < p else 1

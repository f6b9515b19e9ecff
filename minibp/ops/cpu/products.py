"""Stacks of products of small matrices, C[p] (+)= A[p] B[p] or A[p]ᵀ B[p], called from a kernel.

BLAS is made for large matrices: it copies them into an order of its own first. For the 16 to 64
columns that convolutions have, that costs as much as the products. Here a patch of C, up to 6 rows
of 16 numbers (12 with AVX-512), is added up in registers while k goes through A's columns and B's
rows; then the patch is stored, or added to C.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minibp.ops.cpu.jit import kernel
from minibp.ops.cpu.vectors import BYTES, INT, Vectors, address, stepping, whole

WIDTH = 64  # bytes of a row of a patch, the widest
ROWS = {16: (3, 1), 32: (6, 4, 2, 1), 64: (12, 6, 4, 2, 1)}[BYTES]
TERMS = 128  # k's at a time, so that 16 columns of B stay in the first-level cache


@kernel
def add_products(A, B, C, fresh):
    """C[p] += A[p] B[p], or = if `fresh`: A (P, M, K), B (P, K, N), C (P, M, N), contiguous."""
    _add(A, A.shape[2], 1, B, C, fresh)


@kernel
def add_transposed_products(A, B, C, fresh):
    """C[p] += A[p]ᵀ B[p], or = if `fresh`: A (P, K, M)."""
    _add(A, 1, A.shape[2], B, C, fresh)


@kernel
def _add(A, row, step, B, C, fresh):
    """Either: element (i, k) of A[p] is at i·row + k·step."""
    K, (P, M, N) = B.shape[1], C.shape
    for p in range(P):
        for k in range(0, K, TERMS):
            n, at, first = min(TERMS, K - k), p * M * K + k * step, fresh and k == 0
            _product(A, at, row, step, B, (p * K + k) * N, C, p * M * N, M, N, n, first)


@intrinsic
def _product(typing, A, a, row, step, B, b, C, c, M, N, K, fresh):
    """C[c + i·N + j] (+)= Σ_k A[a + i·row + k·step] B[b + k·N + j], i < M, j < N, k < K."""
    size = types.intp
    kinds = types.void(A, size, size, size, B, size, C, size, size, size, size, types.boolean)

    def generate(context, builder, signature, arguments):
        A, a, row, step, B, b, C, c, M, N, K, fresh = arguments
        one = [
            address(context, builder, kind, array, at)
            for kind, array, at in (
                (signature.args[0], A, a),
                (signature.args[4], B, b),
                (signature.args[6], C, c),
            )
        ]
        real = signature.args[0].dtype
        top = 8 * WIDTH // real.bitwidth
        j = cgutils.alloca_once_value(builder, whole(0))
        for lanes in (top, top // 2, top // 4, 1):
            v = Vectors(builder, real, lanes)
            strides = [v.bytes_of(x) for x in (row, step, N)]
            with stepping(builder, j, lanes, N) as at_j:
                i = cgutils.alloca_once_value(builder, whole(0))
                builder.store(whole(0), i)
                for rows in ROWS:
                    with stepping(builder, i, rows, M) as at_i:
                        _patch(v, rows, one, strides, at_i, v.bytes_of(at_j), K, fresh)
        return context.get_dummy_value()

    return kinds, generate


def _patch(v: Vectors, rows: int, addresses, strides, i, j, K, fresh) -> None:
    """Emit the code for `rows` rows from row i of C, and v's lanes from byte j of each."""
    builder, (a, b, c), (row, step, line) = v.builder, addresses, strides
    at_a, at_b = builder.add(a, builder.mul(i, row)), builder.add(b, j)
    before = builder.block
    loop, done = (builder.append_basic_block(name) for name in ("terms", "sums"))
    builder.branch(loop)

    builder.position_at_end(loop)
    sums = [builder.phi(v.type) for _ in range(rows)]
    k, at_a_k, at_b_k = (builder.phi(INT) for _ in range(3))
    for value, first in ((k, whole(0)), (at_a_k, at_a), (at_b_k, at_b)):
        value.add_incoming(first, before)
    numbers, added, at = v.load(at_b_k), [], at_a_k
    for total in sums:
        total.add_incoming(v.zero, before)
        added.append(v.multiply_add(v.load_one(at), numbers, total))
        at = builder.add(at, row)
    for value, next_one in zip(sums, added, strict=True):
        value.add_incoming(next_one, loop)
    following = builder.add(k, whole(1))
    k.add_incoming(following, loop)
    at_a_k.add_incoming(builder.add(at_a_k, step), loop)
    at_b_k.add_incoming(builder.add(at_b_k, line), loop)
    builder.cbranch(builder.icmp_signed("<", following, K), loop, done)

    builder.position_at_end(done)
    at_c = builder.add(builder.add(c, builder.mul(i, line)), j)
    with builder.if_else(fresh) as (new, old):
        for way, add in ((new, False), (old, True)):
            with way:
                at = at_c
                for total in added:
                    v.store(builder.fadd(v.load(at), total) if add else total, at)
                    at = builder.add(at, line)

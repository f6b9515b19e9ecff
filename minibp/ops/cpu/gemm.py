"""Stacks of matrix products that add to what is there, by SciPy's BLAS, called from a kernel.

NumPy's matmul cannot add: dŴ of a piece would be written, read again and added, which at 64 points
costs more than the products.
"""

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from minibp.ops.cpu.jit import kernel

# By name, so that compiled code, which is kept on disk, finds the function in each process anew.
for _name in ("sgemm", "dgemm"):
    llvm.add_symbol(
        f"minibp_{_name}", get_cython_function_address("scipy.linalg.cython_blas", _name)
    )


@intrinsic
def _gemm(typing_context, turn, m, n, k, a, lda, b, ldb, beta, c, ldc):
    """BLAS's xGEMM with alpha 1 and A as it is stored; `turn` says whether B is transposed; a, b
    and c are addresses, and beta has the type of the elements."""
    single = beta == types.float32
    real = ir.FloatType() if single else ir.DoubleType()
    name = "minibp_sgemm" if single else "minibp_dgemm"

    def generate(context, builder, signature, args):
        def place(value):
            return builder.bitcast(cgutils.alloca_once_value(builder, value), pointer)

        turn, m, n, k, a, lda, b, ldb, beta, c, ldc = args
        pointer = ir.IntType(8).as_pointer()
        letter = builder.select(turn, ir.IntType(8)(ord("T")), ir.IntType(8)(ord("N")))
        m, n, k, lda, ldb, ldc = (
            place(builder.trunc(x, ir.IntType(32))) for x in (m, n, k, lda, ldb, ldc)
        )
        a, b, c = (builder.inttoptr(x, pointer) for x in (a, b, c))
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer] * 13), name
        )
        plain, letter = place(ir.IntType(8)(ord("N"))), place(letter)
        one, beta = place(real(1.0)), place(beta)
        builder.call(function, [plain, letter, m, n, k, one, a, lda, b, ldb, beta, c, ldc])
        return context.get_dummy_value()

    size = types.intp
    address = types.uintp
    real_type = types.float32 if single else types.float64
    arguments = (types.boolean, *[size] * 3, address, size, address, size, real_type, address, size)
    return types.void(*arguments), generate


@kernel
def add_products(A, B, C, fresh):
    """C[p] += A[p]ᵀ B[p], or = if `fresh`: A (P, K, M), B (P, K, N), C (P, M, N), contiguous."""
    P, K, M = A.shape
    N = B.shape[2]
    beta = C.dtype.type(0 if fresh else 1)
    for p in range(P):
        # BLAS takes columns first: Cᵀ (N, M) = Bᵀ A, where Bᵀ is B as it is stored.
        _gemm(True, N, M, K, B[p].ctypes.data, N, A[p].ctypes.data, M, beta, C[p].ctypes.data, N)


if np.iinfo(np.intc).bits != 32:
    raise ImportError("BLAS's integers are expected to have 32 bits")

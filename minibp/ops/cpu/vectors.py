"""Pieces of LLVM's code for vectors of numbers, of which `products` and `combine` make theirs.

A compiler that is given loops over numbers does not keep what it could in the vector registers.
So these few inner loops are written with vectors, whose width is this processor's.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

FEATURES = llvm.get_host_cpu_features()
FUSED = bool(FEATURES.get("fma"))  # x·y + z in one instruction, rounded once
BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16  # a register's

INT = ir.IntType(64)


def whole(value: int) -> ir.Constant:
    """Return a constant of the type of sizes."""
    return ir.Constant(INT, value)


class Vectors:
    """Vectors of `lanes` elements of Numba's type `real`; what it returns are LLVM's values."""

    def __init__(self, builder: ir.IRBuilder, real: types.Float, lanes: int):
        self.builder, self.lanes = builder, lanes
        self.size = real.bitwidth // 8
        self.real = ir.FloatType() if self.size == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.real, lanes)
        self.zero = ir.Constant(self.type, None)

    def load(self, address):
        """Return the vector at an address, which need not be aligned."""
        return self._at(address, self.type)

    def load_one(self, address):
        """Return a vector of one number, the one at an address."""
        return spread(self.builder, self._at(address, self.real), self.lanes)

    def constant(self, number: float):
        """Return a vector of one number that is known."""
        return ir.Constant(self.type, [ir.Constant(self.real, number)] * self.lanes)

    def store(self, value, address) -> None:
        """Store a vector at an address."""
        pointer = self.builder.inttoptr(address, self.type.as_pointer())
        self.builder.store(value, pointer).align = self.size

    def multiply_add(self, x, y, z):
        """Return x y + z."""
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(x, y), z)
        name = f"llvm.fma.v{self.lanes}f{8 * self.size}"
        kind = ir.FunctionType(self.type, [self.type] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [x, y, z])

    def bytes_of(self, elements):
        """Return the bytes of so many elements."""
        return self.builder.mul(elements, whole(self.size))

    def _at(self, address, kind):
        value = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        value.align = self.size
        return value


def spread(builder: ir.IRBuilder, number, lanes: int):
    """Return a vector of one number."""
    some, first = ir.VectorType(number.type, lanes)(ir.Undefined), ir.IntType(32)(0)
    vector = builder.insert_element(some, number, first)
    return builder.shuffle_vector(vector, some, ir.VectorType(ir.IntType(32), lanes)(None))


def address(context, builder, array_type, array, index):
    """Return the address of an element of a contiguous array, by its index."""
    data = context.make_array(array_type)(context, builder, array).data
    size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    return builder.add(builder.ptrtoint(data, INT), builder.mul(index, whole(size)))


@contextmanager
def stepping(builder: ir.IRBuilder, counter, step: int, limit) -> Iterator:
    """Emit a loop that counts on by `step` while that many are left; gives the counter's value."""
    test, body, done = (builder.append_basic_block(name) for name in ("test", "body", "done"))
    builder.branch(test)
    builder.position_at_end(test)
    value = builder.load(counter)
    end = builder.add(value, whole(step))
    builder.cbranch(builder.icmp_signed("<=", end, limit), body, done)
    builder.position_at_end(body)
    yield value
    builder.store(end, counter)
    builder.branch(test)
    builder.position_at_end(done)

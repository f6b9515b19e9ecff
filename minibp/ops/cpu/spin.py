"""Waiting without sleep: for the tenth of a millisecond that a thread would need to wake up."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minibp.ops.cpu.jit import kernel


@intrinsic
def _load(typing_context, address):
    """The int64 at an address, read anew each time."""

    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.uintp), generate


@kernel
def spin(counter, seen, turns, more):
    """Wait, without the GIL, until counter[0] is not `seen`, but for so many turns at most; then a
    few more turns, in which the other thread gets out of Python."""
    address = counter.ctypes.data
    for _ in range(turns):
        if _load(address) != seen:
            break
    for _ in range(more):
        _load(address)

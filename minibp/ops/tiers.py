"""Which code does the arithmetic of a device: the plain tier, or a compiled one."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from minibp.device import Device
from minibp.ops import plain


def ops_for(device: Device) -> Any:
    """Return the operations for a device's arrays: the module `minibp.ops.plain`, or an object with
    the same functions, compiled, and scratch memory of its own."""
    if device.kernels == "plain":
        return plain
    if hasattr(device, "compile"):
        from minibp.ops.cuda.compiled import CudaOps

        return CudaOps(device)
    from minibp.ops.cpu.compiled import CompiledOps
    from minibp.ops.cpu.threads import Team
    from minibp.ops.cpu.workspace import Workspace

    return CompiledOps(Workspace(Team(device.threads)))


def working(ops: Any) -> AbstractContextManager:
    """Return what to enter for long work with these operations: within it no library's threads get
    in the way of theirs."""
    if not hasattr(ops, "scratch"):  # of the CPU's kernels
        return nullcontext()
    from minibp.ops.cpu.threads import ONE_BLAS_THREAD

    return ONE_BLAS_THREAD

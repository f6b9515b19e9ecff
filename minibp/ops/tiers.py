"""Which code does the arithmetic of a device: the plain tier, or a compiled one."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from minibp.device import Device
from minibp.errors import InputError
from minibp.ops import plain


def ops_for(device: Device, matmul: str = "float32") -> Any:
    """Return the operations for a device's arrays: the module `minibp.ops.plain`, or an object with
    the same functions, compiled, and scratch memory of its own.

    Raises InputError for matmul "tf32" where the device has none.
    """
    check_matmul(device, matmul)
    if device.kernels == "plain":
        return plain
    if hasattr(device, "compile"):
        from minibp.ops.cuda.compiled import CudaOps

        return CudaOps(device, matmul)
    from minibp.ops.cpu.compiled import CompiledOps
    from minibp.ops.cpu.threads import Team
    from minibp.ops.cpu.workspace import Workspace

    return CompiledOps(Workspace(Team(device.threads)))


def check_matmul(device: Device, matmul: str, dtype: str = "float32") -> None:
    """Raise InputError unless the device has such matrix products for the dtype."""
    if matmul == "tf32" and (device.kernels == "plain" or not hasattr(device, "compile")):
        raise InputError(
            "setting matmul='tf32' is for the tensor cores of a GPU, and its compiled kernels: "
            "use --device cuda, or leave it out."
        )
    if matmul == "tf32" and dtype != "float32":
        raise InputError(f"setting matmul='tf32' is for float32, not for dtype {dtype!r}.")


def working(ops: Any) -> AbstractContextManager:
    """Return what to enter for long work with these operations: within it no library's threads get
    in the way of theirs, and a GPU's have a stream of their own."""
    if hasattr(ops, "device"):
        return ops.device.working()
    if not hasattr(ops, "scratch"):  # of the CPU's kernels
        return nullcontext()
    from minibp.ops.cpu.threads import ONE_BLAS_THREAD

    return ONE_BLAS_THREAD

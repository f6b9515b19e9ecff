"""Which tier does the arithmetic of a device: the plain one, or a compiled one."""

from minibp.device import Device
from minibp.errors import InputError
from minibp.ops.contract import Ops
from minibp.ops.plain import PlainOps


def ops_for(device: Device, matmul: str = "float32") -> Ops:
    """Return the operations for a device's arrays; a compiled tier's have memory of their own.

    Raises InputError for matmul "tf32" where the device has none.
    """
    check_matmul(device, matmul)
    if device.kernels == "plain":
        return PlainOps()
    if device.compiles:
        from minibp.ops.cuda.compiled import CudaOps

        return CudaOps(device, matmul)
    from minibp.ops.cpu.compiled import CompiledOps
    from minibp.ops.cpu.threads import Team
    from minibp.ops.cpu.workspace import Workspace

    return CompiledOps(Workspace(Team(device.threads)))


def check_matmul(device: Device, matmul: str, dtype: str = "float32") -> None:
    """Raise InputError unless the device has such matrix products for the dtype."""
    if matmul == "tf32" and (device.kernels == "plain" or not device.compiles):
        raise InputError(
            "setting matmul='tf32' is for the tensor cores of a GPU, and its compiled kernels: "
            "use --device cuda, or leave it out."
        )
    if matmul == "tf32" and dtype != "float32":
        raise InputError(f"setting matmul='tf32' is for float32, not for dtype {dtype!r}.")

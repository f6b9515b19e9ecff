"""Matrix products by cuBLAS, called by ctypes: CuPy's own calls refuse to be recorded."""

import ctypes
from typing import Any

from minibp.device import Array, Device

ROUTINES = {
    "float32": ("cublasSgemm_v2", ctypes.c_float),
    "float64": ("cublasDgemm_v2", ctypes.c_double),
}
MATH = {"float32": 0, "tf32": 3}  # CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH
WORKSPACE = 32 << 20  # bytes, as NVIDIA recommends for its largest GPUs


class Blas:
    """A handle of cuBLAS with a workspace of its own, so that a recorded product can be replayed.

    It is the device's, for all its networks, and is never given back: that would wait for the whole
    GPU, and so spoil what another thread is recording.

    math  "float32", or "tf32": tensor cores, which round what enters a float32 product to 11 bits
    """

    def __init__(self, device: Device, math: str = "float32"):
        self.device, self.math, self.library = device, math, device.library("cublas")
        self.workspace = device.xp.empty(WORKSPACE, "uint8")
        self.handle, self._queue = ctypes.c_void_p(), -1
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        self._call("cublasSetMathMode", self.handle, MATH[math])

    @classmethod
    def of(cls, device: Device, math: str = "float32") -> "Blas":
        """Return a device's, made when it is first asked for."""
        if math not in device.libraries:
            device.libraries[math] = cls(device, math)
        return device.libraries[math]

    def product(self, A: Array, B: Array, C: Array, transposed: tuple[bool, bool]) -> None:
        """Write A B into C, all dense; `transposed`: whether the transpose of A, of B enters.

        cuBLAS takes rows for columns, so to it these are Cᵀ = Bᵀ Aᵀ.
        """
        self._use(self.device.queue())
        routine, real = ROUTINES[str(C.dtype)]
        one, zero = ctypes.byref(real(1)), ctypes.byref(real(0))
        a, b, c = (ctypes.c_void_p(self.device.address(array)) for array in (A, B, C))
        (rows, columns), summed = C.shape, A.shape[0 if transposed[0] else 1]
        self._call(
            routine,
            *(self.handle, int(transposed[1]), int(transposed[0]), columns, rows, summed),
            *(one, b, B.shape[1], a, A.shape[1], zero, c, columns),
        )

    def _use(self, queue: int) -> None:
        if queue == self._queue:
            return
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(queue))
        # Anew, since another stream takes it away.
        workspace = ctypes.c_void_p(self.device.address(self.workspace))
        self._call("cublasSetWorkspace_v2", self.handle, workspace, ctypes.c_size_t(WORKSPACE))
        self._queue = queue

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError(f"cuBLAS: {name} failed with status {status}.")

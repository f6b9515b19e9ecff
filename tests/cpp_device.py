"""A stand-in for a GPU: the CUDA kernels, compiled as C++, on strict arrays; graphs are recorded.

A launch runs its threads one after the other, in an odd order, and only few, each of which then has
many elements: a kernel that relies on an order, or on how many threads there are, is found out.
cuBLAS is an object that checks how it is called, and has NumPy do the sums.
"""

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

import numpy as np
from strict_array import StrictArray, StrictDevice, perform, recording

COMPILER = shutil.which("g++") or shutil.which("clang++")
SHIM = Path(__file__).parent / "ops" / "cuda" / "shim.h"
FLAGS = "-std=c++14 -O1 -Wall -Wextra -Werror -fPIC -shared -ffp-contract=off -x c++".split()
BLOCKS, THREADS = 2, 3
ONE_AT_A_TIME = threading.Lock()  # the kernels' blockIdx is a global variable


class CppDevice(StrictDevice):
    """The CPU, playing a GPU. `replays` counts those of each of its graphs."""

    name = "cpp"
    compiles = records = True

    def __init__(self, memory=1 << 40):
        super().__init__()
        self.kernels, self.memory, self.libraries = "compiled", memory, {}
        self.replays = []
        self._queue = 7  # the stream that is everybody's

    def describe(self):
        return super().describe() | {"gpu": "a stand-in"}

    def compile(self, source, **defines):
        """Return what gives a kernel by name."""
        library = built(source, tuple(sorted(defines.items())))

        def function(name):
            kernel = getattr(library, name)
            kernel.restype = None

            def launch(blocks, threads, arguments):
                converted = [passed(argument) for argument in arguments]
                perform(lambda: run(library, kernel, converted))

            return launch

        return function

    def library(self, name):
        assert name == "cublas"
        return NumpyBlas(self)

    def address(self, array):
        assert array.flags.c_contiguous
        return array._array.ctypes.data

    def queue(self):
        return self._queue

    def record(self, work):
        """Return what plays the tape of what work() asks for."""
        self.replays.append(0)
        number = len(self.replays) - 1
        with recording() as tape:
            work()

        def replay():
            self.replays[number] += 1
            for played in tape:
                played()

        return replay

    @contextlib.contextmanager
    def working(self):
        before, self._queue = self._queue, 8
        try:
            yield
        finally:
            self._queue = before

    def free_memory(self):
        return self.memory


def run(library, kernel, arguments):
    """Do all threads of a launch."""
    with ONE_AT_A_TIME:
        index("gridDim", library).value = BLOCKS
        index("blockDim", library).value = THREADS
        for block in reversed(range(BLOCKS)):
            index("blockIdx", library).value = block
            for thread in (1, 2, 0):
                index("threadIdx", library).value = thread
                kernel(*[converted for converted, _ in arguments])


def index(name, library):
    return ctypes.c_uint.in_dll(library, name)


@cache
def by_value(words):
    return type("Record", (ctypes.Structure,), {"_fields_": [("words", ctypes.c_uint64 * words)]})


def passed(argument):
    """Return an argument as CuPy passes it, an address, an int32, a double or a record, and what
    owns it."""
    if isinstance(argument, StrictArray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument._array.ctypes.data), argument._array
    if isinstance(argument, np.ndarray):  # by value: larger than registers, so on the stack
        words = np.frombuffer(argument.tobytes(), "u8")
        return by_value(words.size)(tuple(words.tolist())), None
    if isinstance(argument, np.int32):
        return ctypes.c_int(argument), None
    assert type(argument) is float, f"a kernel was given a {type(argument).__name__}"
    return ctypes.c_double(argument), None


@cache
def built(source, defines):
    """Return the library of a source; compiled once for all processes of a user."""
    made_of = (source, defines, SHIM.read_text(), COMPILER, FLAGS)
    name = f"minibp-{os.getuid()}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]}.so"
    library = Path(tempfile.gettempdir()) / name
    if not library.exists() or library.stat().st_uid != os.getuid():
        with tempfile.TemporaryDirectory() as folder:
            path, out = Path(folder) / "kernels.cu", Path(folder) / "kernels.so"
            path.write_text(source, encoding="utf-8")
            words = [f"-D{name}={value}" for name, value in defines]
            command = [COMPILER, *FLAGS, *words, "-include", str(SHIM), str(path), "-o", str(out)]
            subprocess.run(command, check=True)
            os.replace(out, library)  # whole, whoever else does the same
    return ctypes.CDLL(str(library))


class NumpyBlas:
    """cuBLAS, as far as it is used here: columns first, with leading dimensions."""

    def __init__(self, device):
        self.device, self.queue, self.workspace, self.math = device, None, None, None

    def cublasCreate_v2(self, handle):
        handle._obj.value = 5
        return 0

    def cublasSetMathMode(self, handle, math):
        assert handle.value == 5
        self.math = math
        return 0 if math in (0, 3) else 7

    def cublasSetStream_v2(self, handle, stream):
        self.queue, self.workspace = stream.value, None
        return 0

    def cublasSetWorkspace_v2(self, handle, place, size):
        assert place.value
        assert size.value
        self.workspace = place
        return 0

    def cublasSgemm_v2(self, *arguments):
        return self._gemm(np.float32, ctypes.c_float, *arguments)

    def cublasDgemm_v2(self, *arguments):
        return self._gemm(np.float64, ctypes.c_double, *arguments)

    def _gemm(
        self, dtype, real, handle, turn_a, turn_b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc
    ):
        assert handle.value == 5
        assert self.queue == self.device.queue()
        assert self.workspace is not None, "a product without a workspace cannot be recorded"
        assert type(alpha._obj) is type(beta._obj) is real

        def matrix(place, rows, columns, leading):
            if leading < max(1, rows):
                raise ValueError(f"leading dimension {leading} of {rows} rows")
            pointer = ctypes.cast(place, ctypes.POINTER(real))
            return np.ctypeslib.as_array(pointer, (columns, leading))[:, :rows].T

        a = matrix(A, *((k, m) if turn_a else (m, k)), lda)
        b = matrix(B, *((n, k) if turn_b else (k, n)), ldb)
        c = matrix(C, m, n, ldc)
        assert c.dtype == dtype
        a, b = (a.T if turn_a else a), (b.T if turn_b else b)
        one, zero = alpha._obj.value, beta._obj.value
        assert (one, zero) == (1, 0)
        perform(lambda: np.matmul(b.T, a.T, out=c.T))  # whose rows lie one after the other
        return 0

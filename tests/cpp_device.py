"""A stand-in for a GPU: the CUDA kernels, compiled as C++, on NumPy arrays.

A launch runs its threads one after the other, in an odd order, and only few, each of which then has
many elements: a kernel that relies on an order, or on how many threads there are, is found out.
"""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from minibp.device import Device

COMPILER = shutil.which("g++") or shutil.which("clang++")
SHIM = Path(__file__).parent / "ops" / "cuda" / "shim.h"
FLAGS = "-std=c++14 -O1 -Wall -Wextra -Werror -fPIC -shared -ffp-contract=off -x c++".split()
BLOCKS, THREADS = 2, 3


class CppDevice(Device):
    """The CPU, playing a GPU."""

    name = "cpp"

    def __init__(self):
        super().__init__(kernels="compiled")
        self.launched = []

    def compile(self, source, **defines):
        """Return what gives a kernel by name."""
        library = built(source, tuple(sorted(defines.items())))

        def function(name):
            kernel = getattr(library, name)
            kernel.restype = None

            def launch(blocks, threads, arguments):
                self.launched.append(name)
                converted = [passed(argument) for argument in arguments]
                index("gridDim", library).value = BLOCKS
                index("blockDim", library).value = THREADS
                for block in reversed(range(BLOCKS)):
                    index("blockIdx", library).value = block
                    for thread in (1, 2, 0):
                        index("threadIdx", library).value = thread
                        kernel(*converted)

            return launch

        return function


def index(name, library):
    return ctypes.c_uint.in_dll(library, name)


def passed(argument):
    """Return an argument as CuPy passes it: an array's address, a long long or a double."""
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    if isinstance(argument, bool | int):
        return ctypes.c_longlong(argument)
    assert type(argument) is float, f"a kernel was given a {type(argument).__name__}"
    return ctypes.c_double(argument)


@cache
def built(source, defines):
    digest = hashlib.sha256(repr((source, defines, SHIM.read_text())).encode()).hexdigest()[:16]
    folder = Path(tempfile.mkdtemp())
    path, out = folder / "kernels.cu", folder / f"{digest}.so"
    path.write_text(source, encoding="utf-8")
    words = [f"-D{name}={value}" for name, value in defines]
    subprocess.run(
        [COMPILER, *FLAGS, *words, "-include", str(SHIM), str(path), "-o", str(out)], check=True
    )
    return ctypes.CDLL(str(out))

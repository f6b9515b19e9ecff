"""Run CuPy without a GPU: `python emulator.py script.py …` or `python emulator.py -m pytest …`.

The real CuPy package, NVIDIA's real compiler (NVRTC, which needs no driver) and CuPy's real launch
path, on a driver of our own (driver.cpp) whose device memory is the host's. See README.md.
"""

import atexit
import ctypes
import hashlib
import importlib.util
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent
SOURCES = sorted(path for path in HOME.iterdir() if path.suffix in (".cpp", ".h", ".py"))
# Of the runtime's functions these need no device, and stay.
KEPT = {"cudaGetErrorName", "cudaGetErrorString", "cudaRuntimeGetVersion", "cudaCreateChannelDesc"}
KINDS = {"f32": "float32", "f64": "float64"}  # PTX's name of a parameter: the only type that fits


def site() -> Path:
    """Return the folder of packages that CuPy is in."""
    found = importlib.util.find_spec("cupy")
    if found is None or found.origin is None:
        raise SystemExit("CuPy is not installed: pip install -e '.[test,emulator]'")
    return Path(found.origin).parent.parent


def cache() -> Path:
    """Return a private folder for what is compiled, another one for other sources or packages."""
    total = hashlib.sha256(sys.prefix.encode())
    for path in SOURCES:
        total.update(path.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"emulated-gpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SystemExit(f"{folder} is another user's, who could have us run their code: remove it")
    (folder / total.hexdigest()[:12]).mkdir(exist_ok=True)
    return folder / total.hexdigest()[:12]


def build(folder: Path) -> Path:
    """Return the driver's path, compiled if it is not there."""
    library = folder / "libcuda.so.1"
    if not library.exists():
        headers = [*site().glob("nvidia/cuda_*/include"), *site().glob("nvidia/cu1*/include")]
        temporary = f"{library}.{os.getpid()}"
        command = ["g++", *"-std=c++17 -O2 -fPIC -shared -w -DCHECKED".split()]
        command += ["-Wl,-soname,libcuda.so.1", *(f"-I{path}" for path in [*headers, HOME])]
        subprocess.run([*command, HOME / "driver.cpp", "-o", temporary, "-ldl"], check=True)
        os.replace(temporary, library)
    return library


def install() -> ctypes.CDLL:
    """Put the emulated driver in the real one's place, before anything imports CuPy."""
    folder = cache()
    os.environ.update(EMU_CACHE=str(folder), EMU_HOME=str(HOME), EMU_PYTHON=sys.executable)
    os.environ.setdefault("CUPY_COMPILE_WITH_PTX", "1")
    os.environ.setdefault("CUPY_ACCELERATORS", "")  # CUB's kernels come compiled, not as PTX
    os.environ.setdefault("CUPY_CACHE_DIR", str(folder / "cupy"))
    driver = ctypes.CDLL(str(build(folder)), mode=ctypes.RTLD_GLOBAL)
    for name in ("emu_findings", "emu_counts", "emu_trail_text", "emu_parameters"):
        getattr(driver, name).restype = ctypes.c_char_p
    driver.emu_array.argtypes = (ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int)
    driver.emu_parameters.argtypes = (ctypes.c_uint64,)
    _replace_cublas(driver)
    _replace_runtime(driver)
    import cupy

    cupy.RawModule = _checked_modules(cupy, driver)
    if os.environ.get("EMU_CHECK"):
        _hook(cupy, driver).__enter__()
    return driver


def _symbols(library: str, *options: str) -> Iterator[tuple[str, str, str]]:
    """Yield (place, kind, name) of a library's symbols."""
    done = subprocess.run(["nm", *options, library], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        place, kind, name = line[:16].strip(), line[17:18], line[19:]
        yield place, kind, name


def _replace_runtime(driver: ctypes.CDLL) -> None:
    """Have each function of the runtime that is linked into CuPy jump to the driver's own."""
    from cupy_backends.cuda.api import runtime

    with open("/proc/self/maps") as maps:
        places = [line.split("-")[0] for line in maps if line.rstrip().endswith(runtime.__file__)]
    base = min(int(place, 16) for place in places)
    for place, kind, name in _symbols(runtime.__file__):
        public = kind == "t" and name.startswith("cuda") and name[4].isupper() and "." not in name
        if not public or name in KEPT:
            continue
        plain = name.removesuffix("_ptsz").removesuffix("_ptds")
        here, ours = ctypes.c_void_p(base + int(place, 16)), getattr(driver, f"emu_{plain}", None)
        if ours is None:
            driver.emu_patch_unknown(here, plain.encode())
        else:
            driver.emu_patch(here, ctypes.cast(ours, ctypes.c_void_p))


def _replace_cublas(driver: ctypes.CDLL) -> None:
    """Load a library in cuBLAS's place, with every function that CuPy is linked to. The products
    jump to the driver's, which multiply with NumPy's OpenBLAS; the others say that they are not
    there."""
    extension = next(site().glob("cupy_backends/cuda/libs/cublas.*.so"))
    wanted = [name for _, kind, name in _symbols(str(extension), "-D") if kind == "U"]
    wanted = [name for name in wanted if name.startswith("cublas")]
    version = wanted[0].split("@")[-1]  # libcublas.so.12, which is the file's name, too
    names = {name.split("@")[0] for name in wanted}
    played = {name for _, _, name in _symbols(str(cache() / "libcuda.so.1"), "-D")}
    names |= {name[4:] for name in played if name.startswith("emu_cublas")}
    _stub(version.replace("cublas", "cublasLt"), set())  # which CuPy loads before it
    library = _stub(version, names)
    for name in names:
        ours = getattr(driver, f"emu_{name}", None)
        if ours is not None:
            real = ctypes.cast(getattr(library, name), ctypes.c_void_p)
            driver.emu_patch(real, ctypes.cast(ours, ctypes.c_void_p))
    blas = ctypes.CDLL(str(next(site().glob("numpy.libs/libscipy_openblas64_*.so*"))))
    gemms = (getattr(blas, f"scipy_{kind}gemm_64_") for kind in "sd")
    driver.emu_blas(*(ctypes.cast(gemm, ctypes.c_void_p) for gemm in gemms))


def _stub(soname: str, names: set[str]) -> ctypes.CDLL:
    """Return a library of that name, loaded, whose functions say that they are not there."""
    path = cache() / soname
    if not path.exists():
        lines = [f'int {name}() {{ return emu_unknown("{name}"); }}' for name in sorted(names)]
        source, script = path.with_suffix(".c"), path.with_suffix(".map")
        source.write_text("int emu_unknown(const char*);\n" + "\n".join(lines))
        script.write_text(f"{soname} {{ global: *; }};")
        made = path.with_suffix(f".{os.getpid()}")
        flags = ["-O0", "-fPIC", "-shared", "-w", f"-Wl,-soname,{soname}"]
        command = ["gcc", *flags, f"-Wl,--version-script,{script}", source, "-o", made]
        subprocess.run(command, check=True)
        os.replace(made, path)
    return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _checked_modules(cupy: Any, driver: ctypes.CDLL) -> Any:
    """Return a RawModule whose kernels look at what they are given: a driver cannot, since CuPy
    hands it addresses of numbers of whatever size."""
    real = cupy.RawModule

    class Kernel:
        def __init__(self, kernel: Any):
            self.kernel = kernel

        def __call__(self, grid: Any, block: Any, args: Any, **more: Any) -> Any:
            kinds = driver.emu_parameters(self.kernel.kernel.ptr).decode().split()
            if len(args) != len(kinds):
                raise TypeError(f"{self.kernel.name}: {len(args)} arguments for {len(kinds)}")
            for k, (given, kind) in enumerate(zip(args, kinds, strict=True)):
                kind_of = getattr(given, "dtype", type(given))  # NumPy's: a number, or a record
                dtype = cupy.dtype("uint64" if isinstance(given, cupy.ndarray) else kind_of)
                size = int(kind.lstrip("bfsu"))
                if 8 * dtype.itemsize != size or (kind in KINDS) != (dtype.kind == "f"):
                    words = f"argument {k} is a {dtype}, the kernel's is {kind}"
                    driver.emu_note(f"{self.kernel.name}: {words}".encode())
            return self.kernel(grid, block, args, **more)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.kernel, name)

    class Module:
        def __init__(self, **given: Any):
            self.module = real(**given)

        def get_function(self, name: str) -> Kernel:
            return Kernel(self.module.get_function(name))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.module, name)

    return Module


def _hook(cupy: Any, driver: ctypes.CDLL) -> Any:
    """Return a hook that tells the driver of every array of CuPy's pools, with its exact size."""

    class Hook(cupy.cuda.MemoryHook):
        name = "emulator"

        def malloc_postprocess(self, **given: Any) -> None:
            driver.emu_array(given["mem_ptr"], given["size"], 1)

        def free_postprocess(self, **given: Any) -> None:
            driver.emu_array(given["mem_ptr"], 0, 0)

    return Hook()


def report(driver: ctypes.CDLL) -> None:
    """Say at the end what was found."""
    text = driver.emu_findings().decode()
    print(f"emulator found:\n{text}" if text else "emulator found nothing", file=sys.stderr)
    if text and os.environ.get("EMU_STRICT"):
        sys.stdout.flush()
        os._exit(1)


def main(words: list[str]) -> None:
    driver = install()
    sys.modules["emulator_driver"] = driver  # type: ignore[assignment]
    atexit.register(report, driver)
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, "")
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(sys.argv[1:])

"""Does the emulator find what it is there to find? Each fault is planted, and has to be found.

Run by scripts/dev/gpu_check.sh --emulated: once with EMU_CHECK=1, once with EMU_LAZY=1.
"""

import os
import sys

import numpy as np
import pytest

driver = sys.modules.get("emulator_driver")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(driver is None, reason="runs under emulator.py"),
]
checked = pytest.mark.skipif(not os.environ.get("EMU_CHECK"), reason="needs EMU_CHECK=1")
lazy = pytest.mark.skipif(not os.environ.get("EMU_LAZY"), reason="needs EMU_LAZY=1")
N = 1000
COUNT = np.int32(N)

HEAD = 'extern "C" __global__ void {}(float* x, float* y, int n)'
BODY = "{{ int i = blockIdx.x * blockDim.x + threadIdx.x; {} }}"
KERNELS = {
    "copying": "if (i < n) y[i] = x[i];",
    "writes_beyond": "if (i <= n) y[i] = 1;",
    "reads_before": "if (i < n) y[i] = x[i - 1];",
    "writes_twice": "if (i < n) y[i / 2] = x[i];",
    "shifts": "if (i + 1 < n) x[i] = x[i + 1];",
    "waits_apart": "if (threadIdx.x < 16) __syncthreads(); y[i % n] = 1;",
}


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


@pytest.fixture
def run(cupy):
    """Return a function that runs a kernel on arrays of N elements; forget what was found."""
    source = "\n".join(f"{HEAD.format(name)} {BODY.format(text)}" for name, text in KERNELS.items())
    module = cupy.RawModule(code=source)
    driver.emu_forget()

    def call(name, x, y, n=COUNT):
        module.get_function(name)(((N + 255) // 256,), (256,), (x, y, n))

    yield call
    driver.emu_forget()


def found():
    return driver.emu_findings().decode()


@checked
def test_what_is_right_is_not_found(cupy, run):
    run("copying", cupy.ones(N, "float32"), cupy.ones(N, "float32"))
    assert found() == ""


@checked
@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("writes_beyond", "writes outside of its arrays"),
        ("reads_before", "reads outside of"),
        ("writes_twice", "writes what another thread writes"),
        ("shifts", "what another thread"),
    ],
)
def test_a_fault_in_a_kernel(cupy, run, kernel, words):
    run(kernel, cupy.ones(N, "float32"), cupy.ones(N, "float32"))
    assert kernel in found()
    assert words in found()


@checked
def test_what_nobody_wrote(cupy, run):
    run("copying", cupy.empty(N, "float32"), cupy.ones(N, "float32"))
    assert "reads what nobody wrote" in found()


@checked
def test_concatenate_is_not_blamed(cupy, run):
    """CuPy's kernel for it reads a table of addresses."""
    a, b = cupy.ones(3, "float32"), cupy.zeros(2, "float32")
    assert cupy.concatenate([a, b]).tolist() == [1, 1, 1, 0, 0]
    assert found() == ""


def test_a_barrier_that_some_never_reach(cupy, run):
    run("waits_apart", cupy.ones(N, "float32"), cupy.ones(N, "float32"))
    cupy.cuda.Device().synchronize()
    assert "before a barrier" in found()


@pytest.mark.parametrize("n", [np.int64(N), np.float32(N), N])
def test_an_argument_of_another_type(cupy, run, n):
    run("copying", cupy.ones(N, "float32"), cupy.ones(N, "float32"), n)
    assert "copying: argument 2 is a" in found()


@pytest.mark.parametrize("rooms", [2, 3])
def test_a_record_of_another_size(cupy, run, rooms):
    """One of addresses and numbers, of which a part is chosen at run time, is passed by value."""
    source = """
    struct Row { float* x; double value; };
    struct Rows { Row each[2]; };
    extern "C" __global__ void rows(Rows all) {
        const Row& row = all.each[threadIdx.x];
        *row.x = row.value;
    }"""
    row = np.dtype([("x", "u8"), ("value", "f8")])
    table, x = np.zeros((), [("each", row, (rooms,))]), cupy.zeros(2, "float32")
    for k in range(2):
        table["each"][k] = (x.data.ptr + 4 * k, 3 + k)
    cupy.RawModule(code=source).get_function("rows")((1,), (2,), (table,))
    np.testing.assert_array_equal(cupy.asnumpy(x), [3, 4])
    assert ("rows: argument 0 is a" in found()) == (rooms != 2)


def test_another_number_of_arguments(cupy, run):
    with pytest.raises(TypeError, match="copying: 2 arguments for 3"):
        cupy.RawModule(code=f"{HEAD.format('copying')} {{ }}").get_function("copying")(
            (1,), (1,), (cupy.ones(1), cupy.ones(1))
        )


def test_waiting_while_recording(cupy, run):
    stream = cupy.cuda.Stream(non_blocking=True)
    x = cupy.ones(N, "float32")
    with stream:
        stream.begin_capture()
        x += 1
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Capture"):
            stream.synchronize()
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Capture"):
            stream.end_capture()
    assert "waited for that records" in found()


def test_memory_from_the_device_while_recording(cupy, run):
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture(cupy.cuda.runtime.streamCaptureModeGlobal)
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Capture"):
            cupy.cuda.runtime.malloc(1 << 20)
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Capture"):
            stream.end_capture()


def test_a_launch_that_is_too_large(cupy, run):
    kernel = cupy.RawModule(code=f"{HEAD.format('big')} {{ }}").get_function("big")
    x = cupy.ones(1, "float32")
    with pytest.raises(cupy.cuda.driver.CUDADriverError):
        kernel((1,), (2048,), (x, x, np.int32(1)))
    assert "big: launch of" in found()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_numpys(cupy, run, dtype):
    """Of matrices, transposed or not, and of stacks of them."""
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(3, 4, 5)).astype(dtype), rng.normal(size=(5, 6)).astype(dtype)
    pairs = [(A, B), (A.transpose(1, 0, 2), B), (A[0], B), (A[:, 0].T.copy().T, B)]
    turned = [tuple(np.swapaxes(x, -1, -2) for x in pair[::-1]) for pair in pairs]
    for left, right in pairs + turned:
        ours = cupy.asarray(left) @ cupy.asarray(right)
        np.testing.assert_allclose(cupy.asnumpy(ours), left @ right, rtol=1e-4, atol=1e-5)
    assert found() == ""


@lazy
def test_a_missing_wait_shows(cupy, run):
    z = cupy.zeros(N, "float32")
    z += 5  # on everybody's stream, and not yet done
    with cupy.cuda.Stream(non_blocking=True):
        late = float((z + 1)[0])
    assert late != 6


@lazy
def test_a_wait_helps(cupy, run):
    z = cupy.zeros(N, "float32")
    z += 5
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True):
        assert float((z + 1)[0]) == 6

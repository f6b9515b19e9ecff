"""Every engine test runs on each device: the CPU with plain and with compiled kernels, stand-ins
of a GPU (one refuses silent transfers, one has the CUDA kernels as C++), and CUDA."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # two tests side by side, each with a BLAS of two threads,
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # wait for each other: twice as long in all

import hypothesis
import numpy as np
import pytest
from cpp_device import COMPILER, CppDevice
from strict_array import StrictDevice

from minibp import get_device
from minibp.errors import DeviceError

hypothesis.settings.register_profile(
    "minibp", deadline=None, derandomize=True, max_examples=40, print_blob=True
)
hypothesis.settings.load_profile("minibp")


def make_device(name):
    if name == "strict":
        return StrictDevice()
    if name == "cpp":
        if COMPILER is None:
            pytest.skip("needs a C++ compiler")
        return CppDevice()
    try:
        if name in ("plain", "compiled"):
            return get_device("cpu", kernels=name, threads=2)
        return get_device(name)
    except DeviceError as error:
        if name == "cuda" and os.environ.get("MINIBP_TEST_GPU"):
            raise  # gpu_check.sh: there, a skipped test is a failed one
        pytest.skip(str(error))


@pytest.fixture(
    params=["plain", "compiled", "strict", "cpp", pytest.param("cuda", marks=pytest.mark.cuda)]
)
def device(request):
    return make_device(request.param)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """No test writes to the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("MINIBP_DATA_DIR", str(folder))
        yield folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)

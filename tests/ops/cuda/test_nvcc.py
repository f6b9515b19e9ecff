"""The kernels are CUDA C that NVIDIA's compiler takes, without a warning."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import minibp.ops.cuda

KERNELS = Path(minibp.ops.cuda.__file__).with_name("kernels.cu")
NVCC = shutil.which("nvcc")


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
@pytest.mark.parametrize("real", ["float", "double"])
def test_nvcc_compiles_the_kernels(real, tmp_path):
    ptx = tmp_path / "kernels.ptx"
    flags = ["-std=c++14", "--fmad=false", f"-DREAL={real}", "-Wno-deprecated-gpu-targets"]
    command = [NVCC, *flags, "--ptx", str(KERNELS), "-o", str(ptx)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    kernels = set(re.findall(r"__global__ void (\w+)\(", KERNELS.read_text(encoding="utf-8")))
    assert len(kernels) > 20  # so the pattern still finds them
    assert set(re.findall(r"\.entry (\w+)\(", ptx.read_text(encoding="utf-8"))) == kernels

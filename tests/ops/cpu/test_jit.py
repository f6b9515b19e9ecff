"""Where compiled kernels are kept: also where the source, or nothing at all, can be written to."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")
from minibp.ops.cpu import jit

ROOT = Path(__file__).parents[3]
RUN = """
import sys, numpy as np
from numba.core import event
from minibp.ops.cpu.elementwise import relu
class Count(event.Listener):
    n = 0
    def on_start(self, _): self.n += 1
    def on_end(self, _): pass
count = Count()
with event.install_listener("numba:compile", count):
    Y = np.empty(3)
    relu(np.array([-1.0, 2.0, 3.0]), Y)
print(Y.tolist(), "compiled" if count.n else "loaded")
"""


@pytest.fixture
def machine(tmp_path):
    """Return a function that runs a process on a machine whose source and home cannot be written
    to: where their folders would be there are files, which stop root, too."""
    package = tmp_path / "source" / "minibp"
    shutil.copytree(ROOT / "minibp", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "ops" / "cpu" / "__pycache__").write_text("in the way")
    (tmp_path / "home").write_text("in the way")

    def run(**variables):
        environ = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG")}
        home = {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(package.parent)}
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            env=environ | home | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip(), done.stderr

    run.package = package
    return run


def test_a_source_and_home_that_cannot_be_written_to(machine, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    out, said = machine(TMPDIR=str(temporary))
    assert out == "[0.0, 2.0, 3.0] compiled"
    assert said.startswith("note: no cache folder can be written to (NUMBA_CACHE_DIR can name one)")
    assert said.count("\n") == 1
    (folder,) = temporary.iterdir()
    assert str(folder) in said
    assert folder.stat().st_mode & 0o777 == 0o700
    assert machine(TMPDIR=str(temporary))[0] == "[0.0, 2.0, 3.0] loaded"
    # A file that the kernel calls, or could call, is another.
    with open(machine.package / "ops" / "cpu" / "norm.py", "a") as file:
        file.write("\n# changed\n")
    assert machine(TMPDIR=str(temporary))[0] == "[0.0, 2.0, 3.0] compiled"
    assert len(list(temporary.iterdir())) == 2


@pytest.mark.parametrize(
    "variable",
    [
        "NUMBA_CACHE_DIR",
        pytest.param("MINIBP_DATA_DIR", marks=pytest.mark.slow),
        pytest.param("XDG_CACHE_HOME", marks=pytest.mark.slow),
    ],
)
def test_a_folder_of_the_users_for_it(variable, machine, tmp_path):
    given = {variable: str(tmp_path / "given")}
    assert machine(**given) == ("[0.0, 2.0, 3.0] compiled", "")
    assert list((tmp_path / "given").rglob("*.nbi"))
    assert machine(**given) == ("[0.0, 2.0, 3.0] loaded", "")
    with open(machine.package / "ops" / "cpu" / "norm.py", "a") as file:
        file.write("\n# changed\n")
    assert machine(**given) == ("[0.0, 2.0, 3.0] compiled", "")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Let only the temporary folder be there for kernels; return where they would be."""
    monkeypatch.setattr(jit.tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    right = jit.writable
    monkeypatch.setattr(jit, "writable", lambda folder: folder.parent == tmp_path and right(folder))
    folder, said = jit.place(jit.HERE)
    assert folder.parent == tmp_path
    assert str(folder) in said
    return folder


def test_a_temporary_folder_that_others_could_write_to_is_not_used(temporary):
    temporary.chmod(0o770)
    folder, said = jit.place(jit.HERE)
    assert folder is None
    assert said.endswith("kernels are compiled anew in each process")


def test_a_link_to_a_folder_of_somebodys_is_not_used(temporary, tmp_path):
    temporary.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    temporary.symlink_to(elsewhere)
    assert jit.place(jit.HERE)[0] is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users have no numbers here")
def test_a_folder_of_another_user_is_not_used(temporary, monkeypatch):
    monkeypatch.setattr(jit.os, "getuid", lambda: temporary.stat().st_uid + 1)
    mine = temporary.with_name(temporary.name.replace(f"-{temporary.stat().st_uid}-", "-"))
    assert not jit.private(temporary)
    assert not mine.exists()


def test_without_any_folder_kernels_are_compiled_all_the_same(monkeypatch):
    monkeypatch.setattr(jit, "kept_in", lambda: None)

    def twice(x):
        return 2 * x

    assert jit.kernel(twice)(3) == 6


def test_a_full_disk_does_not_end_a_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(jit, "kept_in", lambda: tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for factor in (2, 3):
        times = jit.kernel(lambda x, factor=factor: factor * x)
        monkeypatch.setattr(times._cache._cache_file, "save", full)
        assert times(5) == 5 * factor
    said = capsys.readouterr().err
    assert said.startswith("note: compiled kernels cannot be kept (No space left on device): ")
    assert said.count("\n") == 1


def test_other_code_keeps_its_kernels_where_it_did(tmp_path):
    before = jit.numba.config.CACHE_DIR
    with jit.caching_in(tmp_path):
        assert str(tmp_path) == jit.numba.config.CACHE_DIR
    assert before == jit.numba.config.CACHE_DIR

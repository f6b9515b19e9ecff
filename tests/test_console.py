"""What a script writes to may be gone: it goes on, quietly, and its status tells."""

import io
import subprocess
import sys

import pytest

from minibp import console

SCRIPT = """
import os, sys
from minibp import console

def main():
    for k in range(int(sys.argv[1])):
        print("out", k, "→", flush=True)
        print("err", k, "→", file=sys.stderr, flush=True)
    open("record", "w").write("whole")
    return 7

sys.exit(console.run(main))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return f"{sys.executable} {path} 20000"


def shell(command, folder, **environment):
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "streams",
    ["| head -1", "2>&1 | head -1", "2>&1 >/dev/null | head -1", "2>&-", ">&-", "<&- >&- 2>&-"],
)
def test_nobody_reads_on(script, tmp_path, streams):
    done = shell(f"set -o pipefail; {script} {streams} >seen", tmp_path)
    assert done.returncode == 7
    assert (tmp_path / "record").read_text() == "whole"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in (tmp_path / "seen").read_text()


def test_letters_that_a_terminal_has_not(script, tmp_path):
    done = shell(f"PYTHONIOENCODING=ascii {script} | tail -1", tmp_path)
    assert done.stdout == "out 19999 ?\n"


def test_a_full_disk_is_told(script, tmp_path):
    done = shell(f"{script} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert "error: [Errno 28] No space left on device" in done.stderr


def test_the_streams_are_as_before(capsys, monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr("warnings.showwarning", None)
    assert console.run(lambda: print("hello") or 3) == 3
    assert (sys.stdout, sys.stderr) == (out, err)
    assert out.getvalue() == "hello\n"


def test_out_of_memory_is_one_line(capsys):
    def main():
        raise MemoryError("Unable to allocate 3.00 TiB")

    assert console.run(main) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: out of memory")
    assert "3.00 TiB" in error
    assert len(error.splitlines()) == 1


def test_a_note_is_told_if_there_is_one(capsys):
    console.tell("")
    console.tell("the CPU is used")
    assert capsys.readouterr().err == "note: the CPU is used\n"

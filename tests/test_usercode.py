"""Users' Python files: what is loaded, what is hashed, and how their errors are told."""

import shutil
import sys

import pytest

from minibp import usercode
from minibp.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    return write


def test_an_edited_file_is_loaded_anew_even_within_a_second(write):
    first = usercode.load(write("rule.py", "sign = +1"))
    second = usercode.load(write("rule.py", "sign = -1"))  # as many bytes
    assert (first.module.sign, second.module.sign) == (1, -1)
    assert first.sha256 != second.sha256


def test_the_same_text_has_one_checksum_wherever_it_lies(write):
    paths = write("one.py", "import helper"), write("two/other.py", "import helper")
    write("helper.py", "scale = 2")
    write("two/helper.py", "scale = 2")
    assert len({usercode.load(path).sha256 for path in paths}) == 1
    write("two/helper.py", "scale = 3")
    assert usercode.load(paths[0]).sha256 != usercode.load(paths[1]).sha256


def test_modules_beside_a_file_are_its_own(write):
    """Two files, in two folders, each with a helper, and one that is in a function only."""
    write("a/helper.py", "scale = 2")
    write("b/helper.py", "scale = 3")
    a = usercode.load(write("a/rule.py", "import helper\nscale = helper.scale"))
    b = usercode.load(write("b/rule.py", "from helper import scale"))
    assert (a.module.scale, b.module.scale) == (2, 3)
    assert "helper" not in sys.modules
    assert not [entry for entry in sys.path if entry.endswith(("/a", "/b"))]


def test_what_lies_beside_does_not_hide_what_is_installed(write):
    write("numpy.py", "1 / 0")
    write("math.py", "1 / 0")
    numpy = sys.modules["numpy"]
    module = usercode.load(write("rule.py", "import numpy\nimport math")).module
    assert module.numpy is numpy is sys.modules["numpy"]


def test_dataclasses_with_annotations_as_text_load(write):
    path = write(
        "rule.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass C:\n    a: float = 1.0\n",
    )
    assert usercode.load(path).module.C().a == 1.0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x = 1\nraise SystemExit(0)", r"rule.py:2: `raise SystemExit\(0\)` raised SystemExit"),
        ("import nothing_here", "rule.py:1: `import nothing_here` raised ModuleNotFoundError"),
        ("from . import foo", "ImportError"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_executed_is_an_error_with_its_line(write, text, match):
    path, before = write("rule.py", text), set(sys.modules)
    with pytest.raises(InputError, match=match):
        usercode.load(path)
    assert set(sys.modules) == before


def test_an_error_of_a_users_code_shows_the_users_own_line(write):
    path = write("rule.py", "import numpy as np\ndef f(x):\n    return np.reshape(x, (7, 7))\n")
    module = usercode.load(path).module
    line = r"rule R: .*rule.py:3: `return np.reshape\(x, \(7, 7\)\)`"
    with pytest.raises(InputError, match=line), usercode.named("rule R"):
        module.f([1, 2])


@pytest.mark.parametrize(
    ("files", "imports"),
    [
        (("pk/__init__.py", "pk/sub.py"), "from pk.sub import c"),
        (("pk/sub.py",), "from pk.sub import c"),
        (("pk/sub.py",), "from pk import sub; c = sub.c"),
        (("pk/__init__.py", "pk/sub.py"), "import pk.sub; c = pk.sub.c"),
        (("late.py",), "import importlib; c = importlib.import_module('late').c"),
    ],
)
def test_whatever_is_imported_from_beside_counts(tmp_path, files, imports):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    last = tmp_path / files[-1]
    last.write_text("c = 1")
    rule = tmp_path / "rule.py"
    rule.write_text(imports)
    before = usercode.load(rule)
    assert before.module.c == 1
    assert usercode.load(rule) is before
    last.write_text("c = 2")
    after = usercode.load(rule)
    assert after.module.c == 2
    assert after.sha256 != before.sha256
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path, elsewhere, ignore=shutil.ignore_patterns("elsewhere"))
    assert usercode.load(elsewhere / "rule.py").sha256 == after.sha256


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("import beside", "can be imported at the top of it"),
        ("from .beside import c", "leave out the dot"),
    ],
)
def test_an_import_that_is_not_found_is_explained(tmp_path, line, match):
    (tmp_path / "beside.py").write_text("c = 1")
    (tmp_path / "late.py").write_text(f"def f():\n    {line}\n")
    module = usercode.load(tmp_path / "late.py").module
    with pytest.raises(InputError, match=match), usercode.named("late"):
        module.f()

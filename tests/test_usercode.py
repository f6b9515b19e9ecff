"""Users' Python files: what is loaded, what is hashed, and how their errors are told."""

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

"""The README stays true: its code runs, and its commands are ones that the parsers take."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from minibp.feedback import get_rule
from minibp.rng import Streams

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language, text=TEXT):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def the_block_with(text):
    (block,) = [block for block in blocks("python") if text in block]
    return block


def test_the_example_in_python_runs(capsys):
    names = {}
    for begin, updates in (("train_step(net", 3), ("N = net.forward", 4), ("for row in", 0)):
        exec(compile(the_block_with(begin), "README.md", "exec"), names)
        assert names["net"].updates == updates
    assert "conv1 (100, 28, 28, 1) (100, 24, 24, 20)" in capsys.readouterr().out
    assert names["net"].layers[4].V.shape == names["net"].layers[4].W.shape


def test_the_rule_of_ones_own_works(tmp_path):
    path = tmp_path / "my_rules.py"
    path.write_text(the_block_with("class Noisy"), encoding="utf-8")
    rule = get_rule(f"{path}:Noisy")()
    W = np.ones((200, 50), "float32")
    V = rule.V(W, **rule.draw(W.shape, Streams(0)["feedback/fc1"].at(0)))
    assert V.dtype == W.dtype
    assert 0.09 < (V - W).std() < 0.11


def load_script(name):
    spec = importlib.util.spec_from_file_location(f"{name}_script", ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one_that_its_script_takes(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    (tmp_path / "my_rules.py").write_text(the_block_with("class Noisy"), encoding="utf-8")
    for block in blocks("python", (ROOT / page).read_text(encoding="utf-8")):
        if named := re.match(r"# (\w+\.py)\n", block):
            (tmp_path / named[1]).write_text(block, encoding="utf-8")
    for block in blocks("sh", (ROOT / page).read_text(encoding="utf-8")):
        for line in block.splitlines():
            found = re.search(r"python scripts/(\w+)\.py(.*)", line)
            words = shlex.split(found[2], comments=True) if found else ["--help"]
            if words == ["--help"] or "$" in line:  # a variable of a loop
                continue
            script = load_script(found[1])
            args = script.build_parser().parse_args([w for w in words if w != "…"])
            if found[1] == "train":
                script.settings_of(args)
                script.experiment_of(args, args.network or "mnist")
            if found[1] == "sweep":
                script.conditions_of(args), script.sources_of(args)


def test_the_readme_has_commands():
    assert sum("python scripts/" in line for line in "".join(blocks("sh")).splitlines()) > 15


def test_every_picture_is_there():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (ROOT / path).is_file(), path

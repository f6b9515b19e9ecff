"""The README stays true: its code runs, and its commands are ones that the parsers take."""

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np

from minibp.feedback import get_rule
from minibp.rng import Streams

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def the_block_with(text):
    (block,) = [block for block in blocks("python") if text in block]
    return block


def test_the_example_in_python_runs(capsys):
    names = {}
    exec(compile(the_block_with("softmax_cross_entropy"), "README.md", "exec"), names)
    assert "conv1 (100, 28, 28, 1) (100, 24, 24, 20)" in capsys.readouterr().out
    assert names["net"].updates == 1
    assert names["net"].layers[4].V.shape == names["net"].layers[4].W.shape


def test_the_rule_of_ones_own_works(tmp_path):
    path = tmp_path / "my_rules.py"
    path.write_text(the_block_with("class Noisy"), encoding="utf-8")
    rule = get_rule(f"{path}:Noisy")()
    W = np.ones((200, 50), "float32")
    V = rule.V(W, **rule.draw(W.shape, Streams(0)["feedback/fc1"].at(0)))
    assert V.dtype == W.dtype
    assert 0.09 < (V - W).std() < 0.11


def test_every_command_is_one_that_the_script_takes(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("train_script", ROOT / "scripts" / "train.py")
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_rules.py").write_text(the_block_with("class Noisy"), encoding="utf-8")
    lines = [
        line for block in blocks("sh") for line in block.splitlines() if "scripts/train.py" in line
    ]
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line.partition("scripts/train.py")[2], comments=True)
        if words != ["--help"]:
            args = train.build_parser().parse_args(words)
            train.settings_of(args)
            train.experiment_of(args, args.network or "mnist")


def test_every_picture_is_there():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (ROOT / path).is_file(), path

"""The documentation stays true: its examples run, its lines are where it says, the site builds."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOW_TO = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT / "scripts"))
from dev import paper_map  # noqa: E402


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_every_line_of_the_paper_map_is_where_it_says():
    text = paper_map.PAGE.read_text(encoding="utf-8")
    assert len(paper_map.ROW.findall(text)) > 40
    assert paper_map.with_lines(text) == text, "run python scripts/dev/paper_map.py"


def test_a_line_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"0 lines"):
        paper_map.with_lines("| `minibp/optim.py:3` | `tau = magic()` |")
    moved = "| `minibp/ops/plain/linear.py:1` | `return dN @ V.T` |"
    assert paper_map.with_lines(moved) != moved


@pytest.mark.parametrize("section", HOW_TO.split("\n## ")[1:], ids=lambda text: text.split("\n")[0])
def test_a_worked_example_runs(section, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names = {"folder": tmp_path / "runs"}
    for code in blocks(section):
        named = re.match(r"# (\w+\.py)\n", code)
        if named:
            (tmp_path / named[1]).write_text(code, encoding="utf-8")
        else:
            exec(compile(code, "howto.md", "exec"), names)
    out = capsys.readouterr().out
    if "a layer" in section[:20]:
        assert out.count("all agree") == 3
    if "coin.py" in section:
        from minibp import Condition, build_network, get_device

        condition = Condition.parse(f"{tmp_path / 'coin.py'}:Coin+BN")
        net = build_network("mnist", 10, condition, get_device("cpu"))
        assert {round(float(v), 6) for v in abs(net.weighted[1].V).ravel()} == {0.2, 0.8}
    if "whose V learns" in section[:60]:
        assert re.search(r"ok   fc2 +V ", out)
        assert "all agree" in out
        from minibp import Condition

        rule = Condition(f"{tmp_path / 'forgetful.py'}:Forgetful(loss=0.01)").rule()
        assert rule.loss == 0.01
    if "an update" in section[:20]:
        from minibp import Condition

        (plugin,) = Condition.parse(f"{tmp_path / 'clipped.py'}:Clipped(most=0.1)").plugins()
        assert plugin.most == 0.1
    if "a network" in section[:20]:
        assert "block1/conv2" in out
    if "Use what" in section[:20]:
        assert out.splitlines()[-1] == "True"
    if "a data set" in section[:20]:
        assert float(out) < 50  # of three classes
    if "a condition" in section[:20]:
        assert out == "0.1 True 3 top\n"


def test_the_quick_start_in_python_runs(capsys):
    (code,) = [c for c in blocks((ROOT / "docs" / "index.md").read_text("utf-8")) if "import" in c]
    exec(compile(code, "index.md", "exec"), {})
    losses = [float(line) for line in capsys.readouterr().out.split()]
    assert len(losses) == 3
    assert losses[2] < losses[0]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("sphinx"), reason="needs the extra docs")
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run(
        [*command, "docs", str(tmp_path / "site")], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")

    def page(name):
        return (tmp_path / "site" / f"{name}.html").read_text(encoding="utf-8")

    assert "Send dN = ∂E/∂N down through every V" in page("api/engine")
    assert "--rate-factors" in page("commands")
    assert "What to keep" in page("notebooks/1_one_neuron")

import pytest
from small_sweeps import RULE, Cut, experiment

from minibp import Condition
from minibp.errors import InputError
from minibp.experiments.identity import differences
from minibp.experiments.sweep import run_experiment
from minibp.study.recipe import paper_experiment


def test_a_rule_is_what_its_text_is(toy, tmp_path):
    rule, moved, out = tmp_path / "rule.py", tmp_path / "elsewhere.py", tmp_path / "out"
    rule.write_text(RULE + "+W")
    head = f"{rule}:R"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment(head), toy, out, listener=Cut(3))
    moved.write_text(RULE + "+W")
    run_experiment(experiment(f"{moved}:R"), toy, out, resume=True)
    rule.write_text(RULE + "-W")
    with pytest.raises(
        InputError, match=r"rule's text was .*elsewhere\.py of SHA-256 .*, now .*rule"
    ):
        run_experiment(experiment(head), toy, out, resume=True)


@pytest.mark.parametrize(("rule", "network"), [("net.py", "my_net.py"), ("b.py", "nets/b.py")])
def test_a_path_within_another_is_not_taken_for_it(tmp_path, monkeypatch, rule, network):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / rule).write_text(RULE + "+W")

    def identity(text):
        (tmp_path / network).write_text(f"def small(net, classes):\n    {text}\n")
        head, place = Condition.parse(f"{rule}:R"), f"{network}:small"
        return paper_experiment("toy", place, head, epochs=1).identity()

    before, now = (identity(f"net.output(classes, init={init})") for init in (1, 2))
    (change,) = differences(before, now, {})
    assert "the network's text was" in change


def test_a_record_from_before_the_texts_were_kept_is_of_the_same_rule(toy, tmp_path):
    rule = tmp_path / "rule.py"
    rule.write_text(RULE + "+W")
    now = experiment(f"{rule}:R").identity()
    before = {name: value for name, value in now.items() if name != "files"}
    assert not differences(before, now, {})
    assert differences(before | {"condition": "BN"}, now, {})

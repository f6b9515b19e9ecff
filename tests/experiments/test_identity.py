import pytest
from small_sweeps import RULE, Cut, experiment

from minibp.errors import InputError
from minibp.experiments.identity import differences
from minibp.experiments.sweep import run_experiment


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


def test_a_record_from_before_the_texts_were_kept_is_of_the_same_rule(toy, tmp_path):
    rule = tmp_path / "rule.py"
    rule.write_text(RULE + "+W")
    now = experiment(f"{rule}:R").identity()
    before = {name: value for name, value in now.items() if name != "files"}
    assert not differences(before, now, {})
    assert differences(before | {"condition": "BN"}, now, {})

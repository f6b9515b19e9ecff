"""The command line, as a user meets it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from minibp import Condition
from minibp.files import read_json

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "train.py"
LAST_LINE = re.compile(r"best error: \d+\.\d\d % \(rate factor [\d.e+-]+, epoch \d+\)")
QUICK = ["--epochs", "1", "--train-limit", "60", "--rate-factors", "1", "--set", "bn_batches=2"]

spec = importlib.util.spec_from_file_location("train_script", SCRIPT)
train = importlib.util.module_from_spec(spec)
spec.loader.exec_module(train)


def parse(*argv):
    return train.build_parser().parse_args(argv)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command line in an empty folder; return status, output and error output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)  # main sets it; put it back afterwards

    def call(*argv):
        status = train.main([*map(str, argv)])
        return status, *capsys.readouterr()

    return call


def test_the_main_job_in_small(run, tmp_path):
    status, out, err = run("--feedback", "frSF", "--bn", "--bm", *QUICK)
    assert status == 0, err
    assert LAST_LINE.fullmatch(out.splitlines()[-1])
    assert "rate factor     rate  batch size  best error  at epoch  diverged" in out
    folder = tmp_path / "runs" / "digits-frSF+BN+BM-seed0"
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "experiment.json",
        "curves.png",
        "preparation.h5",
        "rate-1",
    }
    assert read_json(folder / "run.json")["settings"]["epochs"] == 1


def test_quiet_prints_the_last_line_only(run):
    status, out, err = run("--condition", "RndF Top", "--quiet", *QUICK)
    assert (status, err) == (0, "")
    assert LAST_LINE.fullmatch(out.strip())


def test_the_same_command_twice_keeps_both(run, tmp_path):
    run("--quiet", *QUICK)
    assert run("--quiet", *QUICK)[0] == 0
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert folders == ["digits-SGD-seed0", "digits-SGD-seed0-2"]
    status, out, _ = run("--resume", *QUICK)  # the newest of the two, which is finished
    assert status == 0
    assert "digits-SGD-seed0" in out
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == folders


def test_as_a_process_from_another_folder(tmp_path):
    command = [sys.executable, SCRIPT, "--quiet", "--out", tmp_path / "out", *QUICK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert LAST_LINE.fullmatch(done.stdout.strip())
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("flags", "head"),
    [
        ("", "SGD"),
        ("--bm", "BM"),
        ("--bn --bm", "BN+BM"),
        ("--bn --bn-affine off", "BN(plain)"),
        ("--feedback uSF --bn --bm 3", "uSF+BN+BM3"),
        ("--feedback uSF --bn --bn-affine on", "uSF+BN(affine)"),
        ("--feedback frSF --p 0.25 --bn --bm 2 --freeze bottom", "frSF-25+BN+BM2 Bottom"),
        ("--feedback brSF --p 0", "brSF"),
        ("--feedback RndF --freeze top", "RndF Top"),
    ],
)
def test_flags_and_heads_build_the_same_record(flags, head):
    by_flags = train.condition_of(parse(*flags.split()))
    assert by_flags == train.condition_of(parse("--condition", head)) == Condition.parse(head)


def test_flags_that_agree_with_the_head_are_fine():
    args = parse("--condition", "uSF+BN+BM", "--bn", "--feedback", "uSF")
    assert train.condition_of(args) == Condition.parse("uSF+BN+BM")
    args = parse("--condition", "uSF+BN+BM", "--bn-affine", "auto")
    assert train.condition_of(args) == Condition.parse("uSF+BN+BM")


def test_every_setting_can_be_set():
    args = parse("--weight-decay", "0", "--gradient", "sum", "--set", "bn_eps=1e-3", "--init", "he")
    settings = train.settings_of(args)
    assert (settings.weight_decay, settings.gradient) == (0, "sum")
    assert (settings.bn_eps, settings.init) == (1e-3, "he")


def test_each_help_text_of_the_learning_flags_names_the_section():
    for action in train.build_parser()._actions:
        assert action.help
        if action.dest in ("feedback", "p", "bn", "bm", "freeze", "epochs", "momentum", "network"):
            assert re.search(r"Sec\. \d|Table 1|Eq\. 3", action.help), action.dest


def save(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "X_train": rng.integers(0, 256, (30, 28, 28), dtype="uint8"),
        "y_train": np.arange(30) % 3,
        "X_test": rng.integers(0, 256, (9, 28, 28), dtype="uint8"),
        "y_test": np.arange(9) % 3,
    }
    np.savez(path, **arrays | changes)
    return path


def test_a_users_own_data(run, tmp_path):
    path = save(tmp_path / "mine.npz")
    status, out, err = run("--dataset", path, "--epochs", 1, "--rate-factors", 1)
    assert status == 0, err
    assert "mine.npz" in out


def test_a_users_own_rule(run, tmp_path):
    (tmp_path / "my_rules.py").write_text(
        "from minibp.feedback import FeedbackRule\n"
        "class Half(FeedbackRule):\n"
        "    def V(self, W):\n        return W / 2\n"
    )
    status, _, err = run("--feedback", "my_rules.py:Half", "--bn", "--out", "out", *QUICK)
    assert status == 0, err
    record = read_json(tmp_path / "out" / "run.json")
    assert record["condition"] == "my_rules.py:Half+BN"


def test_divergence_is_a_result(run, tmp_path):
    flags = ["--rate-factors", "1e12", "--epochs", "3", "--train-limit", "200"]
    status, out, err = run("--condition", "uSF", "--out", "out", *flags)
    assert (status, err) == (0, "")
    assert "in epoch 1" in out
    record = read_json(tmp_path / "out" / "run.json")
    assert record["best_error"] == pytest.approx(90, abs=0.6)
    json.dumps(record, allow_nan=False)


BAD = {
    "unknown rule": (["--feedback", "frfs"], "did you mean 'frSF'"),
    "unknown data set": (["--dataset", "minst"], "did you mean 'mnist'"),
    "unknown network": (["--network", "lenet"], "unknown network 'lenet'"),
    "p above 1": (["--feedback", "brSF", "--p", "1.5"], "p=1.5: expected a probability"),
    "p below 0": (["--feedback", "brSF", "--p", "-0.1"], "p=-0.1"),
    "p without a rule": (["--p", "0.5"], "--p needs a rule"),
    "p for a rule without p": (["--feedback", "uSF", "--p", "0"], "no flip probability"),
    "batch size 0": (["--batch-size", "0"], "batch size 0"),
    "negative rate": (["--base-rate", "-1"], "rate -1"),
    "negative factor": (["--rate-factors", "-1"], "rate factors"),
    "negative seed": (["--seed", "-1"], "seed -1"),
    "no epochs": (["--epochs", "0"], "epochs 0"),
    "contradiction": (["--condition", "uSF", "--bn"], "contradicts --bn"),
    "another rule": (["--condition", "uSF", "--feedback", "RndF"], "contradicts --feedback"),
    "affine without BN": (["--bn-affine", "on"], "needs"),
    "affine auto without BN": (["--bn-affine", "auto"], "needs --bn"),
    "bad head": (["--condition", "uSF+BM+BN"], "cannot read condition"),
    "bad setting": (["--set", "bn_esp=1"], "did you mean 'bn_eps'"),
    "setting without a value": (["--set", "bn_eps"], "NAME=VALUE"),
    "two values": (["--momentum", "0.5", "--set", "momentum=0.9"], "contradicts --momentum"),
    "bad init": (["--init", "huge"], "init='huge'"),
    "unreadable data dir": (["--dataset", "mnist", "--data-dir", "/nowhere"], "/nowhere"),
    "data dir without MNIST": (["--dataset", "mnist", "--data-dir", "."], "has no train-images"),
    "unverified without a place": (["--unverified", "cifar10-x"], "with --data-dir"),
    "unverified original": (["--unverified", "x", "--data-dir", "."], "the original's name"),
    "two data sets": (["--dataset", "mnist", "--unverified", "mnist-x"], "instead of --dataset"),
    "data dir for digits": (["--data-dir", "."], "is embedded"),
    "wrong network": (["--network", "cifar"], "network 'cifar' takes"),
    "no such file": (["--dataset", "none.npz"], "cannot read none.npz"),
    "no such rule file": (["--feedback", "none.py:Rule"], "no file"),
    "bad device": (["--device", "tpu"], "unknown device 'tpu'"),
    "bad dtype": (["--dtype", "float16"], "dtype 'float16'"),
    "limit too large": (["--train-limit", "9999"], "train limit 9999"),
    "holdout of all": (["--holdout", "1"], "holdout 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(run, tmp_path, name):
    flags, message = BAD[name]
    status, out, err = run(*flags)
    assert status == 2
    assert err.startswith("error: ")
    assert message in err
    assert out == ""
    assert not (tmp_path / "runs").exists()  # nothing was begun


@pytest.mark.parametrize("flags", [["--bm", "4"], ["--freeze", "middle"], ["--epoch", "3"]])
def test_argparse_refuses_with_the_same_status(run, flags):
    with pytest.raises(SystemExit) as exit:
        run(*flags)
    assert exit.value.code == 2


BAD_DATA = {
    "NaN": ({"X_train": np.full((30, 28, 28), np.nan)}, "NaN or infinite"),
    "empty": ({"X_test": np.zeros((0, 28, 28)), "y_test": np.zeros(0, int)}, "is empty"),
    "empty training set": ({"y_train": np.zeros(0, int)}, "y_train is empty"),
    "labels below 0": ({"y_train": np.arange(30) % 3 - 1}, "label -1 of sample 0 is out of range"),
    "labels above the outputs": ({"y_test": np.arange(9)}, "with 3 classes"),
    "more classes than outputs": ({"classes": 2}, "label 2 of sample 2 is out of range"),
    "odd shapes": (
        {"X_train": np.zeros((30, 9, 9)), "X_test": np.zeros((9, 9, 9))},
        "they take (28, 28, 1) (mnist)",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(run, tmp_path, name):
    changes, message = BAD_DATA[name]
    status, _, err = run("--dataset", save(tmp_path / "mine.npz", **changes))
    assert status == 2
    assert message in err


def test_a_folder_with_another_experiment(run):
    run("--out", "out", "--quiet", *QUICK)
    status, _, err = run("--out", "out", "--resume", *QUICK, "--bn")
    assert status == 2
    assert "condition was 'SGD', now 'BN'" in err


def test_ctrl_c_says_how_to_go_on(run, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.Progress, "step", interrupt)
        status, out, _ = run("--out", "out", *QUICK)
    assert status == 130
    assert "--out out --resume" in out
    assert run("--out", "out", "--resume", *QUICK)[0] == 0


def test_a_full_disk_says_how_to_go_on(run, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        status, _, err = run("--out", "out", *QUICK)
    assert status == 1
    assert "No space left on device" in err
    assert "--resume" in err


def test_no_backend_for_windows_is_needed():
    code = "from minibp.experiments import plots\nimport os\nprint(os.environ['MPLBACKEND'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MPLBACKEND": "nonsense"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("nonsense\n", "")


def test_an_edited_network_is_not_begun_anew_without_a_word(run, tmp_path):
    path = tmp_path / "net.py"
    flags = ["--network", "net.py:f", *QUICK]
    path.write_text("def f(net, classes):\n    net.output(classes)\n")
    assert run(*flags)[0] == 0
    path.write_text("def f(net, classes):\n    net.output(classes, init=1)\n")
    status, _, err = run(*flags, "--resume")
    assert status == 2
    assert "the network's text was" in err
    assert "leave out --resume" in err
    assert run(*flags)[0] == 0


def test_nothing_to_resume_is_told(run):
    status, _, err = run("--quiet", "--resume", *QUICK)
    assert status == 0
    assert "note: nothing to resume in runs/digits-SGD-seed0" in err


@pytest.mark.parametrize(
    ("number", "words"), [(28, "when there is room again"), (13, "once that is mended")]
)
def test_advice_fits_the_error(run, monkeypatch, number, words):
    def broken(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(train, "run_experiment", broken)
    status, _, err = run("--out", "out", *QUICK)
    assert status == 1
    assert f"{os.strerror(number)}. What was finished is kept; {words}, go on" in err


def test_a_link_to_nothing_is_no_folder(run, tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    status, _, err = run("--out", "link", *QUICK)
    assert status == 2
    assert "the output folder link is a link to nothing" in err


@pytest.mark.parametrize(
    ("text", "folder"), [("{", "digits-SGD-seed0"), ("[]", "digits-SGD-seed0")]
)
def test_resuming_without_out_where_the_record_is_damaged_or_foreign(run, tmp_path, text, folder):
    run("--quiet", *QUICK)
    (tmp_path / "runs" / "digits-SGD-seed0" / "run.json").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run("--quiet", "--resume", *QUICK)
    assert status == 0, err
    assert read_json(tmp_path / "runs" / folder / "run.json")["finished"]

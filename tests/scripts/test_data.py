"""scripts/data.py from the outside."""

import importlib.util
import io
from pathlib import Path

import miniatures
import numpy as np
import pytest
from minibp_datasets import registry
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("data_script", ROOT / "scripts" / "data.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def call(*words):
        status = script.main([*map(str, words)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "originals").mkdir()
    return tmp_path / "originals"


def test_list_has_all_fifteen_with_terms_and_origin(run):
    status, out, _ = run("list")
    assert status == 0
    for name in registry.MODULES:
        about = registry.about(name)
        row = next(line for line in out.splitlines() if line.split()[:1] == [name])
        assert [str(n) for n in (about.classes, about.train or "?", about.test)] == row.split()[1:4]
        assert f"{about.terms}; {about.origin}" in out
        assert ("by hand" in row) == bool(about.by_hand)
        assert ("unverified" in row) == (not about.verifiable)


def test_fetch_show_verify(run, folder, monkeypatch, tmp_path):
    miniatures.make("svhn", folder, monkeypatch)
    status, out, _ = run("verify", "svhn", "--data-dir", folder)
    assert status == 0
    assert out.count("the original (md5:") == 2
    assert "cache: not built" in out
    status, out, err = run("fetch", "svhn", "--data-dir", folder, "--quiet")
    assert (status, err) == (0, "")
    assert "svhn: 20 training and 10 test samples of 32x32x3, 10 classes" in out
    assert "whole; 20 + 10 samples" in run("verify", "svhn", "--data-dir", folder)[1]
    status, out, _ = run("show", "svhn", "--data-dir", folder, "--part", "test", "--quiet")
    assert (status, out) == (0, "svhn-test.png\n")
    with Image.open(tmp_path / "svhn-test.png") as picture:
        assert picture.size[0] > 500
    assert "built" in next(line for line in run("list")[1].splitlines() if "svhn" in line)


def test_verify_says_what_is_missing_and_wrong(run, folder, monkeypatch):
    miniatures.make("svhn", folder, monkeypatch)
    (folder / "train_32x32.mat").write_bytes(b"other")
    (folder / "test_32x32.mat").unlink()
    status, out, _ = run("verify", "svhn", "--data-dir", folder)
    assert status == 1
    assert "train_32x32.mat: not the published file" in out
    assert "test_32x32.mat: missing" in out
    status, out, _ = run("verify", "timit80")
    assert status == 1
    assert "Linguistic Data Consortium" in out


def test_fetch_by_hand_is_an_error_that_says_what_to_do(run):
    status, out, err = run("fetch", "timit80")
    assert (status, out) == (2, "")
    for word in ("error: TIMIT-80", "LDC93S1", "TRAIN and TEST", "downloads/timit80", "--data-dir"):
        assert word in err


def test_a_copy_under_its_own_name(run, folder):
    (folder / "some.bin").write_bytes(miniatures.records([*range(10)] * 5))
    status, out, _ = run(
        "fetch", "cifar10-mine", "--unverified", "--data-dir", folder / "some.bin", "--quiet"
    )
    assert status == 0
    assert "cifar10-mine: 40 training and 10 test samples" in out
    assert "an unverified copy or part of CIFAR-10; 50 records without a test batch" in out


def test_sheets_of_every_shape(run, tmp_path):
    for network in ("mnist", "cifar", "timit"):
        for classes in (3, 25):
            name = f"synthetic:{network},classes={classes},train=50,test=25"
            status, out, _ = run("show", name, "-o", "x.png")
            assert (status, out) == (0, "x.png\n")
            picture = np.asarray(Image.open(io.BytesIO((tmp_path / "x.png").read_bytes())))
            assert picture.std() > 10


def test_unknown_names(run):
    for command in ("fetch", "verify", "show"):
        status, _, err = run(command, "cifar")
        assert status == 2
        assert "did you mean 'cifar10'" in err

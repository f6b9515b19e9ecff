"""scripts/data.py from the outside."""

import importlib.util
import io
import itertools
import tarfile
from pathlib import Path

import miniatures
import numpy as np
import pytest
from minibp_datasets import registry
from PIL import Image

from minibp.training.data import Data

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIBP_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)  # main sets it; put it back afterwards
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
    for network, classes in (("mnist", 25), ("cifar", 3), ("timit", 3)):
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


@pytest.mark.parametrize("name", ["flowers17", "indoor67"])
def test_verify_and_fetch_agree_on_what_is_unpacked(run, folder, monkeypatch, name):
    miniatures.make(name, folder, monkeypatch)
    path = folder / registry.about(name).files[0].name
    with tarfile.open(path) as file:
        file.extractall(folder, filter="data")
    path.unlink()
    assert run("fetch", name, "--data-dir", folder, "--quiet")[0] == 0
    status, out, _ = run("verify", name, "--data-dir", folder)
    assert status == 0
    assert f"{folder}: taken for what is in {path.name}; not verified" in out
    assert "readable: " in out
    assert "missing" not in out


def test_verify_says_of_another_form_what_fetch_says(run, folder, monkeypatch):
    miniatures.make("lfw-id", folder, monkeypatch)
    with tarfile.open(folder / "lfw.tgz") as file:
        file.extractall(folder, filter="data")
    (folder / "lfw.tgz").unlink()
    words = "--unverified lfw-id-mycopy instead of --dataset lfw-id"
    status, _, err = run("fetch", "lfw-id", "--data-dir", folder / "lfw")
    assert (status, words in err) == (2, True)
    status, out, _ = run("verify", "lfw-id", "--data-dir", folder / "lfw")
    assert (status, words in out) == (1, True)
    status, out, _ = run(
        "verify", "lfw-id-x", "--unverified", "--data-dir", folder / "lfw", "--quiet"
    )
    assert status == 0


def test_long_names_do_not_meet_on_a_sheet(monkeypatch):
    from matplotlib.figure import Figure
    from minibp_datasets import sheet

    drawn = []
    save = Figure.savefig

    def look(figure, *args, **options):
        save(figure, *args, **options)
        for row in np.reshape(figure.axes, (-1, 10)):
            boxes = [axes._left_title.get_window_extent() for axes in row]
            drawn.extend(a.x1 < b.x0 for a, b in itertools.pairwise(boxes) if a.width and b.width)

    monkeypatch.setattr(Figure, "savefig", look)
    X, y = np.full((30, 8, 8, 3), 99, np.uint8), np.arange(30)
    names = tuple(f"the {k}th of the yellow-breasted Woodpeckers" for k in y)
    sheet.contact_sheet(Data("birds", X, y, X, y, classes=30, class_names=names))
    assert len(drawn) == 27
    assert all(drawn)


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line(run, folder):
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for k in range(3):
            (folder / name / f"{k}.png").write_bytes(miniatures.image(90, format="PNG"))
    (folder / "empty").mkdir()
    status, out, err = run("fetch", f"folder:{folder}", "--quiet")
    words = "1 folder without an image that can be read left out: empty"
    assert (status, err) == (0, f"warning: data set 'folder:{folder}': {words}.\n")
    assert words in out

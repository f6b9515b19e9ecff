"""scripts/predict.py: from a run to the classes of images and arrays."""

import csv
import re
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from minibp.files import read_json

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import predict
import train

LAST_LINE = re.compile(r"error rate: (\d+\.\d\d) % \((\d+) of (\d+) samples.*\)")


def main(script, *arguments):
    assert script.main([str(word) for word in arguments]) == 0


@pytest.fixture
def out(capsys):
    """Return what predict.py prints, by lines; on an error its status and text."""

    def call(*arguments):
        capsys.readouterr()
        status = predict.main([str(word) for word in arguments])
        found = capsys.readouterr()
        return found.out.splitlines() if status == 0 else (status, found.err)

    return call


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "run"
    quick = "--train-limit 200 --epochs 2 --rate-factors 1 10 --threads 1 --quiet".split()
    main(train, "--condition", "frSF+BN+BM", *quick, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A run on a folder of images of two colours, and the folder."""
    folder, rng = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 6)):
        for name, colour in (("red cat", (200, 40, 40)), ("blue dog", (40, 40, 200))):
            place = folder / "images" / part / name
            place.mkdir(parents=True)
            for k in range(count):
                noise = rng.integers(-30, 30, (40, 36, 3))
                Image.fromarray((noise + colour).astype("uint8")).save(place / f"{k}.png")
    data = ["--dataset", f"folder:{folder / 'images'}", "--network", "svhn"]
    quick = "--epochs 1 --batch-size 10 --rate-factors 1 --threads 1 --quiet".split()
    main(train, *data, "--bn", *quick, "--out", folder / "run")
    return folder / "run", folder / "images"


def test_the_error_on_the_test_set_is_the_records(digits, out, tmp_path):
    best = read_json(digits / "run.json")["best_error"]
    lines = out(digits, "--threads", 1, "--csv", tmp_path / "all.csv")
    assert f"the record says {best:.2f} %" in lines[0]
    error, wrong, samples = LAST_LINE.fullmatch(lines[-1]).groups()
    assert (error, samples) == (f"{best:.2f}", "360")
    assert 100 * int(wrong) / 360 == best
    with open(tmp_path / "all.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 360
    assert sum(row["class"] != row["true class"] for row in rows) == int(wrong)
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)
    assert out(digits, "--threads", 1, "--quiet") == lines[-1:]


def test_one_rate_and_the_last_weights(digits, out):
    record = read_json(digits / "rate-1" / "run.json")
    for weights, error in (
        ("best", record["best_error"]),
        ("last", record["history"][-1]["error"]),
    ):
        lines = out(digits / "rate-1", "--threads", 1, "--weights", weights)
        assert LAST_LINE.fullmatch(lines[-1])[1] == f"{error:.2f}"


def test_images_in_class_folders_are_those_of_the_data_set(pets, out):
    run, images = pets
    lines, own = out(run, images / "test", "--threads", 1), out(run, "--threads", 1)
    assert len(lines) == 12 + 2
    assert lines[-1] == own[-1]
    assert lines[0].startswith(f"{images / 'test' / 'blue dog' / '0.png'}: ")


def test_single_images_elsewhere_have_no_known_class(pets, out, tmp_path):
    run, images = pets
    file = shutil.copy(images / "test" / "red cat" / "3.png", tmp_path)
    lines = out(run, file, file, "--top", 2)
    assert re.fullmatch(re.escape(f"{file}: ") + r"[a-z ]+ \d+\.\d %, [a-z ]+ \d+\.\d %", lines[0])
    assert lines[-1] == "2 samples, of unknown classes"


def test_photographs_are_turned_upright(pets, out, tmp_path):
    run, images = pets
    picture = Image.open(images / "test" / "red cat" / "3.png")
    for name, turned, orientation in (
        ("as_it_is", picture, 1),
        ("lying", picture.rotate(90, expand=True), 6),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned.save(tmp_path / f"{name}.png", exif=exif)
    one, other = (line.split(": ")[1] for line in out(run, tmp_path)[:2])
    assert one == other


def test_arrays(digits, out, tmp_path, rng):
    X, y = rng.integers(0, 255, (5, 28, 28)).astype("uint8"), np.arange(5)
    np.savez(tmp_path / "a.npz", X=X)
    np.savez(tmp_path / "b.npz", X_test=X, y_test=y, X_train=X)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["X"], file["y"] = X, y
    a, b, c = (out(digits, tmp_path / name) for name in ("a.npz", "b.npz", "c.h5"))
    classes = [[line.split(": ")[1].split()[0] for line in lines[:5]] for lines in (a, b, c)]
    assert classes[0] == classes[1] == classes[2]
    assert a[-1] == "5 samples, of unknown classes"
    wrong = sum(int(found) != k for k, found in enumerate(classes[0]))
    assert b[-1] == c[-1] == f"error rate: {20 * wrong:.2f} % ({wrong} of 5 samples)"


def test_errors(digits, pets, out, tmp_path):
    np.savez(tmp_path / "vectors.npz", X=np.zeros((3, 64)))
    np.savez(tmp_path / "none.npz", y=np.arange(3))
    np.savez(tmp_path / "labels.npz", X=np.zeros((3, 28, 28), "uint8"), y=np.array([0, 1, 10]))
    (tmp_path / "broken.png").write_bytes(b"not an image")
    (tmp_path / "empty").mkdir()
    for given, message in (
        (["nowhere"], "nowhere does not exist"),
        ([tmp_path / "vectors.npz"], r"X has shape \(3, 64\): expected \(B, 28, 28, 1\)"),
        ([tmp_path / "none.npz"], "lacks X or X_test: it has y"),
        ([tmp_path / "labels.npz"], "label 10 of sample 2 is out of range"),
        ([tmp_path / "broken.png"], r"broken\.png: not a whole image"),
        ([tmp_path / "empty"], "has no images"),
        (["--top", 0], "expected 1 or more"),
        (["--weights", "honest"], "without --holdout"),
        (["--csv", tmp_path], "is a folder: expected the name of a file"),
        (["--csv", tmp_path / "no" / "x.csv"], "there is no folder"),
    ):
        status, text = out(digits, *given)
        assert status == 2
        assert text.startswith("error: ")
        assert re.search(message, text)
    status, text = out(tmp_path)
    assert (status, "has no run.json" in text) == (2, True)


def test_classes_are_known_from_the_folder_above_too(pets, out):
    run, images = pets
    one = next((images / "test" / "red cat").iterdir())
    for given in (one, images / "test" / "red cat"):
        assert re.match(r"error rate: 0\.00 % \(0 of \d+ samples", out(run, given)[-1])


def test_an_image_that_cannot_be_read_does_not_lose_the_others(pets, out, tmp_path, capsys):
    run, images = pets
    shutil.copytree(images / "test", tmp_path / "some")
    (tmp_path / "some" / "red cat" / "broken.png").write_bytes(b"no image")
    status, text = out(run, tmp_path / "some", "--csv", tmp_path / "c.csv")
    assert (status, "some: " in text, "broken.png: not a whole image" in text) == (2, True, True)
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 13


def test_a_users_network_on_a_folder_of_images(pets, out, tmp_path):
    path = tmp_path / "net.py"
    code = "def tiny(net, classes):\n    net.conv(3, 4, stride=8)\n    net.output(classes)\n"
    path.write_text(code)
    data = ["--dataset", f"folder:{pets[1]}", "--network", f"{path}:tiny"]
    quick = "--epochs 1 --batch-size 10 --rate-factors 1 --threads 1 --quiet".split()
    main(train, *data, *quick, "--out", tmp_path / "run")
    lines = out(tmp_path / "run")
    assert LAST_LINE.match(lines[-1])[1] in lines[-2]


def test_a_test_set_that_has_changed(pets, out):
    run, images = pets
    new = images / "test" / "red cat" / "new.png"
    Image.new("RGB", (32, 32)).save(new)
    try:
        status, text = out(run)
    finally:
        new.unlink()
    assert status == 2
    assert "is not what the run had" in text

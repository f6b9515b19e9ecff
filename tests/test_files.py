"""Names of folders are one to one with what they hold; files are whole or not there."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.files import LONGEST, folder_name, read_json, write_json

texts = st.text(st.sampled_from("aB1_ /:.+é-"), min_size=1, max_size=8)


@given(texts | st.text(min_size=1), texts | st.text(min_size=1))
def test_no_two_texts_have_one_name(a, b):
    assert (folder_name(a) == folder_name(b)) == (a == b)


@given(st.text(min_size=1) | st.text("é/", min_size=200, max_size=300))
def test_every_name_is_one_of_a_file(text):
    name = folder_name(text)
    assert 0 < len(os.fsencode(name)) <= LONGEST + 9
    assert not set(name) & {"/", "\0", " "}
    assert name not in (".", "..")


def test_the_papers_names_stay_as_they_were():
    for text, name in {
        "SGD": "SGD",
        "frSF-25+BN(affine)+BM2 Bottom": "frSF-25+BN(affine)+BM2_Bottom",
        "caltech256-101": "caltech256-101",
    }.items():
        assert folder_name(text) == name


def test_json_is_strict_and_written_at_once(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"error": 1.5, "loss": None})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == {"error": 1.5, "loss": None}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]

import numpy as np
import pytest

from minibp import checkpoint
from minibp.errors import DamagedFileError


@pytest.fixture
def state():
    arrays = {
        "parameters/conv1/W": np.arange(600, dtype="float32").reshape(20, 30),
        "parameters/conv1/b": np.zeros(3),
    }
    return arrays, {"updates": 7, "history": [{"loss": 0.1 + 0.2, "error": None}]}


def test_round_trip_is_exact(tmp_path, state):
    path = tmp_path / "checkpoint.h5"
    checkpoint.save(path, *state)
    arrays, meta = checkpoint.load(path)
    assert meta == state[1]
    assert sorted(arrays) == sorted(state[0])
    for name, array in state[0].items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_two_are_kept_and_nothing_else(tmp_path, state):
    path = tmp_path / "checkpoint.h5"
    for updates in range(4):
        checkpoint.save(path, state[0], {"updates": updates})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-previous.h5", "checkpoint.h5"]
    assert checkpoint.load(path)[1]["updates"] == 3
    assert checkpoint.load(checkpoint.previous(path))[1]["updates"] == 2


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    elif how == "a flipped bit":
        place = content.index(np.float32(299).tobytes() + np.float32(300).tobytes())
        content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "empty", "a flipped bit"])
def test_a_damaged_one_is_named_and_the_previous_used(tmp_path, state, how):
    path = tmp_path / "checkpoint.h5"
    checkpoint.save(path, state[0], {"updates": 1})
    checkpoint.save(path, state[0], {"updates": 2})
    damage(path, how)
    with pytest.raises(DamagedFileError, match="is damaged"):
        checkpoint.load(path)
    with pytest.warns(UserWarning, match="is damaged"):
        _, meta = checkpoint.load_latest(path)
    assert meta == {"updates": 1}


def test_every_flipped_byte_is_noticed_or_without_effect(tmp_path, state):
    path = tmp_path / "checkpoint.h5"
    checkpoint.save(path, *state)
    whole = path.read_bytes()
    noticed = 0
    for place in range(0, len(whole), 37):
        content = bytearray(whole)
        content[place] ^= 0xFF
        path.write_bytes(content)
        try:
            arrays, meta = checkpoint.load(path)
        except DamagedFileError:
            noticed += 1
            continue
        assert meta == state[1]
        for name, array in state[0].items():
            np.testing.assert_array_equal(arrays[name], array)
    assert noticed > 20


def test_none_there(tmp_path):
    assert checkpoint.load_latest(tmp_path / "checkpoint.h5") is None


def test_a_failing_write_leaves_the_old_one(tmp_path, state, monkeypatch):
    path = tmp_path / "checkpoint.h5"
    checkpoint.save(path, state[0], {"updates": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, state[0], {"updates": 2})
    assert checkpoint.load(path)[1] == {"updates": 1}
    assert not list(tmp_path.glob(".*"))

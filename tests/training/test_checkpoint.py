import json

import h5py
import numpy as np
import pytest

from minibp.errors import DamagedFileError, InputError
from minibp.training import checkpoint
from minibp.training.checkpoint import Checkpoints


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


def rows(count):
    return [
        {"epoch": k + 1, "loss": 0.1 + k, "layers": {"fc": {"angle": None}}} for k in range(count)
    ]


def kept(folder, state, epochs, owner=None):
    """Save so many epochs, as a run does, and return what saved them."""
    checkpoints = Checkpoints(folder, owner or {"rate": 1})
    for count in range(1, epochs + 1):
        checkpoints.save(state[0], {"updates": count, "history": rows(count)})
    return checkpoints


@pytest.mark.parametrize("how", ["truncated", "empty", "a flipped bit"])
def test_a_damaged_one_is_named_and_the_previous_used(tmp_path, state, how):
    kept(tmp_path, state, 2)
    path = tmp_path / "checkpoint.h5"
    damage(path, how)
    with pytest.raises(DamagedFileError, match="is damaged"):
        checkpoint.load(path)
    again = Checkpoints(tmp_path, {"rate": 1})
    with pytest.warns(UserWarning, match="is damaged"):
        _, meta = again.load()
    assert meta == {"updates": 1, "history": rows(1)}
    again.save(state[0], {"updates": 2, "history": [*rows(1), {"epoch": "another"}]})
    _, meta = Checkpoints(tmp_path, {"rate": 1}).load()
    assert meta["history"] == [*rows(1), {"epoch": "another"}]


def test_the_history_is_exact_and_what_a_kill_left_behind_does_not_count(tmp_path, state):
    kept(tmp_path, state, 3)
    with open(tmp_path / "history.jsonl", "ab") as file:
        file.write(b'{"epoch": 4, "lo')
    checkpoints = Checkpoints(tmp_path, {"rate": 1})
    _, meta = checkpoints.load()
    assert meta["history"] == rows(3)
    checkpoints.save(state[0], {"updates": 4, "history": rows(4)})
    assert Checkpoints(tmp_path, {"rate": 1}).load()[1]["history"] == rows(4)


def test_a_damaged_history_is_named(tmp_path, state):
    kept(tmp_path, state, 3)
    path = tmp_path / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b"2.1", b"2.2"))
    with pytest.warns(UserWarning, match=r"history\.jsonl is damaged"):
        _, meta = Checkpoints(tmp_path, {"rate": 1}).load()
    assert meta["history"] == rows(2)


def test_any_number_of_epochs_layers_and_diagnostics_at_one_cost_each(tmp_path, state):
    """2,000 epochs of 60 layers are 11 MB; the checkpoint stays as small as the first."""
    layers = {f"layer{k}": dict.fromkeys(["angle_V_W", "angle_dW", "norm"], 0.1) for k in range(60)}
    history = [{"epoch": k, "layers": layers} for k in range(2000)]
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.save(state[0], {"history": history[:1]})
    first = (tmp_path / "checkpoint.h5").stat().st_size
    checkpoints.save(state[0], {"history": history[:1999]})
    before = (tmp_path / "history.jsonl").stat()
    checkpoints.save(state[0], {"history": history})
    after = (tmp_path / "history.jsonl").stat()
    assert after.st_ino == before.st_ino  # added to, not written anew
    assert after.st_size - before.st_size == len(json.dumps(history[-1])) + 1
    assert (tmp_path / "checkpoint.h5").stat().st_size < first + 100
    assert Checkpoints(tmp_path, {}).load()[1]["history"] == history


def test_a_checkpoint_of_the_first_format_is_read(tmp_path, state):
    """All of its meta data is one attribute, and it does not say whose it is."""
    meta = {"updates": 2, "history": rows(2), "diverged_epoch": None}
    text = json.dumps(meta)
    with h5py.File(tmp_path / "checkpoint.h5", "w") as file:
        for name, array in state[0].items():
            file[name] = array
        file.attrs["format"], file.attrs["meta"] = 1, np.void(text.encode())
        file.attrs["sha256"] = checkpoint._digest(state[0], text)
    checkpoints = Checkpoints(tmp_path, {"rate": 1})
    arrays, found = checkpoints.load()
    assert found == meta
    assert arrays.keys() == state[0].keys()
    checkpoints.save(arrays, {"history": rows(3)})
    assert Checkpoints(tmp_path, {"rate": 1}).load()[1]["history"] == rows(3)


def test_a_checkpoint_of_another_run_is_refused(tmp_path, state):
    kept(tmp_path, state, 2, {"rate_factor": 1, "seed": 0})
    with pytest.raises(InputError, match=r"is another run's: rate_factor was 1, now 0\.1"):
        Checkpoints(tmp_path, {"rate_factor": 0.1, "seed": 0}).load()


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
    assert Checkpoints(tmp_path, {}).load() is None


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

from minibp.training.journal import Journal


def rows(count):
    return [
        {"epoch": k + 1, "loss": 0.1 + k, "layers": {"fc": {"angle": None}}} for k in range(count)
    ]


def test_an_append_writes_nothing_of_what_is_there(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "history.jsonl")
    journal.append(rows(1000))
    monkeypatch.setattr("json.dumps", lambda row, **_: f'"{row["epoch"]}"')
    journal.append(rows(1))
    assert (tmp_path / "history.jsonl").read_bytes().endswith(b'\n"1"\n')

"""A table of runs says what the records said, and comes back as records."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp.errors import InputError
from minibp.experiments import flat, results

percent = st.floats(0, 100)
epochs = st.lists(
    st.fixed_dictionaries({"error": percent}, optional={"holdout_error": percent}), min_size=1
)
runs = st.lists(
    st.tuples(st.sampled_from([100, 10, 1, 0.1, 0.01]), epochs, st.none() | st.integers(1, 9)),
    min_size=1,
    max_size=4,
    unique_by=lambda run: run[0],
)


def record(head, given, seed=0, train=50):
    rates = [
        results.run_record(
            factor,
            5e-4 * factor,
            "100",
            [{"epoch": number} | epoch for number, epoch in enumerate(history, start=1)],
            diverged,
        )
        for factor, history, diverged in given
    ]
    return {
        "dataset": "digits",
        "condition": head,
        "seed": seed,
        "settings": {"network": "mnist", "epochs": 9},
        "data": {"classes": 10, "train": train},
        "finished": True,
        "rates": rates,
    } | results.score(rates)


def write(path, rows, columns=flat.COLUMNS):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@given(given=st.lists(st.tuples(st.sampled_from(["SGD", "frSF-50+BN+BM"]), runs), max_size=3))
def test_records_survive_the_way_through_a_file(given, tmp_path_factory):
    path = tmp_path_factory.mktemp("flat") / "runs.csv"
    records = [record(head, of, seed) for seed, (head, of) in enumerate(given)]
    rows = flat.rows(records)
    write(path, rows)
    if not records:
        with pytest.raises(InputError, match="no table of runs"):
            flat.read_csv(path)
        return
    again = flat.read_csv(path)
    assert flat.rows(again) == rows
    for old, new in zip(records, again, strict=True):
        for name in ("condition", "seed", "best_error", "best_factor", "honest_error"):
            assert new[name] == old[name]


def test_a_table_without_what_is_needed_names_it(tmp_path):
    path = tmp_path / "runs.csv"
    rows = flat.rows([record("SGD", [(1, [{"error": 5.0}], None)])])
    write(path, rows, [name for name in flat.COLUMNS if name not in ("train", "seed")])
    with pytest.raises(InputError, match="train, seed are missing"):
        flat.read_csv(path)


def test_a_table_without_what_can_be_missing(tmp_path):
    path = tmp_path / "runs.csv"
    write(path, flat.rows([record("SGD", [(1, [{"error": 5.0}], 2)])]), flat.NEEDED)
    (found,) = flat.read_csv(path)
    assert (found["best_error"], found["honest_error"]) == (5.0, None)
    assert found["data"] == {"classes": None, "train": 50}


def test_an_entry_that_is_no_number_is_named_with_its_line(tmp_path):
    path = tmp_path / "runs.csv"
    rows = flat.rows([record("SGD", [(1, [{"error": 5.0}], None), (10, [{"error": 6.0}], None)])])
    rows[1]["best_error"] = "six"
    write(path, rows)
    with pytest.raises(InputError, match=r"runs\.csv, line 3: .*six"):
        flat.read_csv(path)


def test_a_data_frame(tmp_path):
    pytest.importorskip("pandas")
    with pytest.raises(InputError, match="holds no experiments"):
        flat.frame(tmp_path)

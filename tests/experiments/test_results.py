import pytest
from small_sweeps import experiment, rate

from minibp.experiments import results
from minibp.experiments.sweep import run_experiment


def test_the_honest_score(toy, tmp_path):
    record = run_experiment(experiment(holdout=0.25, epochs=3), toy, tmp_path / "out")
    rows = [
        (row["holdout_error"], row["error"]) for rate in record["rates"] for row in rate["history"]
    ]
    chosen = min(rows, key=lambda row: row[0])
    assert record["honest_error"] == chosen[1]
    sizes = {"train": 30, "test": 20, "holdout": 10, "classes": 3}
    assert record["data"] == sizes | {"shape": [28, 28, 1], "class_names": [], "note": ""}
    assert record["data_sha256"] == toy.sha256


def test_scores_by_hand():
    rates = [rate(1, (9, 5), (4, 3)), rate(0.1, (4, 2), (3, 2), (3, 8))]
    assert results.score(rates) == {
        "best_error": 3,
        "best_factor": 0.1,
        "best_epoch": 2,
        "honest_error": 4,
        "honest_factor": 0.1,
        "honest_epoch": 1,
    }
    assert results.score([])["best_error"] is None


def test_a_diverging_experiment_is_a_result(toy, tmp_path, recwarn):
    record = run_experiment(experiment("SGD", rate_factors=[1e9]), toy, tmp_path / "out")
    assert record["rates"][0]["diverged_epoch"] == 1
    assert record["best_error"] == pytest.approx(100 * 14 / 20)  # of y_test's 20, 6 have label 0
    assert not recwarn.list

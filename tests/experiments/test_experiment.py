import pytest
from small_sweeps import experiment

from minibp import Settings
from minibp.errors import InputError
from minibp.experiments.sweep import run_experiment


def test_usf_bm_runs_both_batch_schedules(toy, tmp_path):
    record = run_experiment(experiment("uSF+BM", rate_factors=[0.01]), toy, tmp_path / "out")
    assert [rate["batch_schedule"] for rate in record["rates"]] == [
        "20",
        "20 for 3 epochs, then 100",
    ]
    assert (tmp_path / "out" / "rate-0.01-schedule2" / "run.json").exists()


def test_rates_that_agree_to_six_digits_have_runs_of_their_own(toy, tmp_path):
    factors = (1.0000001, 1.0, 12345.678, 12345.681)
    names = [trial.name for trial in experiment(rate_factors=factors).trials()]
    assert names == ["rate-1.0000001", "rate-1", "rate-12345.678", "rate-12345.681"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"epochs": 0}, "epochs 0"),
        ({"batch_size": 0}, "batch size 0"),
        ({"base_rate": -1.0}, "rate -1"),
        ({"base_rate": float("nan")}, "rate nan"),
        ({"rate_factors": [1, -1]}, "rate factors"),
        ({"rate_factors": []}, "rate factors"),
        ({"rate_factors": [1, 1]}, "given twice"),
        ({"rate_drops": [-1]}, "rate drops"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"holdout": 2.0, "epochs": 1}, "holdout 2.0"),
        ({"train_limit": 0, "epochs": 1}, "train limit 0"),
    ],
)
def test_bad_settings_are_refused_before_any_work(toy, tmp_path, change, match):
    with pytest.raises(InputError, match=match):
        run_experiment(experiment(**change), toy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_last_batch_of_one_is_an_error_for_bn_before_any_work(toy, tmp_path):
    with pytest.raises(InputError, match=r"batches of 13.*a last one of 1.*last_batch=drop"):
        run_experiment(experiment(batch_size=13), toy, tmp_path / "out")
    run_experiment(
        experiment("SGD", batch_size=13, rate_factors=[1], epochs=1), toy, tmp_path / "a"
    )
    settings = Settings(bn_batches=2, last_batch="drop")
    plan = experiment(batch_size=13, rate_factors=[1], epochs=1, settings=settings)
    run_experiment(plan, toy, tmp_path / "b")

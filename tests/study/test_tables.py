import csv
import dataclasses
import io

import pytest

from minibp.errors import InputError
from minibp.experiments import results
from minibp.study import paper
from minibp.study.claims import CLAIMS, FAILS, HOLDS, OPEN, judge
from minibp.study.conditions import Condition
from minibp.study.tables import Cell, cells, colour, datasets_of, render


def record(head, error, dataset="mnist", seed=0, *, finished=True, diverged=(None,), honest=None):
    rates = [
        results.run_record(
            factor,
            5e-4 * factor,
            "100",
            [{"epoch": 1, "error": error + k} | ({"holdout_error": k} if honest else {})],
            epoch,
        )
        for k, (factor, epoch) in enumerate(zip((1, 0.1, 10), diverged, strict=False))
    ]
    return {
        "dataset": dataset,
        "condition": head,
        "seed": seed,
        "finished": finished,
        "rates": rates,
    } | results.score(rates)


def test_means_over_seeds():
    found = cells([record("SGD", 1.0, seed=0), record("SGD", 2.0, seed=1), record("BN", 3.0)])
    cell = found["mnist", Condition()]
    assert (cell.mean, len(cell.errors)) == (1.5, 2)
    assert cell.std == pytest.approx(0.7071, abs=1e-4)
    assert str(cell) == "1.50±0.71"
    assert str(found["mnist", Condition(bn=True)]) == "3.00"


def test_unfinished_experiments_are_no_numbers():
    records = [record("SGD", 1.0), record("BN", 0.5, finished=False)]
    assert list(cells(records)) == [("mnist", Condition())]
    text = render(records, "text", ["2"])
    assert "0.50" not in text
    assert "1 experiments are not finished" in text


def test_a_number_of_a_run_that_diverged_is_marked():
    records = [record("SGD", 1.0, diverged=(None, 3)), record("uSF", 88.65, diverged=(1, None))]
    found = cells(records)
    assert str(found["mnist", Condition()]) == "1.00"
    assert str(found["mnist", Condition.parse("uSF")]) == "88.65×"


def test_the_papers_colours():
    assert [colour(x, 10.0) for x in (13.0, 12.99, 7.0, 7.01)] == ["worse", None, "better", None]


def test_other_experiments_are_not_averaged():
    def seeds(**changes):
        return [
            record("SGD", 1.0) | {"seed": k} | {name: values[k] for name, values in changes.items()}
            for k in (0, 1)
        ]

    for records, match in (
        ([record("SGD", 1.0), record("SGD", 2.0)], "with one condition and seed"),
        (seeds(settings=[{"epochs": 1}, {"epochs": 2}]), "with different settings"),
        (seeds(data_sha256=["ab", "cd"]), "with different data of one name"),
        (seeds(files=[{"rule.py": "ab"}, {"rule.py": "cd"}]), "different texts of the rule's file"),
    ):
        with pytest.raises(InputError, match=match):
            cells(records)


def test_text():
    records = [record("SGD", 1.0), record("uSF", 88.0), record("BN+BM", 0.7)]
    text = render(records, "text", ["2"])
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    assert lines["mnist"].split() == ["mnist", "1.00", "0.70", "88.00▲"]
    assert "0.67" in text  # the paper's SGD
    assert "+0.33" in text
    assert "Experiment B" not in text


def test_every_format_has_the_same_numbers():
    records = [record(head, 1 + k / 7) for k, head in enumerate(map(str, paper.conditions()))]
    for form in ("text", "markdown", "html"):
        text = render(records, form)
        for entry in records:
            assert f"{entry['best_error']:.2f}" in text
    rows = list(csv.DictReader(io.StringIO(render(records, "csv"))))
    assert len(rows) == 46
    by_head = {(row["table"], row["condition"]): row for row in rows}
    for entry in records:
        (error,) = {
            float(row["error"])
            for row in rows
            if str(Condition.parse(row["condition"])) == entry["condition"]
        }
        assert error == pytest.approx(entry["best_error"], abs=1e-4)
    row = by_head["3", "brSF-25+BN+BM"]
    assert float(row["difference"]) == pytest.approx(float(row["error"]) - 1.01, abs=1e-3)


def test_html_escapes():
    assert "<script>" not in render([record("SGD", 1.0, dataset="<script>")], "html")


def test_unknown_formats():
    with pytest.raises(InputError, match="unknown format 'pdf'"):
        render([record("SGD", 1.0)], "pdf")


def test_data_sets_in_the_papers_order():
    found = cells([record("SGD", 1, name) for name in ("digits", "svhn", "mnist")])
    assert datasets_of(found) == ["mnist", "svhn", "digits"]


CLASSES = {
    "cifar100": 100,
    "caltech101": 102,
    "caltech256-101": 102,
    "flowers17": 17,
} | dict.fromkeys(
    ("flowers102", "pubfig83-id", "sufrw-id", "lfw-id", "indoor67", "timit80"), 67
)  # roughly


def published():
    """The paper's own numbers as cells."""
    return {
        (dataset, condition): Cell((error,), (), (1.0,), 0, 5, classes=CLASSES.get(dataset, 10))
        for table in paper.tables()
        for dataset, row in table.errors.items()
        for condition, error in row.items()
    }


def test_the_papers_claims_hold_for_its_numbers_on_most_data_sets():
    """Its conclusions are of all data sets together; on single ones some fail."""
    verdicts = list(judge(published(), list(paper.DATASETS.values())))
    assert len(verdicts) == 15 * len(CLAIMS) + 1
    for item in CLAIMS:
        states = [v.state for v in verdicts if v.claim is item]
        judged = [state for state in states if state != OPEN]
        assert judged.count(HOLDS) > len(judged) / 2, item.name


def test_a_claim_fails_where_the_numbers_say_so():
    found = published()
    found["mnist", Condition.parse("uSF+BN+BM")] = Cell((50.0,), (), (1.0,), 0, 5, classes=10)
    states = {v.claim.name: v for v in judge(found, ["mnist"])}
    assert states["magnitudes of V"].state == FAILS
    assert states["magnitudes of V"].used["uSF+BN+BM"] == 50.0
    assert states["signs matter"].state == HOLDS


def test_a_claim_without_its_numbers_is_open():
    found = {key: cell for key, cell in published().items() if key[1].freeze is None}
    states = {v.claim.name: v for v in judge(found, ["mnist"])}
    assert states["every Top is alike"].state == OPEN
    assert states["every Top is alike"].missing == "SGD Top"
    assert all(v.state == OPEN for v in judge({}, ["mnist"]))


SAMPLES = {"mnist": 60_000, "cifar10": 50_000, "stl10": 5_000, "icubworld": 6_000}


def sized(names):
    return {
        (name, condition): dataclasses.replace(cell, train=SAMPLES[name])
        for (name, condition), cell in published().items()
        if name in names
    }


def test_the_claim_about_few_samples_is_of_several_data_sets():
    *_, verdict = judge(sized(SAMPLES), list(SAMPLES))
    assert (verdict.claim.name, verdict.state) == ("BM helps most with few samples", HOLDS)
    assert verdict.numbers == "gain with few samples 5.68, gain with more -0.70"
    turned = {
        (n, c): dataclasses.replace(cell, train=66_000 - cell.train)
        for (n, c), cell in sized(SAMPLES).items()
    }
    *_, verdict = judge(turned, list(SAMPLES))
    assert verdict.state == FAILS
    *_, verdict = judge(sized(["mnist", "stl10"]), ["mnist", "stl10"])
    assert (verdict.state, verdict.missing) == (OPEN, "BN and BN+BM on 2 more data sets")
    *_, verdict = judge(sized(["mnist"]), ["mnist"])
    assert verdict.claim in CLAIMS


def test_every_claim_can_fail_and_can_hold():
    """Over the paper's numbers and worse ones."""
    flat = {key: Cell((50.0,), (), (1.0,), 0, 5, classes=10) for key in published()}
    high = {
        key: Cell((float(sum(map(ord, str(key[1]))) * 37 % 90),), (), (1.0,), 0, 5, classes=2)
        for key in published()
    }
    states = {item.name: set() for item in CLAIMS}
    turned = {
        key: Cell((100 - cell.mean,), (), (1.0,), 0, 5, classes=10)
        for key, cell in published().items()
    }
    for found in (published(), flat, high, turned):
        for verdict in judge(found, ["mnist", "cifar10", "caltech101"]):
            if verdict.claim in CLAIMS:
                states[verdict.claim.name].add(verdict.state)
    assert all({HOLDS, FAILS} <= found for found in states.values()), states

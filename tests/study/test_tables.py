import csv
import io
import re

import pytest

from minibp.errors import InputError
from minibp.experiments import results
from minibp.study import paper
from minibp.study.conditions import Condition
from minibp.study.tables import cells, colour, datasets_of, of_table_1, render


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


def test_conditions_at_other_rates_are_shown_and_told():
    one, two = (record(head, 1.0) for head in ("SGD", "BN"))
    one["rates"][0]["factor"], two["rates"][0]["factor"] = 10.0, 0.1
    for each in (one, two):
        each["settings"] = {"rate_factors": [each["rates"][0]["factor"]], "epochs": 2}
    assert "SGD at 10; BN at 0.1." in render([one, two])
    assert "rates" not in render([one, one | {"condition": "BN"}])
    assert "SGD at" not in render([one, two], "csv")
    with pytest.raises(InputError, match="different settings"):
        cells([one, two | {"settings": {"rate_factors": [0.1], "epochs": 3}}])


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


@pytest.mark.parametrize("network", ["my_net.py:small", "resnet-20", "mlp-500-300"])
def test_what_the_paper_has_not_has_tables_of_its_own(network):
    own = {"settings": {"network": network}}
    records = [record("SGD", 1.0), record("KP+BN", 2.0), record("rules.py:R+BN", 3.0)]
    records += [record("SGD", 4.0) | own, record("KP+BN", 5.0) | own]
    for form in ("text", "markdown", "html"):
        text = render(records, form)
        titles = ["Table 2", "Conditions that the paper has not", f"Network {network}"]
        places = [text.index(title) for title in titles]
        assert places == sorted(places)
        one, two, three = (text[a:b] for a, b in zip(places, [*places[1:], None], strict=True))
        numbers = [re.findall(r"\b\d\.00\b", text) for text in (one, two, three)]
        assert [set(each) & set("1.00 2.00 3.00 4.00 5.00".split()) for each in numbers[1:]] == [
            {"2.00", "3.00"},
            {"4.00", "5.00"},
        ]
        assert "1.00" in numbers[0]
    rows = list(csv.DictReader(io.StringIO(render(records, "csv"))))
    assert {row["table"] for row in rows} >= {"2", "other", network}
    assert "KP" not in render(records, "text", ["2"])
    assert cells(of_table_1(records))["mnist", Condition()].mean == 1.0


def test_html_escapes():
    assert "<script>" not in render([record("SGD", 1.0, dataset="<script>")], "html")


def test_unknown_formats():
    with pytest.raises(InputError, match="unknown format 'pdf'"):
        render([record("SGD", 1.0)], "pdf")


def test_data_sets_in_the_papers_order():
    found = cells([record("SGD", 1, name) for name in ("digits", "svhn", "mnist")])
    assert datasets_of(found) == ["mnist", "svhn", "digits"]

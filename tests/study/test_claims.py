import dataclasses

from minibp.experiments import results
from minibp.study import paper
from minibp.study.claims import CLAIMS, FAILS, HOLDS, OPEN, judge
from minibp.study.conditions import Condition
from minibp.study.tables import Cell


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


CLASSES = {
    "cifar100": 100,
    "caltech101": 102,
    "caltech256-101": 102,
    "flowers17": 17,
} | dict.fromkeys(
    ("flowers102", "pubfig83-id", "sufrw-id", "lfw-id", "indoor67", "timit80"), 67
)  # roughly
SAMPLES = {"mnist": 60_000, "cifar10": 50_000, "stl10": 5_000, "icubworld": 6_000}


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

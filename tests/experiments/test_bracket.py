"""More rates until the best one is inside."""

from math import log10

from hypothesis import given
from hypothesis import strategies as st

from minibp.experiments.bracket import beyond


def record(scores, key="error"):
    history = lambda score: [{"error": 90.0, key: 90.0}, {"error": 50.0, key: score}]  # noqa: E731
    return {"rates": [{"factor": f, "history": history(score)} for f, score in scores.items()]}


@given(
    best=st.floats(-5, 5),
    start=st.lists(st.sampled_from([-2, -1, 0, 1]), min_size=1, unique=True),
    per_decade=st.integers(1, 5),
    key=st.sampled_from(["error", "holdout_error"]),
)
def test_it_ends_with_worse_neighbours_on_both_sides(best, start, per_decade, key):
    error = lambda factor: abs(log10(factor) - best)  # noqa: E731
    scores = {10.0**k: error(10.0**k) for k in start}
    for _ in range(100):
        more = beyond(record(scores, key), per_decade)
        if not more:
            break
        assert not set(more) & set(scores)
        scores |= {factor: error(factor) for factor in more}
    winner = min(scores, key=scores.get)
    assert min(scores) < winner < max(scores)


def test_a_tie_with_a_rate_inside_is_enough():
    assert beyond(record({1: 2.0, 10: 2.0, 100: 3.0}), 1) == []
    assert beyond(record({1: 2.0, 10: 3.0, 100: 2.0}), 1) == [0.1, 1000.0]
    assert beyond(record({1: 2.0, 10: 3.0, 100: 4.0}), 2) == [0.316]


def test_the_honest_score_decides_where_there_is_one():
    runs = [
        {"factor": f, "history": [{"error": e, "holdout_error": h}]}
        for f, e, h in [(1, 3, 1), (10, 1, 3), (100, 2, 4)]
    ]
    assert beyond({"rates": runs}, 1) == [0.1]


def test_nothing_is_tried_beyond_nothing():
    assert beyond({"rates": []}, 1) == []
    assert beyond(record({0.0: 2.0}), 1) == []

"""A grid at a glance: each rule's error, without and with BN and BM, beside the paper's."""

import io
from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minibp.errors import InputError
from minibp.study.conditions import Condition

KINDS = {  # of the update, by BN and BM
    (False, False): ("SGD", "#6b6b6b"),
    (False, True): ("BM", "#d55e00"),
    (True, False): ("BN", "#0072b2"),
    (True, True): ("BN+BM", "#009e73"),
}
SPREAD = 0.17  # of a column, from one kind to the next
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 90)
FLOOR = 0.05  # %: where an error of 0 is drawn
OURS = {"marker": "o", "markersize": 8}
PAPER = {"marker": "_", "markersize": 15, "markeredgewidth": 2.5}  # how its errors look

Errors = Mapping[Condition, float]


def rules_of(*errors: Errors) -> list[str]:
    """Return the rules that these have, BP and the paper's order first.

    >>> heads = ["RndF+BN", "SGD", "frSF-50+BN+BM", "frSF+BN+BM"]
    >>> rules_of({Condition.parse(head): 1.0 for head in heads})
    ['BP', 'frSF', 'frSF-50', 'RndF']
    """
    order = ("BP", "uSF", "NuSF", "brSF", "frSF", "RndF")
    found = {condition for given in errors for condition in given if _kind(condition)}

    def place(condition: Condition) -> tuple[int, str, float]:
        name = condition.feedback
        return order.index(name) if name in order else len(order), name, condition.p or 0.0

    return list(dict.fromkeys(_rule(condition) for condition in sorted(found, key=place)))


def overview(ours: Errors, published: Errors, title: str, rules: list[str] | None = None) -> bytes:
    """Return an SVG: a column for each rule, with a mark for each of SGD, BM, BN and BN+BM.

    ours, published  test errors in %, by condition; what freezes layers or has plug-ins, or
                     another setting of BM than the first, is left out. 0 is drawn as 0.05.
    rules            which columns there are; by default all that `ours` has

    Raises InputError if there is nothing to draw.
    """
    columns = rules or rules_of(ours)
    if not columns:
        raise InputError("no picture: expected errors of conditions with all layers learning.")
    figure = Figure(figsize=(1.6 + 0.85 * len(columns), 4.4), layout="constrained")
    axes = figure.subplots()
    for errors, mark in ((published, PAPER), (ours, OURS)):
        for condition, error in errors.items():
            kind = _kind(condition)
            if kind is None or _rule(condition) not in columns:
                continue
            place = list(KINDS).index(kind)
            x = columns.index(_rule(condition)) + SPREAD * (place - 1.5)
            axes.plot(x, max(error, FLOOR), color=KINDS[kind][1], linestyle="", **mark)
    for edge in range(1, len(columns)):
        axes.axvline(edge - 0.5, color="#e4e4e4", linewidth=1, zorder=0)
    axes.set(yscale="log", xlim=(-0.5, len(columns) - 0.5), ylim=(None, 110))
    low = axes.get_ylim()[0]
    axes.set_yticks([tick for tick in TICKS if tick >= low], minor=False)
    axes.set_yticklabels([f"{tick:g}" for tick in TICKS if tick >= low])
    axes.minorticks_off()
    axes.set_xticks(range(len(columns)), columns, parse_math=False)
    axes.tick_params(labelsize=12)
    axes.grid(axis="y", alpha=0.3)
    axes.set_ylabel("test error, %", fontsize=13)
    axes.set_title(title, fontsize=13, parse_math=False)
    marks = [
        Line2D([], [], linestyle="", color=colour, label=name, **OURS)
        for name, colour in KINDS.values()
    ]
    if any(_rule(condition) in columns for condition in published if _kind(condition)):
        marks.append(Line2D([], [], linestyle="", color="black", label="the paper", **PAPER))
    figure.legend(
        handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=12
    )
    svg = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "overview", "svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()


def _rule(condition: Condition) -> str:
    return str(Condition(feedback=condition.feedback, p=condition.p)).replace("SGD", "BP")


def _kind(condition: Condition) -> tuple[bool, bool] | None:
    if condition.freeze or condition.updates or condition.bm > 1:
        return None
    return condition.bn, condition.bm == 1

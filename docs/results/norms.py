"""In which norm should feedback descend? The study's numbers, tables, claims and picture.

    python docs/results/norms.py gather runs/norms
    python docs/results/norms.py tables
    python docs/results/norms.py picture docs/pictures/norms.svg

gather puts the runs' records into docs/results/norms.csv, and keeps the rows of other runs there;
tables and picture read that file alone.
"""

import argparse
import csv
import io
import statistics
import sys
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from minibp.errors import InputError
from minibp.experiments import flat
from minibp.experiments.results import read
from minibp.files import write_atomically
from minibp.study.conditions import Condition

CSV = Path(__file__).with_suffix(".csv")
NORMS = {"none": "none (SGD)", "Frobenius": "Frobenius", "max": "max (BM)", "spectral": "spectral"}
RULES = ("BP", "RndF", "DFA", "frSF", "frSF-50", "KP")
NETWORKS = {
    "mlp-256": "MLP, 2 layers",
    "mlp-256-256-256-256-256-256-256": "MLP, 8 layers",
    "mnist": "MNIST network",
}
COLUMNS = [*flat.COLUMNS, *"rule bn norm rank_dW angle_dW angle_update".split()]
IDENTITY = "network condition seed rate_factor".split()
LEVEL = 0.95  # of the intervals
TOLERANCE = 0.3  # points of error that count as none
COLOURS = ("#777777", "#0072b2", "#e69f00", "#009e73")
Key = tuple[str, bool, str, str]  # network, BN, rule, norm


def norm_of(condition: Condition) -> str:
    """Return the norm in which a condition's update is the steepest descent."""
    if condition.bm:
        return "max"
    return {(): "none", ("Frobenius",): "Frobenius", ("Muon",): "spectral"}[condition.updates]


def rule_of(condition: Condition) -> str:
    """Return a condition's rule alone, as in "frSF-50"."""
    return condition.feedback + (f"-{100 * condition.p:g}" if condition.p else "")


def gather(folder: Path) -> list[dict[str, object]]:
    """Return a row for each run below a folder.

    Ranks and angles are those after the last epoch, the means over all layers but the last.
    """
    found = []
    for record in (record for record in read(folder) if record["finished"]):
        condition = Condition.parse(record["condition"])
        for run, row in zip(record["rates"], flat.rows([record]), strict=True):
            hidden = list(run["history"][-1].get("layers", {}).values())[:-1]
            means = {
                name: mean_of([layer.get(name) for layer in hidden])
                for name in ("rank_dW", "angle_dW", "angle_update")
            }
            cell = {"rule": rule_of(condition), "bn": condition.bn, "norm": norm_of(condition)}
            found.append(row | cell | means)
    return found


def mean_of(values: list[float | None]) -> float | str:
    """Return the mean in three decimals; nothing where a layer has no number."""
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 3) if known and len(known) == len(values) else ""


def scores(rows: list[dict[str, str]]) -> dict[Key, dict[int, dict[str, str]]]:
    """Return, for each cell and seed, the run whose rate has the least held-out error; none where
    that rate is at an edge of those tried, since a better one may lie beyond."""
    cells: dict[Key, dict[int, dict[str, str]]] = {}
    open_ones = set(at_an_edge(rows))
    for row in rows:
        key = (row["network"], row["bn"] == "True", row["rule"], row["norm"])
        if (key, int(row["seed"])) in open_ones:
            continue
        best = cells.setdefault(key, {})
        held = best.get(int(row["seed"]))
        if held is None or float(row["holdout_error"]) < float(held["holdout_error"]):
            best[int(row["seed"])] = row
    return cells


def at_an_edge(rows: list[dict[str, str]]) -> list[tuple[Key, int]]:
    """Return the cells and seeds whose best rate is the least or the largest of those tried."""
    tried: dict[tuple[Key, int], list[dict[str, str]]] = {}
    for row in rows:
        key = (row["network"], row["bn"] == "True", row["rule"], row["norm"])
        tried.setdefault((key, int(row["seed"])), []).append(row)
    found = []
    for place, runs in tried.items():
        runs = sorted(runs, key=lambda row: float(row["rate_factor"]))
        errors = [float(row["holdout_error"]) for row in runs]
        if min(errors) not in errors[1:-1]:
            found.append(place)
    return found


def errors(cells, key: Key) -> dict[int, float]:
    """Return a cell's honest error by seed."""
    return {seed: float(row["honest_error"]) for seed, row in cells.get(key, {}).items()}


def in_words(values: list[float]) -> str:
    """Return mean ± standard deviation."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def geometry(runs) -> str:
    """Return runs' mean rank of dW and mean angle of the update; nothing if one diverged."""
    ranks, angles = ([run[name] for run in runs] for name in ("rank_dW", "angle_update"))
    if not ranks or "" in ranks + angles:
        return ""
    rank, angle = (statistics.fmean(map(float, values)) for values in (ranks, angles))
    return f"{rank:.0f}, {angle:.0f}°"


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return the mean, and the interval of Student's t about it."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, float("-inf"), float("inf")
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * statistics.stdev(values)
    half /= len(values) ** 0.5
    return mean, mean - half, mean + half


def verdict(low: float, high: float, least: float, most: float) -> str:
    """Return whether an interval lies within [least, most], outside of it, or neither."""
    if least <= low and high <= most:
        return "holds"
    return "fails" if high < least or low > most else "open"


def difference(cells, network: str, bn: bool, rules, one: str, other: str) -> list[float]:
    """Return one norm's error less the other's, the mean over rules, for each seed of all."""
    pairs = [
        (errors(cells, (network, bn, rule, one)), errors(cells, (network, bn, rule, other)))
        for rule in rules
    ]
    seeds = set.intersection(*(set(a) & set(b) for a, b in pairs))
    return [statistics.fmean(a[seed] - b[seed] for a, b in pairs) for seed in sorted(seeds)]


def claims(cells) -> dict[str, list[tuple[str, list[str]]]]:
    """Return, for each predicate, rows of (where, a text for each rule, and for their mean): the
    difference, the half width of its interval, and a mark. A predicate holds (✓) or fails (✗) where
    the whole interval does."""
    far = float("inf")
    kinds = (
        ("Frobenius ≤ max + 0.3", (False, True), RULES, ("Frobenius", "max"), (-far, TOLERANCE)),
        ("spectral < Frobenius", (False,), ("RndF", "DFA"), ("spectral", "Frobenius"), (-far, 0)),
        ("spectral = Frobenius ± 0.3", (True,), RULES, ("spectral", "Frobenius"), (-0.3, 0.3)),
    )
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for claim, normalized, rules, norms, bounds in kinds:
        for bn in normalized:
            for network, title in NETWORKS.items():
                texts = []
                for those in (*((rule,) if rule in rules else () for rule in RULES), rules):
                    values = difference(cells, network, bn, those, *norms) if those else []
                    if not values:
                        texts.append("")
                        continue
                    mean, low, high = interval(values)
                    about = f" ± {high - mean:.2f}" if len(values) > 1 else ""
                    mark = {"holds": " ✓", "fails": " ✗", "open": ""}[verdict(low, high, *bounds)]
                    texts.append(f"{mean:+.2f}{about}{mark}")
                if any(texts):
                    where = f"{title}, {'with' if bn else 'without'} BN"
                    found.setdefault(claim, []).append((where, texts))
    return found


def print_tables(rows: list[dict[str, str]]) -> None:
    """Print errors, ranks and angles by network, rule and norm, and the claims, in Markdown."""
    cells = scores(rows)
    for network, title in NETWORKS.items():
        for bn in (False, True):
            if not any(key[:2] == (network, bn) for key in cells):
                continue
            print(f"\n**{title}, {'with' if bn else 'without'} BN**: error in %\n")
            print("| rule | " + " | ".join(NORMS.values()) + " |")
            print("|---" * (1 + len(NORMS)) + "|")
            for rule in RULES:
                found = [list(errors(cells, (network, bn, rule, norm)).values()) for norm in NORMS]
                print(f"| {rule} | " + " | ".join(map(in_words, found)) + " |")
    print("\n**Effective rank of dW, and angle of the update**\n")
    print("| network | rule | " + " | ".join(NORMS.values()) + " |")
    print("|---" * (2 + len(NORMS)) + "|")
    for network, name in NETWORKS.items():
        for bn in (False, True):
            for rule in RULES:
                found = [cells.get((network, bn, rule, norm), {}).values() for norm in NORMS]
                if any(found):
                    texts = " | ".join(map(geometry, found))
                    print(f"| {name}{', BN' if bn else ''} | {rule} | {texts} |")
    for claim, lines in claims(cells).items():
        print(f"\n**{claim}**: the difference, and half of its 95 % interval\n")
        print("| | " + " | ".join([*RULES, "mean"]) + " |")
        print("|---" * (2 + len(RULES)) + "|")
        for where, texts in lines:
            print(f"| {where} | " + " | ".join(texts) + " |")
    edges = at_an_edge(rows)
    print(
        f"\n{len(rows)} runs; {len(edges)} left out, whose best rate is at an edge of those tried."
    )
    for (network, bn, rule, norm), seed in edges:
        print(f"- {network}, {rule}{'+BN' if bn else ''}, {norm}, seed {seed}")


def picture(rows: list[dict[str, str]], path: Path) -> None:
    """Draw the error of each rule in each norm, a panel for each network, with and without BN."""
    cells, known = scores(rows), [n for n in NETWORKS if any(r["network"] == n for r in rows)]
    figure = Figure(figsize=(3.4 * len(known), 5.4), layout="constrained")
    panels = figure.subplots(2, len(known), sharey="row", squeeze=False)
    for line, bn in zip(panels, (False, True), strict=True):
        for axes, network in zip(line, known, strict=True):
            for k, (norm, colour) in enumerate(zip(NORMS, COLOURS, strict=True)):
                for x, rule in enumerate(RULES):
                    values = list(errors(cells, (network, bn, rule, norm)).values())
                    if values:
                        at = [x + 0.18 * (k - 1.5)] * len(values)
                        axes.plot(at, values, "o", color=colour, markersize=3.5, alpha=0.8)
            axes.set(yscale="log", title=f"{NETWORKS[network]}{', BN' if bn else ''}")
            axes.set_xticks(range(len(RULES)), RULES, fontsize="small")
            axes.grid(axis="y", which="both", alpha=0.25)
            ticks = [1, 2, 3, 5, 10, 20, 50, 90] if not bn else [2, 3, 4, 5, 7, 10]
            axes.set_yticks(ticks, map(str, ticks))
            axes.minorticks_off()
        line[0].set_ylabel("test error, %")
    marks = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=name)
        for name, colour in zip(NORMS.values(), COLOURS, strict=True)
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(NORMS), frameon=False)
    with rc_context({"svg.hashsalt": "norms", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="what", required=True)
    kinds.add_parser("gather").add_argument("folder", type=Path)
    kinds.add_parser("tables")
    kinds.add_parser("picture").add_argument("path", type=Path)
    args = parser.parse_args()
    if args.what == "gather":
        try:
            rows = gather(args.folder)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        found = {tuple(str(row[name]) for name in IDENTITY): row for row in rows}
        known = flat.read_rows(CSV) if CSV.exists() else []
        found = {tuple(row[name] for name in IDENTITY): row for row in known} | found
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found[key] for key in sorted(found))
        write_atomically(CSV, text.getvalue().encode())
        return 0
    rows = flat.read_rows(CSV)
    if args.what == "tables":
        print_tables(rows)
    else:
        picture(rows, args.path)
    return 0


if __name__ == "__main__":
    sys.exit(main())

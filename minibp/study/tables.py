"""The paper's tables with our numbers beside the paper's."""

import csv
import html
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from minibp.errors import InputError, unknown
from minibp.study import paper
from minibp.study.conditions import Condition
from minibp.study.networks import NETWORKS

BASELINE = Condition()  # SGD
WORSE, BETTER = "worse", "better"  # the paper's yellow and blue
MARKS = {WORSE: "▲", BETTER: "▼", None: ""}
COLOURS = {WORSE: "#fff3a8", BETTER: "#cfe3ff"}


@dataclass(frozen=True)
class Cell:
    """What our runs say of a condition on a data set.

    errors, honest  a number for each seed, in %: the paper's score, and the honest one if the runs
                    have a held-out part
    factors         the rate factor that won, for each seed
    diverged        how many of all runs diverged
    runs            how many there are
    exploded        whether the run that counts diverged, for some seed
    classes, train  of the data set: how many classes, and training samples
    """

    errors: tuple[float, ...]
    honest: tuple[float, ...]
    factors: tuple[float, ...]
    diverged: int
    runs: int
    exploded: bool = False
    classes: int | None = None
    train: int | None = None

    @property
    def mean(self) -> float:
        """The mean error over seeds."""
        return statistics.mean(self.errors)

    @property
    def std(self) -> float | None:
        """The standard deviation over seeds, None for one."""
        return statistics.stdev(self.errors) if len(self.errors) > 1 else None

    def __str__(self) -> str:
        text = f"{self.mean:.2f}"
        if self.std is not None:
            text += f"±{self.std:.2f}"
        return text + ("×" if self.exploded else "")


Cells = dict[tuple[str, Condition | str], Cell]


def condition_of(text: str) -> Condition | str:
    """Return the condition of a record; of a rule in a user's file the text, for the file need not
    be here any more, and is none of the paper's."""
    return text if ".py:" in text else Condition.parse(text)


def cells(records: Iterable[dict[str, Any]]) -> Cells:
    """Return our numbers by data set and condition; experiments that are not finished do not count,
    for a minimum over some of the rates is none over all.

    Raises InputError for two experiments of one condition and seed, and for experiments on one data
    set with different settings, other data under its name, or another text of one rule's file: they
    are no sample of the same.
    """
    _check_one_grid(records)
    groups: dict[tuple[str, Condition | str], list[dict[str, Any]]] = {}
    for record in records:
        if record["finished"]:
            key = (record["dataset"], condition_of(record["condition"]))
            groups.setdefault(key, []).append(record)
    return {key: _cell(group) for key, group in groups.items()}


def _check_one_grid(records: Iterable[dict[str, Any]]) -> None:
    first: dict[tuple, dict[str, Any]] = {}
    for record in records:
        dataset, condition = record["dataset"], record["condition"]
        same = {
            (dataset,): ("settings", "data_sha256"),
            (dataset, condition): ("files",),
            (dataset, condition, record["seed"]): (),
        }
        for key, names in same.items():
            other = first.setdefault(key, record)
            if other is record:
                continue
            differs = [name for name in names if _shared(other, name) != _shared(record, name)]
            if differs or not names:
                what = {
                    "settings": "different settings",
                    "data_sha256": "different data of one name",
                    "files": "different texts of the rule's file",
                }
                raise InputError(
                    f"{other.get('folder')} and {record.get('folder')} are experiments on {dataset}"
                    f" with {' and '.join(map(what.get, differs)) or 'one condition and seed'}: "
                    "give the folder of one grid."
                )


def _shared(record: dict[str, Any], name: str) -> Any:
    """Return what records of one grid have in common: all settings but the rates."""
    value = record.get(name)
    if name == "settings" and value:
        return {key: entry for key, entry in value.items() if key != "rate_factors"}
    return value


def _rates_tried(records: Sequence[dict[str, Any]]) -> str:
    """Return a sentence for each data set whose conditions were not tried at the same rates."""
    tried: dict[str, dict[str, list[str]]] = {}
    for record in records:
        factors = {rate["factor"] for rate in record["rates"]}
        words = ", ".join(f"{factor:g}" for factor in sorted(factors))
        named = tried.setdefault(record["dataset"], {}).setdefault(words, [])
        if record["condition"] not in named:
            named.append(record["condition"])
    return "".join(
        f"\nConditions on {dataset} were not tried at the same rates, and an error is the least of "
        "those that were, × the base rate: "
        + "; ".join(f"{', '.join(names)} at {words}" for words, names in groups.items())
        + ".\n"
        for dataset, groups in tried.items()
        if len(groups) > 1
    )


def _cell(records: list[dict[str, Any]]) -> Cell:
    rates = [rate for record in records for rate in record["rates"]]
    winners = [min(r["rates"], key=lambda rate: rate["best_error"]) for r in records]
    honest = [record["honest_error"] for record in records]
    return Cell(
        errors=tuple(record["best_error"] for record in records),
        honest=tuple(error for error in honest if error is not None),
        factors=tuple(record["best_factor"] for record in records),
        diverged=sum(rate["diverged_epoch"] is not None for rate in rates),
        runs=len(rates),
        exploded=any(winner["diverged_epoch"] is not None for winner in winners),
        classes=records[0].get("data", {}).get("classes"),
        train=records[0].get("data", {}).get("train"),
    )


def colour(error: float, baseline: float) -> str | None:
    """Return the paper's colour of an error beside SGD's: "worse" or "better" by 3 % or more.

    >>> colour(10.0, 6.9), colour(4.0, 7.0), colour(5.0, 7.0)
    ('worse', 'better', None)
    """
    difference = round(error - baseline, 9)
    if abs(difference) < paper.MARGIN:
        return None
    return WORSE if difference > 0 else BETTER


@dataclass(frozen=True)
class Entry:
    """A cell of a table: ours, the paper's, and ours less the paper's; None where there is none."""

    dataset: str
    head: str
    ours: Cell | None
    published: float | None
    shade: str | None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        if self.ours is None or self.published is None:
            return None
        return self.ours.mean - self.published


def entries(table: paper.Table, found: Cells, datasets: Sequence[str]) -> list[list[Entry]]:
    """Return a table's rows, one for each data set."""
    rows = []
    for dataset in datasets:
        baseline = found.get((dataset, BASELINE))
        row = []
        for head in table.heads:
            condition = condition_of(head)
            ours = found.get((dataset, condition))
            shade = colour(ours.mean, baseline.mean) if ours and baseline else None
            published = table.errors.get(dataset, {}).get(condition)
            row.append(Entry(dataset, head, ours, published, shade))
        rows.append(row)
    return rows


def datasets_of(found: Cells) -> list[str]:
    """Return the data sets that there are numbers of, the paper's in its order, then others."""
    names = {dataset for dataset, _ in found}
    known = [name for name in paper.DATASETS.values() if name in names]
    return known + sorted(names - set(known))


def render(records: Sequence[dict[str, Any]], form: str = "text", names: Sequence[str] = ()) -> str:
    """Return the paper's tables (2, 3, 4 or 4c1 and 4c2, 5; all without names) as text, markdown,
    html or csv. Without names there are also tables of what the paper has not: further conditions,
    and other networks than Table 1's, whose numbers do not stand beside the paper's.

    Each data set has a row of our errors, mean ± standard deviation over seeds, one of the paper's,
    and one of the differences. ▲ and ▼ (or yellow and blue) mark what is worse or better than SGD
    by 3 % or more; × that the run which counts diverged. Empty is what was not run to the end.
    """
    forms = {"text": _text, "markdown": _markdown, "html": _html, "csv": _csv}
    if form not in forms:
        raise unknown("format", form, forms)
    records = list(records)
    unfinished = sum(not record["finished"] for record in records)
    text = forms[form](grids(records, names))
    if unfinished and form != "csv":
        text += f"\n{unfinished} experiments are not finished, and not counted.\n"
    if form != "csv":
        text += _rates_tried([record for record in records if record["finished"]])
    return text


Grid = tuple[paper.Table, Cells]


def of_table_1(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of the paper's networks: those that can be compared with its numbers."""
    return [record for record in records if not _own_network(record)]


def _own_network(record: dict[str, Any]) -> str:
    """Return a network's name, "my_net.py:small" or "resnet-20", or "" for one of Table 1."""
    name = record.get("settings", {}).get("network") or ""
    return "" if name in NETWORKS else name


def grids(records: Sequence[dict[str, Any]], names: Sequence[str] = ()) -> list[Grid]:
    """Return tables with the numbers that stand in them: see `render`."""
    found, tables = cells(of_table_1(records)), paper.tables(*names)
    if names:
        return [(table, found) for table in tables]
    shown = {condition for table in tables for condition in table.conditions}
    more = _table("other", "Conditions that the paper has not", found, shown)
    rows = [(table, found) for table in [*tables, *more]]
    for network in sorted({_own_network(record) for record in records} - {""}):
        part = cells([record for record in records if _own_network(record) == network])
        rows += [(table, part) for table in _table(network, f"Network {network}", part, set())]
    return rows


def _table(name: str, title: str, found: Cells, shown: set) -> list[paper.Table]:
    heads = dict.fromkeys(str(condition) for _, condition in found if condition not in shown)
    return [paper.Table(name, title, tuple(heads), {})] if heads else []


def _lines(row: list[Entry]) -> list[tuple[str, list[str]]]:
    """Return the lines of a data set: (what they are, a text for each column)."""
    ours = [f"{entry.ours}{MARKS[entry.shade]}" if entry.ours else "" for entry in row]
    lines = [(row[0].dataset, ours)]
    if any(entry.ours and entry.ours.honest for entry in row):
        honest = [
            f"{statistics.mean(entry.ours.honest):.2f}" if entry.ours and entry.ours.honest else ""
            for entry in row
        ]
        lines.append(("  honest", honest))
    if any(entry.published is not None for entry in row):
        published = [f"{e.published:.2f}" if e.published is not None else "" for e in row]
        differences = [f"{e.difference:+.2f}" if e.difference is not None else "" for e in row]
        lines += [("  paper", published), ("  difference", differences)]
    return lines


def _blocks(tables: list[Grid]):
    """Yield (table, its lines) for tables that there are numbers of."""
    for table, found in tables:
        rows = entries(table, found, datasets_of(found))
        rows = [row for row in rows if any(entry.ours for entry in row)]
        if rows:
            yield table, [line for row in rows for line in _lines(row)]


def _text(tables: list[Grid]) -> str:
    parts = []
    for table, lines in _blocks(tables):
        columns = [["", *table.heads], *([name, *texts] for name, texts in lines)]
        widths = [max(len(line[k]) for line in columns) for k in range(len(columns[0]))]
        rows = [
            "  ".join(
                text.ljust(width) if k == 0 else text.rjust(width)
                for k, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in columns
        ]
        parts.append("\n".join([f"{table.title}; error in %", *rows]) + "\n")
    return "\n".join(parts)


def _markdown(tables: list[Grid]) -> str:
    parts = []
    for table, lines in _blocks(tables):
        rows = [f"| | {' | '.join(table.heads)} |", "|---" * (len(table.heads) + 1) + "|"]
        rows += [f"| {name.strip()} | {' | '.join(texts)} |" for name, texts in lines]
        parts.append(f"**{table.title}**; error in %\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _html(tables: list[Grid]) -> str:
    parts = []
    for table, found in tables:
        rows = entries(table, found, datasets_of(found))
        rows = [row for row in rows if any(entry.ours for entry in row)]
        if not rows:
            continue
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *table.heads))
        body = []
        for row in rows:
            for (name, texts), first in zip(_lines(row), [True, False, False, False], strict=False):
                tds = []
                for entry, text in zip(row, texts, strict=True):
                    shade = COLOURS.get(entry.shade) if first and entry.ours else None
                    style = f' style="background:{shade}"' if shade else ""
                    if first and entry.ours:  # what a page can lead from a number to its runs by
                        of = (entry.dataset, str(condition_of(entry.head)))
                        style += ' data-dataset="{}" data-condition="{}"'.format(
                            *map(html.escape, of)
                        )
                    tds.append(f"<td{style}>{html.escape(text)}</td>")
                body.append(f"<tr><th>{html.escape(name.strip())}</th>{''.join(tds)}</tr>")
        parts.append(
            f"<h3>{html.escape(table.title)}</h3>\n<table>\n<tr>{head}</tr>\n"
            + "\n".join(body)
            + "\n</table>\n"
        )
    return "\n".join(parts)


def _csv(tables: list[Grid]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        "table dataset condition error std seeds honest_error paper difference colour "
        "rate_factors diverged_runs runs".split()
    )
    for table, found in tables:
        for row in entries(table, found, datasets_of(found)):
            for entry in filter(lambda entry: entry.ours, row):
                ours = entry.ours
                writer.writerow(
                    [
                        table.name,
                        entry.dataset,
                        entry.head,
                        f"{ours.mean:.4f}",
                        "" if ours.std is None else f"{ours.std:.4f}",
                        len(ours.errors),
                        f"{statistics.mean(ours.honest):.4f}" if ours.honest else "",
                        "" if entry.published is None else entry.published,
                        "" if entry.difference is None else f"{entry.difference:.4f}",
                        entry.shade or "",
                        " ".join(f"{factor:g}" for factor in ours.factors),
                        ours.diverged,
                        ours.runs,
                    ]
                )
    return file.getvalue()

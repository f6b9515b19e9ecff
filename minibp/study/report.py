"""One page for a whole sweep: tables, claims, curves, diagnostics, and where each number is from.

The page needs no network and no server: the records are in it as JSON, and a short script draws
what is asked for.
"""

import base64
import html
import json
from pathlib import Path
from typing import Any

from minibp.experiments.results import best_rate
from minibp.study import paper
from minibp.study.claims import judge
from minibp.study.conditions import Condition
from minibp.study.overview import overview, rules_of
from minibp.study.tables import Cells, cells, condition_of, datasets_of, of_table_1, render
from minibp.training.diagnostics import KEYS
from minibp.training.probe import Moments, moments_of

TEMPLATE = Path(__file__).with_name("report.html")
VANISHED = 1e-12  # of a norm


def report(records: list[dict[str, Any]], title: str) -> str:
    """Return the page of some records (see `results.read`) as HTML."""
    found = cells(of_table_1(records))
    page = TEMPLATE.read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(title),
        "SUMMARY": _summary(records),
        "OVERVIEW": _overview(found),
        "TABLES": render(records, "html"),
        "CLAIMS": _claims(found),
        # "</" would end the script that the data is in.
        "DATA": json.dumps(_data(records), separators=(",", ":")).replace("</", "<\\/"),
    }
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


def _summary(records: list[dict[str, Any]]) -> str:
    runs = [rate for record in records for rate in record["rates"]]
    seconds = sum(epoch["seconds"] for rate in runs for epoch in rate["history"])
    diverged = sum(rate["diverged_epoch"] is not None for rate in runs)
    unfinished = sum(not record["finished"] for record in records)
    text = (
        f"{len(records)} experiments, {len(runs)} runs ({diverged} diverged), "
        f"{seconds / 3600:.1f} hours of training and evaluation."
    )
    return text + (f" {unfinished} experiments are not finished." if unfinished else "")


def _overview(found: Cells) -> str:
    """Return a picture for each data set of which there are several rules."""
    pictures = []
    for dataset in datasets_of(found):
        known = [c for name, c in found if name == dataset and isinstance(c, Condition)]
        ours = {condition: found[dataset, condition].mean for condition in known}
        if len(rules_of(ours)) < 2:
            continue
        theirs = {c: error for c in known if (error := paper.published(dataset, c)) is not None}
        svg = base64.b64encode(overview(ours, theirs, dataset)).decode()
        pictures.append(
            f'<img alt="test errors on {html.escape(dataset)} by rule, without and with BN and BM"'
            f' src="data:image/svg+xml;base64,{svg}">'
        )
    return "\n".join(pictures)


def _claims(found: Cells) -> str:
    rows = []
    for verdict in judge(found, datasets_of(found)):
        item = verdict.claim
        texts = (verdict.dataset, f"{item.name}: {item.text}", item.source, verdict.numbers)
        dataset, text, source, used = map(html.escape, texts)
        kind = verdict.state.split()[0]
        rows.append(
            f'<tr data-dataset="{dataset}"><td>{dataset}</td><td>{text}</td><td>{source}</td>'
            f'<td class="{kind}">{verdict.state}</td><td>{used}</td></tr>'
        )
    return "\n".join(rows)


def _data(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the page's script needs of each run."""
    rows = []
    for record in records:
        winner = best_rate(record)
        for rate in record["rates"]:
            history = rate["history"]
            moments = moments_of(history)
            layers = list(history[0]["layers"])
            rows.append(
                {
                    "dataset": record["dataset"],
                    "condition": record["condition"],
                    "seed": record["seed"],
                    "factor": rate["factor"],
                    "schedule": rate["batch_schedule"],
                    "best": rate["best_error"],
                    "epoch": rate["best_epoch"],
                    "diverged": rate["diverged_epoch"],
                    "won": rate is winner and record["finished"],
                    "confusion": rate.get("confusion") if rate is winner else None,
                    "gradients": _gradients(rate),
                    "loss": [_short(epoch["loss"]) for epoch in history],
                    "error": [_short(epoch["error"]) for epoch in history],
                    "layers": layers,
                    "moments": [epochs for epochs, _ in moments],
                    "diagnostics": _diagnostics(moments, layers),
                    "honest": record["honest_error"],
                    "settings": record["settings"],
                    "versions": rate.get("versions", record["versions"]),
                    "device": rate.get("device", record["device"]),
                    "data": record["data"],
                    "sha256": record["data_sha256"],
                    "paper": _published(record),
                    "folder": record.get("folder", ""),
                }
            )
    return rows


def _diagnostics(moments: Moments, layers: list[str]) -> dict[str, list[list[float | None]]]:
    """Return a line for each layer of each diagnostic that the run has."""
    keys = [key for key in KEYS if any(key in row for _, at in moments for row in at.values())]
    return {
        key: [[_short(at.get(layer, {}).get(key)) for _, at in moments] for layer in layers]
        for key in keys
    }


def _gradients(rate: dict[str, Any]) -> str:
    """Return at a glance what becomes of the errors handed down: whether they explode or vanish,
    and their norms in the last epoch that has any."""
    sizes = [
        [
            value
            for value in (row.get("norm_dX") for row in epoch["layers"].values())
            if value is not None
        ]
        for epoch in rate["history"]
    ]
    last = next((values for values in reversed(sizes) if values), [])
    words = ["explode"] if rate["diverged_epoch"] is not None else []
    words += ["vanish"] if last and min(last) < VANISHED else []
    return "; ".join([*words, *([f"{min(last):.0e} – {max(last):.0e}"] if last else [])])


def _published(record: dict[str, Any]) -> float | None:
    return paper.published(record["dataset"], condition_of(record["condition"]))


def _short(value: float | None) -> float | None:
    """Return a number with four digits: enough for a picture."""
    return None if value is None else float(f"{value:.4g}")

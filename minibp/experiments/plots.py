"""Pictures of an experiment."""

import contextlib
import io
import os
from typing import Any

import numpy as np

# A picture in a file needs no backend: so a MPLBACKEND that names none shall not end the import.
backend = os.environ.pop("MPLBACKEND", None)
import matplotlib  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from minibp.training.probe import moments_of  # noqa: E402

if backend is not None:
    os.environ["MPLBACKEND"] = backend
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = backend


def learning_curves(record: dict[str, Any]) -> bytes:
    """Return a PNG: training loss and test error by epoch for each rate, and, for the best rate,
    the angle between each layer's update direction and the true gradient."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    loss, error, angle = figure.subplots(1, 3)
    figure.suptitle(f"{record['condition']} on {record['dataset']}, seed {record['seed']}")
    for rate in record["rates"]:
        epochs = [row["epoch"] for row in rate["history"]]
        several = len({other["batch_schedule"] for other in record["rates"]}) > 1
        label = f"{rate['factor']:g}" + (f" (batch {rate['batch_schedule']})" if several else "")
        style = {"label": label, "marker": "." if len(epochs) < 10 else ""}
        (line,) = error.plot(epochs, [row["error"] for row in rate["history"]], **style)
        losses = [row["loss"] for row in rate["history"]]
        loss.plot(epochs, [value if value else float("nan") for value in losses], **style)
        if rate["diverged_epoch"] is not None:
            error.plot(epochs[-1], rate["history"][-1]["error"], "x", color=line.get_color())
    best = min(record["rates"], key=lambda rate: rate["best_error"])
    for name in best["history"][0]["layers"]:
        moments = moments_of(best["history"])
        values = [layers.get(name, {}).get("angle_dW") for _, layers in moments]
        values = [float("nan") if value is None else value for value in values]
        angle.plot([epochs for epochs, _ in moments], values, label=name)
    for axes, title, unit in (
        (loss, "training loss", "mean cross-entropy"),
        (error, "test error (× diverged)", "%"),
        (angle, f"dW with V against dW with V = W, factor {best['factor']:g}", "degrees"),
    ):
        axes.set(title=title, ylabel=unit, xlabel="epoch")
        axes.grid(alpha=0.3)
    loss.set_yscale("log")
    error.legend(title="rate factor", fontsize="small")
    angle.set_ylim(bottom=0)
    if angle.lines:
        angle.legend(title="layer", fontsize="small")
    return _png(figure)


def matrix(
    values: np.ndarray, rows: list[str], columns: list[str], title: str, ours: str, theirs: str
) -> bytes:
    """Return a PNG of a table of numbers from 0 to 1: its lines are `rows`, of `ours`."""
    size = 0.55 * len(columns) + 3, 0.45 * len(rows) + 2
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set(title=title, ylabel=ours, xlabel=theirs)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    for (k, j), value in np.ndenumerate(values):
        colour = "black" if value > 0.6 else "white"
        axes.text(j, k, f"{value:.2f}", ha="center", va="center", color=colour, fontsize="small")
    figure.colorbar(image)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()

"""The pictures of the notebooks: legible in grey, and to the colour-blind."""

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.patches import FancyBboxPatch, Rectangle

# Okabe and Ito's colours; each line has dashes and a marker of its own besides.
COLOURS = ["#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
FORWARD, BACKWARD = COLOURS[2], COLOURS[1]


def setup() -> None:
    """Set the style of all pictures to come."""
    lines = cycler(color=COLOURS) + cycler(linestyle=DASHES) + cycler(marker=MARKERS)
    plt.rcParams.update(
        {
            "axes.prop_cycle": lines,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "lines.markersize": 4,
            "figure.dpi": 80,
            "figure.constrained_layout.use": True,
        }
    )


def graph(nodes: dict[str, tuple], edges: list[tuple[str, str, str]], title: str) -> None:
    """Draw a computation: nodes {symbol: (x, y, value, derivative)}, edges (from, to, factor).

    In each box the value stands above, the derivative ∂E/∂… below; an arrow's text is what the
    derivative is multiplied by on the way back.
    """
    xs, ys = zip(*[(x, y) for x, y, *_ in nodes.values()], strict=True)
    _, ax = plt.subplots(figsize=(2.1 * (max(xs) + 1), 1.5 * (max(ys) + 1)))
    for start, end, factor in edges:
        (x0, y0), (x1, y1) = nodes[start][:2], nodes[end][:2]
        ax.annotate(
            "", (x1 - 0.33, y1), (x0 + 0.33, y0), arrowprops={"arrowstyle": "->", "color": FORWARD}
        )
        box = {"fc": "white", "ec": "none", "pad": 1}
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        ax.text(*middle, factor, ha="center", va="center", fontsize=9, color="#444", bbox=box)
    for symbol, (x, y, value, derivative) in nodes.items():
        ax.add_patch(
            FancyBboxPatch((x - 0.3, y - 0.27), 0.6, 0.54, "round,pad=0.02", fc="white", ec="#444")
        )
        ax.text(x, y + 0.1, f"{symbol} = {value:.4g}", ha="center", color=FORWARD, fontsize=10)
        below = "" if derivative is None else f"∂E/∂{symbol} = {derivative:.4g}"
        ax.text(x, y - 0.17, below, ha="center", color=BACKWARD, fontsize=9)
    ax.set(xlim=(min(xs) - 0.5, max(xs) + 0.5), ylim=(min(ys) - 0.5, max(ys) + 0.5), title=title)
    ax.axis("off")
    plt.show()


def numbers(ax, array: np.ndarray, title: str, decimals: int = 0) -> None:
    """Show a matrix as cells with their numbers, darker where larger."""
    array = np.atleast_2d(array)
    ax.imshow(array, cmap="Greys", vmin=array.min(), vmax=array.max() + 1.5 * np.ptp(array) + 1e-9)
    for (row, column), value in np.ndenumerate(array):
        ax.text(column, row, f"{value:.{decimals}f}", ha="center", va="center", fontsize=9)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)


def windows(X: np.ndarray, columns: np.ndarray, kernel: tuple[int, int], positions: list) -> None:
    """Show an image (H, W) and its columns (positions, kh·kw), with some windows marked in both."""
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2))
    OW = X.shape[1] - kernel[1] + 1
    numbers(left, X, f"the image, {X.shape[0]} × {X.shape[1]}")
    numbers(right, columns, f"its columns: a row for each of {len(columns)} positions")
    for k, (row, column) in enumerate(positions):
        mark = {"fill": False, "ec": COLOURS[k + 1], "ls": ["-", "--", ":"][k], "lw": 3}
        left.add_patch(
            Rectangle((column - 0.45, row - 0.45), kernel[1] - 0.1, kernel[0] - 0.1, **mark)
        )
        place = row * OW + column
        right.add_patch(Rectangle((-0.45, place - 0.45), columns.shape[1] - 0.1, 0.9, **mark))
    right.set(xlabel="cell of the window, in the order of W.reshape(-1, J)", ylabel="position")
    plt.show()


def routes(names: list[str]) -> None:
    """Draw how an error reaches each layer: by backpropagation's way, and straight from the end."""
    _, both = plt.subplots(2, 1, figsize=(9, 4))
    titles = ("backpropagation, KP, WM: layer by layer", "DFA: the output's error to every layer")
    last = len(names) - 1
    for ax, title, direct in zip(both, titles, (False, True), strict=True):
        for k, name in enumerate(names):
            ax.text(k, 0, name, ha="center", va="center", bbox={"fc": "white", "ec": "#444"})
            if k < last:
                arrow = {"arrowstyle": "->", "color": FORWARD}
                ax.annotate("", (k + 0.72, 0.08), (k + 0.28, 0.08), arrowprops=arrow)
                ax.text(k + 0.5, 0.16, "" if k == last - 1 else "W", ha="center", color=FORWARD)
        for k in range(1, last):
            start = last if direct else k + 1
            bend = f"arc3,rad={-0.25 if direct else -0.5}"
            arrow = {"arrowstyle": "->", "color": BACKWARD, "ls": "--", "connectionstyle": bend}
            ax.annotate("", (k, -0.15), (start, -0.15), arrowprops=arrow)
            middle = (k + start) / 2, -0.26 - (0.12 * (start - k) if direct else 0.1)
            box = {"fc": "white", "ec": "none", "pad": 1}
            ax.text(*middle, "dN" if k == last - 1 else "V", color=BACKWARD, bbox=box)
        ax.set(xlim=(-0.5, last + 0.5), ylim=(-0.8, 0.4), title=title)
        ax.axis("off")
    plt.show()

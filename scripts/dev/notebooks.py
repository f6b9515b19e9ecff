"""Run the course's notebooks from top to bottom, and save their outputs.

python scripts/dev/notebooks.py            # all of them
python scripts/dev/notebooks.py 1 4        # these
python scripts/dev/notebooks.py --check    # save nothing: are the saved outputs what comes out now?
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
RELATIVE, ABSOLUTE = 1e-3, 1e-6  # how far a printed number may be off on another machine
VARIES = "varies"  # tag of a cell whose numbers depend on the machine: rounding noise, training
ANSWER = "exercise-"  # begins the tag of a cell that the reader fills in


def execute(notebook: nbformat.NotebookNode, folder: Path = FOLDER) -> nbformat.NotebookNode:
    """Return a copy with all cells run in a new kernel; an error in a cell is raised."""
    fresh = nbformat.from_dict(notebook)
    client = NotebookClient(
        fresh,
        timeout=600,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(stderr=subprocess.DEVNULL)  # the kernel's own log; a cell's stderr is kept
    fresh.metadata = notebook.metadata
    return fresh


def stale(saved: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> list[str]:
    """Return which cells' saved outputs are not what came out now, and how they differ.

    Pictures are compared by their number, texts word for word, numbers in them to three digits;
    cells tagged "varies" only by what kinds of output they have.
    """
    found = []
    for old, new in zip(saved.cells, fresh.cells, strict=True):
        if new.cell_type != "code":
            continue
        before, now = _texts(old), _texts(new)
        if [kind for kind, _ in before] != [kind for kind, _ in now]:
            found.append(f"cell {new.id}: other kinds of output")
        elif VARIES not in new.metadata.get("tags", ()):
            found += [
                f"cell {new.id}: saved {was!r}, now {is_!r}"
                for (_, one), (_, other) in zip(before, now, strict=True)
                for was, is_ in _differences(one, other)
            ]
    return found


def with_solutions(notebook: nbformat.NotebookNode, text: str) -> nbformat.NotebookNode:
    """Return a copy with the answers of a solutions file in the place of its exercises' cells."""
    parts = re.split(r"^# %% (\w+)\n", text, flags=re.MULTILINE)[1:]
    answers = {f"{ANSWER}{name}": code for name, code in zip(parts[::2], parts[1::2], strict=True)}
    solved = nbformat.from_dict(notebook)
    for cell in solved.cells:
        for tag in cell.metadata.get("tags", ()):
            if tag.startswith(ANSWER):
                cell.source = answers.pop(tag)
    if answers:
        raise ValueError(f"no exercises for the solutions {', '.join(answers)}.")
    return solved


def printed(notebook: nbformat.NotebookNode) -> str:
    """Return all that a notebook's cells have printed."""
    return "\n".join(text for cell in notebook.cells for kind, text in _texts(cell) if text)


def _texts(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Return (kind, text) of each of a cell's outputs; a picture has no text."""
    texts = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            texts.append((output.name, output.text))
        elif "image/png" in output.get("data", {}):
            texts.append(("picture", ""))
        else:
            texts.append((output.output_type, output.get("data", {}).get("text/plain", "")))
    return texts


def _differences(one: str, other: str) -> list[tuple[str, str]]:
    """Return the first pair of lines that differ, if any."""
    lines = one.splitlines(), other.splitlines()
    if len(lines[0]) != len(lines[1]):
        return [(one, other)]
    pairs = [pair for pair in zip(*lines, strict=True) if not _same(*pair)]
    return pairs[:1]


def _same(one: str, other: str) -> bool:
    if NUMBER.sub("#", one).split() != NUMBER.sub("#", other).split():
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(
        abs(float(a) - float(b)) <= max(ABSOLUTE, RELATIVE * abs(float(a))) for a, b in pairs
    )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="notebooks.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("numbers", nargs="*", metavar="N", help="of notebooks (default: all)")
    parser.add_argument("--check", action="store_true", help="save nothing; name stale outputs")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = build_parser()
    args = parser.parse_args(argv)
    paths = {path.name[0]: path for path in sorted(FOLDER.glob("[0-9]_*.ipynb"))}
    unknown = [number for number in args.numbers if number not in paths]
    if unknown:
        parser.error(f"no notebook {', '.join(unknown)}: there are {', '.join(paths)}")
    problems = []
    for number in args.numbers or paths:
        start, notebook = time.perf_counter(), nbformat.read(paths[number], as_version=4)
        fresh = execute(notebook)
        print(f"{paths[number].name}: {time.perf_counter() - start:.0f} s", flush=True)
        if args.check:
            problems += [f"{paths[number].name}: {what}" for what in stale(notebook, fresh)]
        else:
            nbformat.write(fresh, paths[number])
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

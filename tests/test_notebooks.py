"""The course: its notebooks run as they are given, and the solutions solve its exercises."""

import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from dev import notebooks  # noqa: E402

PATHS = sorted(notebooks.FOLDER.glob("[0-9]_*.ipynb"))
SOLUTIONS = notebooks.FOLDER / "solutions"
# Pictures, kernels and sockets of Jupyter's have warnings of their own.
pytestmark = pytest.mark.filterwarnings("default")


def read(path):
    return nbformat.read(path, as_version=4)


def small(*sources, tags=()):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


def test_there_are_seven():
    assert [path.name[0] for path in PATHS] == list("1234567")


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_runs_and_its_saved_outputs_are_what_comes_out(path):
    saved = read(path)
    assert not notebooks.stale(saved, notebooks.execute(saved))


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_solutions_solve_every_exercise(path):
    given = read(path)
    text = (SOLUTIONS / path.with_suffix(".py").name).read_text(encoding="utf-8")
    printed = notebooks.printed(notebooks.execute(notebooks.with_solutions(given, text)))
    assert "✓ right" in printed
    assert "✗" not in printed
    assert "not answered" not in printed


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_is_saved_as_a_reader_wants_it(path):
    given = read(path)
    code = [cell for cell in given.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code if cell.source)
    assert not [
        output for cell in code for output in cell.outputs if output.get("name") == "stderr"
    ]
    exercises = [
        cell
        for cell in code
        if any(tag.startswith(notebooks.ANSWER) for tag in cell.metadata.get("tags", ()))
    ]
    assert len(exercises) >= 3
    assert all("..." in cell.source for cell in exercises)
    assert "not answered yet" in notebooks.printed(given)
    assert path.stat().st_size < 600_000


def test_a_cell_that_fails_is_an_error():
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.execute(small("1 / 0"))


def outputs(*texts, tags=()):
    notebook = small(*["…"] * len(texts), tags=tags)
    for cell, text in zip(notebook.cells, texts, strict=True):
        cell.outputs = [nbformat.v4.new_output("stream", text=text)]
    return notebook


@pytest.mark.parametrize(
    ("saved", "now", "is_stale"),
    [
        ("dW = [0.25 -1.5]", "dW = [0.25 -1.5]", False),
        ("dW = [0.25 -1.5]", "dW = [0.25  -1.50001]", False),  # rounding, spaces
        ("error 3.1e-11", "error 8.2e-12", False),  # rounding noise
        ("dW = [0.25 -1.5]", "dW = [0.25 1.5]", True),
        ("dW = [0.25 -1.5]", "dX = [0.25 -1.5]", True),
        ("one\ntwo", "one", True),
    ],
)
def test_stale_outputs_are_found(saved, now, is_stale):
    assert bool(notebooks.stale(outputs(saved), outputs(now))) is is_stale


def test_a_cell_that_varies_may_print_other_numbers_but_must_print():
    saved = outputs("3.4 %", tags=["varies"])
    assert not notebooks.stale(saved, outputs("5.6 %", tags=["varies"]))
    assert notebooks.stale(saved, small("…", tags=["varies"]))


def test_a_solution_without_an_exercise_is_an_error():
    with pytest.raises(ValueError, match="9z"):
        notebooks.with_solutions(small("x = ..."), "# %% 9z\nx = 1\n")


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    nbformat.write(small("print(1 + 1)"), tmp_path / "1_sums.ipynb")
    assert notebooks.main(["--check"]) == 1  # never run
    assert "1_sums.ipynb: cell" in capsys.readouterr().err
    assert notebooks.main(["1"]) == 0
    assert notebooks.printed(read(tmp_path / "1_sums.ipynb")) == "2\n"
    assert notebooks.main(["--check"]) == 0
    with pytest.raises(SystemExit):
        notebooks.main(["7"])
    assert "no notebook 7" in capsys.readouterr().err

"""The structure that docs/design.md promises, read from the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "minibp").rglob("*.py")
}
# A module may import from its own floor and from those below it, never from above.
FLOORS = ("ground", "ops", "engine", "training", "experiments", "study")
GROUND = {"checks", "errors", "files", "device", "rng", "usercode", "console"}
DOORS = {"minibp", "minibp.selfcheck"}  # for users: they may import from every floor, nobody them


def tree(module):
    return ast.parse(MODULES[module].read_text())


def imports(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(module):
    """Return the floor that a module of minibp lies on."""
    first = module.split(".")[1]
    if first in FLOORS:
        return first
    return "ground" if first in GROUND else "engine"


def imported_modules(module):
    """Return the modules of minibp that a module imports."""
    packages = {"minibp", module.rpartition(".")[0]}  # named only to say where a module lies
    return {name for name in imports(module) if name in MODULES} - {module} - packages


@pytest.mark.parametrize("module", sorted(set(MODULES) - DOORS))
def test_imports_point_down(module):
    for name in imported_modules(module):
        assert name not in DOORS, f"{module} imports {name}"
        below = FLOORS.index(floor(name)) <= FLOORS.index(floor(module))
        assert below, f"{module} ({floor(module)}) imports {name}"


def test_no_module_imports_itself_by_way_of_others():
    left = {module: imported_modules(module) - DOORS for module in MODULES}
    while left:
        free = [module for module, needed in left.items() if not needed & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for module in free:
            del left[module]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_minibp_does_not_know_the_data_sets(module):
    assert not [name for name in imports(module) if name.startswith("minibp_datasets")]


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"minibp.device"}))
def test_only_device_names_cupy(module):
    assert "cupy" not in {name.partition(".")[0] for name in imports(module)}
    named = [node.id for node in ast.walk(tree(module)) if isinstance(node, ast.Name)]
    assert "cupy" not in named


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"minibp.rng"}))
def test_only_rng_draws_random_numbers(module):
    banned = {"random", "secrets", "numpy.random"}
    assert not banned & set(imports(module))
    attributes = [node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)]
    assert not {"random", "default_rng", "RandomState"} & set(attributes)


def test_feedback_rules_and_layers_do_not_know_each_other():
    assert "minibp.feedback" not in imports("minibp.layers.base")
    assert not [name for name in imports("minibp.feedback") if name.startswith("minibp.layers")]


def test_V_is_used_in_one_line_of_each_weighted_layer():
    for name in ("linear", "conv2d"):
        uses = [
            node.lineno
            for node in ast.walk(tree(f"minibp.layers.{name}"))
            if isinstance(node, ast.Attribute) and node.attr == "V"
        ]
        assert len(uses) == 1


# Test files of several modules, or of none: what holds for a whole family, and the documents.
TOGETHER = {
    "architecture", "copies", "docs", "notebooks", "readme", "strict_array", "without_numba",
    "feedback/replayed", "layers/shapes", "layers/weighted",
    "ops/tiers", "ops/contract", "ops/cpu/cache", "ops/cuda/nvcc",
}  # fmt: skip


def test_each_module_has_a_test_file_in_its_place():
    modules = {
        path.relative_to(ROOT / "minibp").with_suffix("").as_posix()
        for path in MODULES.values()
        if path.name != "__init__.py"
    }
    tests = {
        (path.relative_to(ROOT / "tests").parent / path.stem.removeprefix("test_")).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    elsewhere = {
        name for name in tests if name.startswith(("datasets/", "scripts/", "emulated_gpu/"))
    }
    assert not modules - tests, "no test file"
    assert not tests - modules - elsewhere - TOGETHER, "a test file of no module"

"""The structure that docs/design.md promises, read from the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "minibp").rglob("*.py")
}
# A module may import those below it, never those above; modules of one line not each other.
LEVELS = [
    ("errors",),
    ("device", "files", "console"),
    ("rng", "ops", "usercode"),
    ("journal",),
    ("layers", "feedback", "losses", "data", "checkpoint", "preprocess"),
    ("conditions", "settings", "fused", "guard"),
    ("schedule",),
    ("identity",),
    ("paper",),
    ("tables",),
    ("claims",),
    ("network", "feed"),
    ("optim", "models", "metrics"),
    ("update",),
    ("replay",),
    ("train", "gradcheck", "results"),
    ("plots", "selfcheck", "warmup"),
    ("experiment",),
    ("sweep", "report"),
    ("workers",),
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def tree(module):
    return ast.parse(MODULES[module].read_text())


def imports(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(module):
    """Return the file or folder below minibp/ that a module belongs to, or None."""
    first, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    return name if first == "minibp" and name in LEVEL else None


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"minibp"}))
def test_imports_point_one_way(module):
    own = part(module)
    assert own is not None, f"{module} has no place in LEVELS"
    for imported in filter(None, map(part, imports(module))):
        assert imported == own or LEVEL[imported] < LEVEL[own], f"{module} imports {imported}"


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
    assert "feedback" not in {part(name) for name in imports("minibp.layers.base")}
    assert "layers" not in {part(name) for name in imports("minibp.feedback")}


def test_V_is_used_in_one_line_of_each_weighted_layer():
    for name in ("linear", "conv2d"):
        uses = [
            node.lineno
            for node in ast.walk(tree(f"minibp.layers.{name}"))
            if isinstance(node, ast.Attribute) and node.attr == "V"
        ]
        assert len(uses) == 1

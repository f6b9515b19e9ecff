"""How the site is built: `sphinx-build -W docs build/site`."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import latex2mathml.converter
from docutils import nodes

import minibp

ROOT = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"(?:^\w[\w, ]*? {2,}\S.*\n(?: {6,}\S.*\n)*){2,}", re.MULTILINE)

project = "minibp"
author = "the minibp contributors"
copyright = author
release = version = minibp.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"minibp {release}"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"  # no script from elsewhere
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"  # they are saved with their outputs
copybutton_exclude = ".linenos, .gp, .go"
autodoc_default_options = {"members": True, "member-order": "bysource", "undoc-members": True}
autodoc_default_options["exclude-members"] = "ops"  # a module, which would show its path
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
default_role = "literal"
suppress_warnings = ["config.cache"]


def setup(app) -> None:
    """Have the notebooks among the pages, and connect what follows."""
    (ROOT / "docs" / "notebooks").mkdir(exist_ok=True)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy2(path, ROOT / "docs" / "notebooks")
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("source-read", put_helps)
    app.connect("autodoc-process-docstring", preformat)


def mathml(translator, node) -> None:
    """Write a formula as MathML, which browsers draw themselves."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    translator.body.append(latex2mathml.converter.convert(node.astext(), display=display))
    raise nodes.SkipNode


def put_helps(app, name: str, source: list[str]) -> None:
    """Put the help of a script in the place of `<!-- help: NAME -->`."""
    source[0] = re.sub(r"<!-- help: ([\w/]+) -->", lambda match: help_of(match[1]), source[0])


def help_of(name: str) -> str:
    """Return what `python scripts/NAME.py --help` prints, and of its subcommands, as Markdown."""
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"minibp_docs_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))  # scripts import their neighbours
    spec.loader.exec_module(module)
    sys.path.remove(str(path.parent))
    parser = module.build_parser()
    helps = [parser.format_help()]
    for action in parser._actions:
        if isinstance(action.choices, dict):  # subcommands
            helps += [parser.format_help() for parser in action.choices.values()]
    return "\n".join(f"```text\n{text.rstrip()}\n```\n" for text in helps)


def preformat(app, what, name, obj, options, lines: list[str]) -> None:
    """Have the aligned lists in docstrings, "name  what it is", appear as they are written."""
    text = TABLE.sub(lambda match: "::\n\n" + indented(match[0]) + "\n", "\n".join(lines) + "\n")
    lines[:] = text.split("\n")


def indented(text: str) -> str:
    """Return a text four spaces to the right."""
    return "".join(f"    {line}\n" for line in text.splitlines())

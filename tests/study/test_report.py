"""The report, as data and in a real browser."""

import base64
import html
import json
import re
import shutil
import subprocess

import pytest
from minibp_datasets import registry

from minibp.experiments import results
from minibp.experiments.job import DataSource, Worker, jobs_of
from minibp.experiments.sweep import Sweep, run_here
from minibp.study.conditions import Condition
from minibp.study.recipe import paper_experiment
from minibp.study.report import report
from minibp.study.settings import Settings
from minibp.training.diagnostics import KEYS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a small sweep: two data sets, three conditions, one of which diverges."""
    folder = tmp_path_factory.mktemp("runs")
    experiments = [
        (
            paper_experiment(
                data,
                "mnist",
                Condition.parse(head),
                epochs=2,
                rate_factors=(1, 1e9),
                settings=Settings(diagnose_every=1),
            ),
            DataSource(data),
        )
        for data in ("synthetic:mnist,classes=3,train=60,test=30", "synthetic:mnist,classes=4")
        for head in ("SGD", "frSF+BN+BM", "uSF+BM")
    ]
    jobs = jobs_of(experiments, folder)
    run_here(Sweep(jobs, registry.load, Worker(kernels="plain")), lambda _: None)
    return report(results.read(folder), "A & B")


def data(page):
    text = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1]
    return json.loads(text)


def test_every_run_is_in_it_with_where_it_is_from(page):
    runs = data(page)
    assert len(runs) == 2 * (2 + 2 + 4)  # uSF+BM has two batch schedules
    assert sum(run["won"] for run in runs) == 6
    assert sum(run["diverged"] is not None for run in runs) >= 2
    for run in runs:
        assert len(run["error"]) == len(run["loss"]) > 0
        assert len(run["sha256"]) == 64
        assert {"minibp", "numpy"} <= run["versions"].keys()
        if run["won"]:
            samples = sum(count for _, _, count in run["confusion"])
            right = sum(count for true, found, count in run["confusion"] if true == found)
            assert samples == run["data"]["test"]
            assert 100 * (samples - right) / samples == run["best"]
        else:
            assert run["confusion"] is None
        assert run["moments"] == [0, *range(1, 1 + len(run["error"]))]  # before the first step, too
        assert list(run["diagnostics"]) == list(KEYS)
        for lines in run["diagnostics"].values():
            assert [len(line) for line in lines] == [len(run["moments"])] * len(run["layers"])
    assert "A &amp; B" in page


def test_it_needs_no_network(page):
    outside = r"(?:src|href)\s*=(?!\"data:)|@import|url\(|fetch\(|https?://"
    assert not re.findall(outside, page)
    assert re.findall(outside, page + '<img src="photo.png">')


def test_a_picture_for_each_data_set(page):
    pictures = re.findall(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]*)">', page)
    assert [alt.split(" by ")[0].split(" on ")[1] for alt, _ in pictures] == sorted(
        {run["dataset"] for run in data(page)}
    )
    for _, svg in pictures:
        texts = re.findall(r">([^<>]+)</text>", base64.b64decode(svg).decode())
        assert {"BP", "uSF", "frSF", "SGD", "BN+BM"} <= set(texts)
        assert "the paper" not in texts  # it has none of made-up data


def browse(page, folder, script):
    """Return the page's text and the console's errors after a script has run in it."""
    path = folder / "page.html"
    path.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--window-size=1280,1000", f"--user-data-dir={folder / 'profile'}"),
            *("--virtual-time-budget=5000", "--dump-dom", path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    said = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.S)
    return json.loads(said[1].replace("&gt;", ">").replace("&amp;", "&")), errors


SAY = """
const say = what => { const p = document.createElement("pre"); p.id = "said";
  p.textContent = JSON.stringify(what); document.body.append(p); };
const overflow = d => d.documentElement.scrollWidth - d.documentElement.clientWidth;
const column = k => [...$("runs").tBodies[0].rows].map(row => row.cells[k].textContent);
"""


@needs_browser
def test_in_a_browser(page, tmp_path):
    script = (
        SAY
        + """
const all = column(5).map(Number);
$("runs").tHead.rows[0].cells[5].click();
const turned = column(5).map(Number);
$("dataset").value = $("dataset").options[1].value; $("dataset").dispatchEvent(new Event("change"));
const one = column(0);
$("condition").value = "frSF+BN+BM"; $("condition").dispatchEvent(new Event("change"));
const both = column(1);
$("condition").value = ""; $("won").checked = true; $("won").dispatchEvent(new Event("change"));
const won = column(8);
$("runs").tBodies[0].rows[0].click();
const matrix = [...$("classes").querySelectorAll("tr")].map(row => row.cells.length);
$("won").checked = false;
document.querySelector('#tables td[data-condition="uSF+BM"]').click();
const led = [column(1), $("dataset").value === column(0)[0], $("which").textContent];
$("dataset").value = $("dataset").options[1].value; $("dataset").dispatchEvent(new Event("change"));
const ticks = k => [...$("pictures").children[k].querySelectorAll("text[text-anchor=middle]")]
  .map(text => text.textContent);
say({ticks: [ticks(1), ticks(3)], led, matrix, all, turned, one, both, won,
     pictures: $("pictures").children.length,
     claims: [...$("claims").tBodies[0].rows].filter(row => !row.hidden).length,
     rows: $("claims").tBodies[0].rows.length, provenance: $("provenance").textContent.length,
     wide: overflow(document)});
"""
    )
    seen, errors = browse(page, tmp_path, script)
    assert errors == []
    assert seen["all"] == sorted(seen["all"])
    assert seen["turned"] == sorted(seen["all"], reverse=True)
    assert len(set(seen["one"])) == 1
    assert len(seen["one"]) == 8
    assert seen["both"] == ["frSF+BN+BM"] * 2
    assert seen["won"] == ["yes"] * 3
    assert seen["pictures"] == 2 + len(KEYS)
    assert seen["ticks"] == [["1", "2", "epoch"], ["0", "1", "2", "epoch"]]
    assert seen["matrix"] in ([5] * 4, [6] * 5)  # three or four classes, a name and the error
    assert seen["led"][:2] == [["uSF+BM"] * 4, True]
    assert seen["led"][2].startswith("uSF+BM on ")
    assert seen["rows"] == 2 * seen["claims"] + 1 > 1  # and one of all data sets
    assert seen["provenance"] > 500
    assert seen["wide"] <= 0  # wide tables scroll by themselves, the page does not


@needs_browser
@pytest.mark.parametrize("width", [360, 390, 768])
def test_narrow_screens(page, tmp_path, width):
    """In a frame of that width: a window cannot be as narrow as a phone."""
    outer = (
        "<!doctype html><body>"
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(page)}">'
        "</iframe></body>"
    )
    script = (
        SAY
        + """
window.addEventListener("load", () => { const d = document.querySelector("iframe").contentDocument;
  say({wide: overflow(d), width: d.defaultView.innerWidth}); });
"""
    )
    seen, errors = browse(outer, tmp_path, script)
    assert errors == []
    assert seen == {"wide": 0, "width": width}  # wide tables scroll by themselves


@needs_browser
def test_the_browser_test_sees_errors(page, tmp_path):
    _, errors = browse(page, tmp_path, SAY + "say(1); setTimeout(() => nothing.there, 0);")
    assert errors

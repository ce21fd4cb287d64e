"""The report as a page: every section, and hostile input."""

import contextlib
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.nanopore.alignment import Alignment, columns, parse_cigar
from biorrn.nanopore.evaluate.basecalls import basecall_figures
from biorrn.nanopore.evaluate.identity import score_reads, summarise
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.proteins.figures import regression_figures
from biorrn.report import figures as report_figures
from biorrn.report.page import part, policy, render, write_report
from biorrn.stats import metrics as regression
from biorrn.stats.figures import save_drawings
from biorrn.stats.results import read_result, write_result

EVIL = "<script>alert('id')</script>"
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects tags, addresses and text, and fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def common(kind: str, name: str, **more: Any) -> dict[str, Any]:
    inputs = {"predictions": {"path": f"{EVIL}.tsv", "sha256": "ab" * 32}}
    base = {"kind": kind, "name": name, "split": "valid", "note": "", "cautions": [], "inputs": inputs}
    return base | {"command": "biorrn evaluate", "biorrn": "0", "seed": 0, "resamples": 20, "baselines": {}} | more


def write_regression(folder: Path) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(60, 1))
    predicted = true + 0.5 * rng.normal(size=(60, 1))
    worse = {"mean": -0.1, "ridge": 0.2}
    estimates = regression.evaluate(true[:, 0], predicted[:, 0], resamples=20)
    flat = regression.evaluate(true[:, 0], np.zeros(60), resamples=20)
    baselines = {
        name: {
            "description": f"how {name} was fitted",
            "metrics": flat,
            "difference": {"spearman": {"n": 60, "value": gap, "low": gap - 0.05, "high": gap + 0.05}},
            "beats": gap > 0,
            "sentence": f"The model {'beats' if gap > 0 else 'does not beat'} the baseline '{name}'.",
        }
        for name, gap in worse.items()
    }
    content = common(
        "regression",
        f"stability {EVIL}",
        targets=[{"name": "tm", "unit": "°C"}],
        metrics={"tm": estimates},
        baselines={"tm": baselines},
        flags={EVIL: 3},
        note=f"labels are simulated {EVIL}",
    )
    path = folder / "regression.json"
    content["figures"] = save_drawings(regression_figures(content, true, predicted), folder / "figures", path)
    write_result(path, content)


def write_basecalls(folder: Path) -> None:
    kind, on_reference, on_read = columns(parse_cigar("100M"), "ACGT" * 25, "ACGA" * 25)
    found = Alignment("g", "+", 0, 100, 100, 60, kind, on_reference, on_read)
    calls = [BaseCall(f"{EVIL}{i}", "ACGT" * 25, np.full(100, 6, np.uint8)) for i in range(5)]
    scores = score_reads(calls, lambda call: None if call.id.endswith("4") else found)
    content = common("basecalls", "lambda", region=None, min_bases=100, **summarise(scores, resamples=20))
    content["cautions"] = ["1 of 5 reads map nowhere and are in no identity."]
    path = folder / "basecalls.json"
    content["figures"] = save_drawings(basecall_figures(content, scores), folder / "calls", path)
    write_result(path, content)


def write_run(folder: Path) -> None:
    folder.mkdir()
    head = ["epoch", "step", "seconds", "train_loss", "valid_loss", "lr", "grad_norm", "valid_spearman"]
    lines = ["\t".join(head)] + ["\t".join(str(0.1 * (epoch + k)) for k in range(len(head))) for epoch in range(3)]
    (folder / "history.tsv").write_text("\n".join(lines) + "\n")
    (folder / "recipe.yaml").write_text(f"name: x # {EVIL}\n")
    provenance = {
        "command": f"biorrn train {EVIL}",
        "versions": {"torch": "2.0"},
        "data": {"set.h5": "cd" * 32},
        "device": "cpu",
        "threads": 2,
        "seed": 0,
        "seconds": 361.2,
        "parameters": 123456,
        "rate": {"value": 812.5, "unit": "sequences/s"},
        "best": {"epoch": 1, "metric": "valid_spearman", "value": 0.74},
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))


def write_prepared(path: Path) -> None:
    content = {EVIL: EVIL, "note": "made up", "rows": {"train": 100}, "lengths": {"edges": [0, 9], "counts": [4]}}
    path.write_text(json.dumps(content))


def write_more(folder: Path) -> None:
    qc = {"kind": "qc", "name": f"cell {EVIL}", "note": EVIL, "counts": {"called": 12345}, "files": [{"name": EVIL}]}
    (folder / "qc.json").write_text(json.dumps(qc))
    (folder / "benchmarks" / "train").mkdir(parents=True)
    (folder / "benchmarks" / "train" / "run.tsv").write_text("s\tmax_rss\n90\t812.3\n")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with everything a report is made from; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("inputs")
    write_regression(folder)
    write_basecalls(folder)
    write_run(folder / "run")
    write_prepared(folder / "prepare.json")
    write_more(folder)
    return folder


@pytest.fixture(scope="module")
def html(inputs: Path) -> str:
    evaluations = [inputs / "regression.json", inputs / "basecalls.json"]
    more: dict[str, Any] = {"sampled": {"qc": [inputs / "qc.json"]}, "benchmarks": inputs / "benchmarks"}
    return render(evaluations, [inputs / "run"], [inputs / "prepare.json"], f"title {EVIL}", **more)


@pytest.fixture
def regression_json(inputs: Path, tmp_path: Path) -> Path:
    shutil.copytree(inputs / "figures", tmp_path / "figures")
    return Path(shutil.copy(inputs / "regression.json", tmp_path))


@pytest.fixture
def run(inputs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(inputs / "run", tmp_path / "run"))


def test_parses_and_starts_as_html(html: str) -> None:
    assert html.startswith("<!DOCTYPE html>")
    assert {"html", "title", "table", "figure", "img"} <= set(Page(html).tags)


def test_asks_for_nothing_outside(html: str) -> None:
    page = Page(html)
    assert not re.search(r"https?://|//cdn|@import|url\(", html)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not {"iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert page.tags.count("link") == 1  # an empty icon, so that no browser asks for one


def test_whatever_a_file_says_is_text(html: str) -> None:
    assert html.count("<script") == 1  # the page's own, the only one that its policy lets run
    assert f"<script>{part('report.js')}</script>" in html
    assert f'content="{policy(part("report.js"))}"'.replace("'", "&#39;") in html
    # title, name, note, flag, input, recipe, command, key and value of the prepare report, sample
    assert Page(html).text.count(EVIL) >= 10
    assert "</script" not in part("report.js")
    assert "</style" not in part("report.css")


def test_anchors_are_unique_and_found(html: str) -> None:
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(set(ids)) == len(ids)
    assert {address[1:] for address in Page(html).addresses if address.startswith("#")} <= set(ids)


def test_headings_leave_out_no_level(html: str) -> None:
    levels = [int(tag[1]) for tag in Page(html).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_is_small(html: str) -> None:
    assert len(html.encode()) < 5_000_000


def test_fits_a_phone(html: str) -> None:
    assert 'name="viewport" content="width=device-width' in html
    page = html.split("<body>")[1]
    # wide tables scroll by themselves, and all can be sorted
    assert page.count("<table") == len(re.findall(r'<div class="wide"[^>]*><table class="sortable', page)) > 0


def test_holds_numbers_figures_cost_and_provenance(html: str, inputs: Path, regression_json: Path) -> None:
    page = Page(html)
    spearman = read_result(regression_json)["metrics"]["tm"]["spearman"]
    for words in (
        f"{spearman['value']:.3f}",
        f"{spearman['low']:.3f} to {spearman['high']:.3f}",
        "75.00 %",
        "does not beat mean",
        "The model beats the baseline 'ridge'.",
        "The model does not beat 1 of 2 baselines: it is worse than mean.",
        "made up",
        "labels are simulated",
        "1 of 5 reads map nowhere",
        "812.5 sequences/s",
        "6.0 minutes",
        "peak memory 812 MB",
        "12,345",
        "123,456",
        "0.74 valid_spearman after epoch 2",
        "ab" * 32,
        "cd" * 32,
        "torch 2.0",
    ):
        assert words in page.text, words
    listed = [read_result(path)["figures"] for path in (inputs / "regression.json", inputs / "basecalls.json")]
    # besides those of the files: loss, metric and optimiser of the run, lengths of the data, the costs
    assert page.tags.count("img") == sum(map(len, listed)) + 3 + 1 + 1


def test_same_inputs_give_the_same_page(regression_json: Path, run: Path) -> None:
    assert render([regression_json], [run]) == render([regression_json], [run])


def test_evaluation_alone_is_enough(regression_json: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "out" / "report.html", [regression_json], [], [], "alone")
    page = Page((tmp_path / "out" / "report.html").read_text())
    assert "alone" in page.text
    assert not {"#samples", "#data", "#cost"} & set(page.addresses)


def test_nothing_to_report_is_said() -> None:
    with pytest.raises(ConfigError, match="nothing to report"):
        render()


def test_large_svg_gives_way_to_the_png(regression_json: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def formats() -> list[str]:
        return re.findall(r'<img src="data:image/([a-z+]*)', render([regression_json]))

    assert set(formats()) == {"svg+xml"}
    monkeypatch.setattr(report_figures, "BIG", 10)
    assert set(formats()) == {"png"}


def test_unfinished_run_is_said_to_be(regression_json: Path, run: Path) -> None:
    (run / "provenance.json").unlink()
    assert "not finished" in Page(render([regression_json], [run])).text
    assert "Training is not finished: 3 epochs are recorded." in Page(render([regression_json], [run])).text


def change(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"kind": "regresion"}, "key 'kind': found 'regresion'; allowed is regression or classification"),
        ({"metrics": [1]}, "key 'metrics': found list; expected a mapping"),
        ({"metrics": {"tm": 3}}, "is not as `biorrn evaluate` writes it"),
        ({"baselines": {"tm": {"mean": {}}}}, "is not as `biorrn evaluate` writes it"),
        ({"figures": ["a.svg"]}, "each entry needs 'path'"),
        ({"figures": [{"path": "gone.svg", "caption": ""}]}, "cannot be read"),
        ({"figures": [{"path": "notes.txt", "caption": ""}]}, "found suffix '.txt'"),
        ({"flags": 3}, "is not as `biorrn evaluate` writes it"),
        ({"inputs": {"reads": "x"}}, "is not as `biorrn evaluate` writes it"),
    ],
)
def test_damaged_evaluation_is_one_line(regression_json: Path, entries: dict[str, Any], message: str) -> None:
    change(regression_json, **entries)
    with pytest.raises(InputError) as caught:
        render([regression_json])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entries", [{"rate": 5}, {"best": "good"}, {"versions": 3}, {"data": ["a"]}])
def test_damaged_provenance_is_one_line(regression_json: Path, run: Path, entries: dict[str, Any]) -> None:
    change(run / "provenance.json", **entries)
    with pytest.raises(InputError, match="is not as `biorrn train` leaves it"):
        render([regression_json], [run])


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ("[1]", "holds a list"), ("{}", "key 'kind'")])
def test_what_is_no_evaluation(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=message):
        render([tmp_path / "x.json"])


ILL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><script>x</script>",
    "</style><script>x</script>",
    "]]><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:alert(1)",
]
ESTIMATE = {"n": 9, "value": 0.5, "low": 0.1, "high": 0.9}


class Attributes(HTMLParser):
    """Collects tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def evaluation(words: str) -> dict[str, Any]:
    metrics = {"spearman": ESTIMATE, words: ESTIMATE}
    baseline = {"description": words, "metrics": metrics, "difference": metrics, "beats": True, "sentence": words}
    return {
        "kind": "regression",
        **{key: words for key in ("name", "split", "note", "command", "biorrn")},
        **{
            "cautions": [words],
            "seed": words,
            "resamples": words,
            "flags": {words: 1},
            "coverage": {words: {words: 1}},
        },
        "inputs": {words: {"path": words, "sha256": words}},
        "targets": [{"name": words, "unit": words}],
        "metrics": {words: metrics},
        "baselines": {words: {words: baseline}},
        "figures": [{"path": "f.svg", "caption": words}],
    }


def page(folder: Path, words: str) -> Attributes:
    """Return the page of an evaluation, a run and a data set that hold words wherever they hold any."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    (folder / "f.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><script>{words}</script></svg>")
    (folder / "e.json").write_text(json.dumps(evaluation(words)))
    (folder / "p.json").write_text(json.dumps({"note": words, words: {words: words}, "splits": {words: {words: 1}}}))
    (run / "provenance.json").write_text(json.dumps({"recipe": words, words: words, "command": words, "device": words}))
    (run / "recipe.yaml").write_text(words)
    return Attributes(render([folder / "e.json"], [run], [folder / "p.json"], words))


def test_words_of_files_make_no_element_and_no_attribute(tmp_path: Path) -> None:
    harmless = page(tmp_path, "words")
    for words in (" ".join(ILL), ILL[1], ILL[2]):
        found = page(tmp_path, words)
        # the same elements, as many of each, whatever the words are
        assert found.tags == harmless.tags
        assert [name for name, _ in found.attributes] == [name for name, _ in harmless.attributes]
        for name, value in found.attributes:
            assert not name.startswith("on")
            if name in ("src", "href", "action", "formaction", "data"):
                assert str(value).startswith(("data:", "#"))


@pytest.mark.parametrize("path", ["../secret.svg", "/etc/x.png", "link.svg", "x/../../secret.svg"])
def test_figures_lie_beside_the_file_that_names_them(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "secret.svg").write_text("<svg/>")
    (folder / "link.svg").symlink_to(tmp_path / "secret.svg")
    (folder / "e.json").write_text(json.dumps(evaluation("words") | {"figures": [{"path": path, "caption": ""}]}))
    with pytest.raises(InputError, match="found the path"):
        render([folder / "e.json"])


@pytest.mark.parametrize("value", [10**400, 1e999, [[]], {}])
@pytest.mark.parametrize("key", ["metrics", "targets", "flags", "figures"])
def test_odd_values_are_shown_or_refused(key: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "f.svg").write_text("<svg/>")
    (tmp_path / "e.json").write_text(json.dumps(evaluation("words") | {key: value}))
    with contextlib.suppress(InputError):
        assert render([tmp_path / "e.json"]).rstrip().endswith("</html>")

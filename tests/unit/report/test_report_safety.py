"""What comes from files is text on the page of the report, and nothing else."""

import contextlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from biorrn.base.errors import InputError
from biorrn.report.page import render

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


class Page(HTMLParser):
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


def page(folder: Path, words: str) -> Page:
    """Return the page of an evaluation, a run and a data set that hold words wherever they hold any."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    (folder / "f.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><script>{words}</script></svg>")
    (folder / "e.json").write_text(json.dumps(evaluation(words)))
    (folder / "p.json").write_text(json.dumps({"note": words, words: {words: words}, "splits": {words: {words: 1}}}))
    (run / "provenance.json").write_text(json.dumps({"recipe": words, words: words, "command": words, "device": words}))
    (run / "recipe.yaml").write_text(words)
    return Page(render([folder / "e.json"], [run], [folder / "p.json"], words))


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

"""Figures of errors by context and of intervals: drawn whatever there is, small, and true to what they say."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from biorrn.nanopore.evaluate.error_profile import KMERS, LONGEST, Contexts, Homopolymers, context_figures
from biorrn.proteins.figures import SHOWN, regression_figures, some_rows
from biorrn.stats import metrics as regression
from biorrn.stats.figures import Drawing, as_bytes

LARGEST = 200_000  # bytes of an SVG


def error_drawings(runs: int) -> list[Drawing]:
    """Return the figures of counts as an evaluation might have: `runs` of each length, fewer the longer they are."""
    homopolymers, contexts = Homopolymers(), Contexts()
    for length in range(1, LONGEST + 1):
        n = runs // length**3
        homopolymers.called[:, length, length] += n
        homopolymers.called[:, length, length - 1] += n // 4
        homopolymers.sums[:, length] += [length * (n + n // 4), length * n + (length - 1) * (n // 4), n, 0]
    contexts.kmers[:, 0] = runs
    contexts.kmers[:, 1:] = np.arange(192).reshape(64, 3) % 17 * (runs // 100)
    contexts.pairs[:, 1:] = runs * np.eye(4, 5, dtype=int) + runs // 50
    return context_figures({"homopolymers": homopolymers.table(), "contexts": contexts.table()}, "all mapped reads")


@pytest.mark.parametrize("runs", [0, 30, 100_000])
def test_errors_are_drawn_whatever_was_counted(runs: int) -> None:
    drawings = error_drawings(runs)
    assert [one.name for one in drawings] == ["homopolymers", "homopolymer_lengths", "contexts", "substitutions"]
    for one in drawings:
        svg = as_bytes(one.figure, "svg")
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert len(svg) < LARGEST
        assert one.caption.endswith(".")


def test_the_worst_contexts_are_named() -> None:
    caption = error_drawings(100_000)[2].caption
    named = caption.split("Most errors in all: ")[1].rstrip(".").split(", ")
    assert len(named) == 3
    assert all(entry.split()[0] in KMERS for entry in named)
    shares = [float(entry.split()[1]) for entry in named]
    assert shares == sorted(shares, reverse=True)
    assert "Most errors" not in error_drawings(30)[2].caption


def interval_drawing(n: int, level: float | None = 0.9) -> Drawing:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(n, 1))
    if n:
        true[0] = np.nan
    predicted = true + 0.5
    predicted[:1] = 0.0
    content: dict[str, Any] = {
        "split": "valid",
        "targets": [{"name": "tm", "unit": "°C"}],
        "metrics": {"tm": regression.evaluate(true[:, 0], predicted[:, 0], resamples=20)},
        "baselines": {},
    }
    # every second interval holds
    half = np.where(np.arange(n)[:, None] % 2, 1.0, 0.1)
    drawings = regression_figures(content, true, predicted, predicted - half, predicted + half)
    assert [one.name for one in drawings] == ["scatter", "intervals", "residuals"]
    assert [one.name for one in regression_figures(content, true, predicted)] == ["scatter", "residuals"]
    return drawings[1]


@pytest.mark.parametrize(("n", "words"), [(0, "all 0 rows"), (2, "all 1 rows"), (41, "all 40 rows")])
def test_intervals_are_drawn_with_what_they_hold(n: int, words: str) -> None:
    drawing = interval_drawing(n)
    assert words in drawing.caption
    assert len(as_bytes(drawing.figure, "svg")) < LARGEST
    legend = drawing.figure.axes[0].get_legend()
    if n > 2:
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["held: 20", "missed: 20"]


def test_of_many_intervals_some_are_drawn() -> None:
    drawing = interval_drawing(5000)
    assert f"{SHOWN}, spread evenly over the measured values, of 4,999 rows" in drawing.caption
    assert len(as_bytes(drawing.figure, "svg")) < LARGEST


def test_some_rows_reach_from_the_least_to_the_most() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    values[::3] = np.nan
    found = some_rows(values, most=50)
    assert len(set(found.tolist())) == 50
    assert (np.diff(values[found]) > 0).all()
    assert values[found[[0, -1]]].tolist() == [np.nanmin(values), np.nanmax(values)]

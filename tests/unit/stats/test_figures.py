"""Figures: every one is drawn on full, small and empty data, as SVG and PNG that are the same each time."""

import sys
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from biorrn.nanopore.alignment import Score
from biorrn.nanopore.evaluate.basecalls import basecall_figures
from biorrn.nanopore.evaluate.identity import Scores, summarise
from biorrn.proteins.figures import regression_figures
from biorrn.report.figures import training_figures
from biorrn.stats import metrics as regression
from biorrn.stats.figures import MANY, Drawing, as_bytes, draw, save_drawings, slug


def regression_drawings(n: int, targets: int = 1) -> list[Drawing]:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(n, targets))
    predicted = true + rng.normal(size=(n, targets))
    names = [f"cost_$_{k}" for k in range(targets)]
    metrics = {name: regression.evaluate(true[:, k], predicted[:, k], resamples=20) for k, name in enumerate(names)}
    mean = {"mean": {"metrics": regression.evaluate(true[:, 0], np.zeros(n), resamples=20)}}
    content: dict[str, Any] = {
        "split": "valid",
        "targets": [{"name": name, "unit": "°C"} for name in names],
        "metrics": metrics,
        "baselines": {name: mean for name in names},
    }
    return regression_figures(content, true, predicted)


def basecall_drawings(n: int) -> list[Drawing]:
    rng = np.random.default_rng(0)
    scores = Scores()
    for i in range(n):
        matches = int(rng.integers(70, 101))
        scores.reads.append(
            Score(
                f"r{i}",
                100 + i,
                "scored",
                10 + i % 5,
                matches=matches,
                mismatches=100 - matches,
                identity=matches / 100,
            )
        )
    scores.bases[10:20] = n
    scores.errors[10:15] = n // 10
    return basecall_figures(summarise(scores, resamples=20) | {"region": None}, scores)


def history(epochs: int) -> dict[str, np.ndarray]:
    names = ("epoch", "step", "seconds", "train_loss", "valid_loss", "lr", "grad_norm", "valid_spearman")
    return {name: np.arange(epochs, dtype=float) for name in names}


CASES = {
    "regression": lambda n: regression_drawings(n),
    "basecalls": lambda n: basecall_drawings(n),
    "training": lambda n: training_figures(history(n)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", [0, 1, 200])
def test_every_figure_is_drawn_whatever_the_size(case: str, n: int) -> None:
    drawings = CASES[case](n)
    assert drawings or (case == "training" and n == 0)
    assert len({drawing.name for drawing in drawings}) == len(drawings)
    for drawing in drawings:
        assert drawing.caption.endswith(".")
        assert ElementTree.fromstring(as_bytes(drawing.figure, "svg")).tag.endswith("svg")


def test_many_points_become_a_density_of_bounded_size() -> None:
    scatter = regression_drawings(3 * MANY)[0]
    assert len(as_bytes(scatter.figure, "svg")) < 300_000


def test_a_figure_is_the_same_bytes_each_time() -> None:
    first, second = (as_bytes(regression_drawings(50)[0].figure, "svg") for _ in range(2))
    assert first == second


def test_saved_beside_the_json_with_relative_paths(tmp_path: Path) -> None:
    saved = save_drawings(training_figures(history(3)), tmp_path / "figures", tmp_path / "json" / "eval.json")
    assert [entry["path"] for entry in saved] == [
        "../figures/loss.svg",
        "../figures/agreement.svg",
        "../figures/optimiser.svg",
    ]
    for entry in saved:
        svg = (tmp_path / "json" / entry["path"].removeprefix("../")).parent.parent.parent / entry["path"][3:]
        assert svg.read_bytes().startswith(b"<?xml")
        assert svg.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_targets_have_files_of_their_own() -> None:
    names = {drawing.name for drawing in regression_drawings(20, targets=2)}
    assert {"scatter_cost_0", "scatter_cost_1"} <= names
    assert slug("../../etc/passwd") == "etc_passwd"


def test_drawing_changes_no_global_state() -> None:
    before = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    as_bytes(regression_drawings(10)[0].figure, "png")
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_a_name_in_letters_that_the_font_lacks_warns_nobody() -> None:
    drawing = draw("odd", "A name.", lambda figure: figure.add_subplot().set_title("\u809d"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_bytes(drawing.figure, "png")

"""What biorrn writes, as somebody may have changed it: evaluations, runs, summaries, and what the report reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import fuzz_text_seeds as seeds
from fuzz_text_readers import Reader, of_mapping, of_text, take


def predictions(path: Path) -> None:
    import numpy as np

    from biorrn.proteins.predictions import Proteins, join

    lengths = np.array([20, 21, 22])
    rows = Proteins(np.array(["p0", "p1", "p2"]), np.ones(63, np.uint8), lengths, np.ones((3, 1)), np.ones(3))
    join(path, rows, [{"name": "y"}], "x.h5")


def published(path: Path) -> None:
    from biorrn.proteins.benchmark import read_published

    read_published(path)


def evaluation(path: Path) -> None:
    from biorrn.report.entries import evaluation

    (path.parent / "f.svg").write_text("<svg/>")
    evaluation(path)


def undrawn(module: Any) -> Any:
    """Leave out the drawing of figures in a module: it is matplotlib's work, and takes a hundred times as long."""
    names = [
        name
        for name in ("drawn", "histogram_figure", "composition_figure", "training_figures")
        if hasattr(module, name)
    ]
    return patch.multiple(module, **dict.fromkeys(names, lambda *given: []))


def prepared(path: Path) -> None:
    from biorrn.report import sections as report_data

    with undrawn(report_data):
        report_data.data_set(path)


def provenance(path: Path) -> None:
    from biorrn.report import entries as report_runs

    with undrawn(report_runs):
        report_runs.training(path.parent)


def sample(path: Path) -> None:
    """Read what was done with the reads of a sample."""
    from biorrn.report import sections as report_samples

    (path.parent / "f.svg").write_text("<svg/>")
    with undrawn(report_samples):
        report_samples.sample_part(path, "qc")


def summary(path: Path) -> None:
    from biorrn.nanopore.basecall.merge import table_rows
    from biorrn.nanopore.reads.qc import read_qc

    take(table_rows([path], lambda part, name: None))
    read_qc(path, name="s")


def samples(path: Path) -> None:
    from biorrn.config.samples import read_samples

    read_samples(path)


def benchmark(path: Path) -> None:
    from biorrn.report.cost import read_benchmarks

    read_benchmarks(path.parent)


def history(path: Path) -> None:
    from biorrn.training.runs import read_history

    read_history(path)


RESULTS: dict[str, Reader] = {
    "predictions": Reader("x.tsv", of_text(seeds.predictions), predictions),
    "published": Reader("x.tsv", of_text(seeds.published), published),
    "evaluation": Reader(
        "x.json",
        lambda rng: of_mapping(lambda: seeds.evaluation(rng.choice(("regression", "basecalls", "tagging"))))(rng),
        evaluation,
    ),
    "prepared_report": Reader("x.json", of_mapping(seeds.prepared), prepared),
    "provenance": Reader("provenance.json", of_mapping(seeds.provenance), provenance),
    "sample_report": Reader("x.json", of_mapping(seeds.sample), sample),
    "summary": Reader("x.tsv", of_text(seeds.summary), summary),
    "sample_sheet": Reader("x.tsv", of_text(seeds.samples), samples),
    "benchmark": Reader("x.tsv", of_text(seeds.benchmark), benchmark),
    "history": Reader("history.tsv", of_text(seeds.history), history),
}

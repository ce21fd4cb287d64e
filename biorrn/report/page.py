"""HTML report on one page that needs no network: evaluations, training runs, data sets, samples and cost.

The page is made of the templates `report.html` and `report_parts.html`, the style `report.css` and the script
`report.js`, which sorts tables and saves figures. Its Content-Security-Policy forbids every request, and every script
but that one, by its hash. Text from files is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from biorrn.base.errors import ConfigError
from biorrn.base.files import write_text
from biorrn.report.cost import costs_section, read_benchmarks
from biorrn.report.entries import collect, evaluation, overview, training
from biorrn.report.sections import data_set, predictions, sample_tables, samples
from biorrn.report.wording import KINDS, anchors, text
from biorrn.version import __version__

OPEN = 3  # runs; where there are more, all begin closed
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{}'; base-uri 'none'; form-action 'none'"
)
# where the files of a kind come from
OPTIONS = {"qc": "--qc", "mapping": "--map", "assembly": "--assembly", "generated": "--generated"}


def part(name: str) -> str:
    """Return a file of the page's own: a template, the style or the script."""
    return (resources.files("biorrn.report") / name).read_text("utf-8")


def policy(script: str) -> str:
    """Return the Content-Security-Policy of a page that may run this script, show `data:` images, ask for nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return POLICY.format(f"sha256-{digest}")


def render(
    evaluations: Iterable[Path] = (),
    runs: Iterable[Path] = (),
    prepared: Iterable[Path] = (),
    title: str = "biorrn report",
    *,
    predicted: Iterable[tuple[str, Path]] = (),
    sampled: Mapping[str, Iterable[Path]] | None = None,
    benchmarks: Path | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    evaluations : JSON files of `biorrn evaluate`, with the figures that they name.
    runs : folders of `biorrn train`.
    prepared : JSON reports of `biorrn prepare`.
    predicted : (model, TSV) of `biorrn predict` and `biorrn scan`: id of a shipped model or its folder, and its table.
    sampled : {"qc", "mapping", "assembly" or "generated": JSON files of such}, what samples of reads or of a language
        model are like.
    benchmarks : folder of Snakemake's benchmark files.

    Raises
    ------
    ConfigError: there is nothing to report.
    InputError: a file cannot be read or is not what it should be.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    templates = {name: part(name) for name in ("report.html", "report_parts.html")}
    environment = Environment(
        loader=DictLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["text"] = text
    results = [evaluation(Path(path)) for path in evaluations]
    trained = [training(Path(folder)) for folder in runs]
    data = [data_set(Path(path)) for path in prepared]
    for entry, anchor in zip(data, anchors([entry["name"] for entry in data], "data"), strict=True):
        entry["anchor"] = anchor
    found, applied = samples(sampled or {}), predictions(predicted)
    costs = read_benchmarks(Path(benchmarks)) if benchmarks is not None else []
    if not (results or trained or data or found or applied["models"] or costs):
        options = ", ".join(("--run", "--prepare", "--predictions", *(OPTIONS[kind] for kind in KINDS), "--benchmarks"))
        raise ConfigError(f"nothing to report: give evaluations, or files by {options}")
    together = collect(results, trained, data, costs)
    script = part("report.js")
    context: dict[str, Any] = {
        "title": title,
        "version": __version__,
        "policy": policy(script),
        "style": part("report.css"),
        "script": script,
        "overview": overview(together, data),
        "runs": together,
        "open": len(together) <= OPEN,
        "data": data,
        "predictions": applied,
        "samples": found,
        "sample_tables": sample_tables(found),
        "costs": costs_section(costs),
    }
    return environment.get_template("report.html").render(context)


def write_report(
    path: str | Path,
    evaluations: Sequence[Path],
    runs: Sequence[Path],
    prepared: Sequence[Path],
    title: str,
    *,
    predicted: Iterable[tuple[str, Path]] = (),
    sampled: Mapping[str, Iterable[Path]] | None = None,
    benchmarks: Path | None = None,
) -> None:
    """Write the page of `render` to a file."""
    page = render(evaluations, runs, prepared, title, predicted=predicted, sampled=sampled, benchmarks=benchmarks)
    with write_text(path) as stream:
        stream.write(page)

"""`biorrn report`: build an HTML report of evaluations, runs and data sets."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    evaluations: Annotated[list[Path] | None, typer.Argument(help="JSON files of `biorrn evaluate`.")] = None,
    runs: Annotated[list[Path] | None, typer.Option("--run", help="Run folder of `biorrn train`. Repeatable.")] = None,
    prepared: Annotated[
        list[Path] | None, typer.Option("--prepare", help="JSON report of `biorrn prepare`. Repeatable.")
    ] = None,
    predicted: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            metavar="MODEL=TSV",
            help="Table of `biorrn predict` or `scan` and its model, an id or a folder. Repeatable.",
        ),
    ] = None,
    qc: Annotated[list[Path] | None, typer.Option("--qc", help="JSON of `biorrn qc`. Repeatable.")] = None,
    mapped: Annotated[list[Path] | None, typer.Option("--map", help="JSON of `biorrn map`. Repeatable.")] = None,
    assembled: Annotated[
        list[Path] | None, typer.Option("--assembly", help="JSON of `biorrn assemble`. Repeatable.")
    ] = None,
    generated: Annotated[
        list[Path] | None, typer.Option("--generated", help="JSON of `biorrn models generate --summary`. Repeatable.")
    ] = None,
    benchmarks: Annotated[
        Path | None, typer.Option(help="Folder of Snakemake benchmark files, <rule>/<run>.tsv: minutes and memory.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "biorrn report",
) -> None:
    """Build an HTML report of evaluations, runs and data sets.

    The report is one self-contained file and needs no network. Files that name the same run or sample are shown
    together. Tables sort by a click on a heading; figures can be downloaded as SVG or PNG.

    \b
    Examples:
      biorrn report stability.json --run runs/stability --prepare stability.prepare.json -o report.html
      biorrn report evaluation/*.json --run runs/a --run runs/b --benchmarks benchmarks -o report.html
      biorrn report --predictions stability=stable.tsv --predictions solubility=soluble.tsv -o report.html
      biorrn report --qc flowcell.qc.json --map flowcell.map.json -o report.html
    """
    from biorrn.base.errors import ConfigError
    from biorrn.report.page import write_report

    tables = []
    for entry in predicted or []:
        model, equals, path = entry.partition("=")
        if not (model and equals and path):
            raise ConfigError(f"--predictions: found '{entry}'; allowed is MODEL=TSV, as stability=designs.tsv")
        tables.append((model, Path(path)))

    sampled = {"qc": qc or [], "mapping": mapped or [], "assembly": assembled or [], "generated": generated or []}
    write_report(
        output,
        evaluations or [],
        runs or [],
        prepared or [],
        title,
        predicted=tables,
        sampled=sampled,
        benchmarks=benchmarks,
    )

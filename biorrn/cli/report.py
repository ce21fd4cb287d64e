"""`biorrn report`."""

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
    qc: Annotated[list[Path] | None, typer.Option("--qc", help="JSON of `biorrn qc`. Repeatable.")] = None,
    mapped: Annotated[list[Path] | None, typer.Option("--map", help="JSON of `biorrn map`. Repeatable.")] = None,
    assembled: Annotated[
        list[Path] | None, typer.Option("--assembly", help="JSON of `biorrn assemble`. Repeatable.")
    ] = None,
    generated: Annotated[
        list[Path] | None, typer.Option("--generated", help="JSON of `biorrn generate --summary`. Repeatable.")
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
      biorrn report --qc flowcell.qc.json --map flowcell.map.json -o report.html
    """
    from biorrn.evaluation.report import write_report

    sampled = {"qc": qc or [], "mapping": mapped or [], "assembly": assembled or [], "generated": generated or []}
    write_report(output, evaluations or [], runs or [], prepared or [], title, sampled=sampled, benchmarks=benchmarks)

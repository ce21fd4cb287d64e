"""`biorrn report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    evaluations: Annotated[list[Path], typer.Argument(help="JSON files that `biorrn evaluate` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    runs: Annotated[list[Path] | None, typer.Option("--run", help="Run folder of `biorrn train`; repeatable.")] = None,
    prepared: Annotated[
        list[Path] | None, typer.Option("--prepare", help="JSON report of `biorrn prepare`; repeatable.")
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the report.")] = "biorrn report",
) -> None:
    """Put evaluations, training runs and data reports on one page: a single HTML file that needs no network.

    \b
    Examples:
      biorrn report stability.json --run runs/stability --prepare stability.prepare.json -o report.html
    """
    from biorrn.evaluation.report import write_report

    write_report(output, evaluations, runs or [], prepared or [], title)

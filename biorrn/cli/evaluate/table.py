"""`biorrn evaluate table` and `biorrn evaluate sweep`: tables of several evaluations."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import Drawings, Runs


def table(
    evaluations: Annotated[
        list[Path], typer.Argument(help="JSON files of `biorrn evaluate regression`; equal names are seeds of one set.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="TSV file to write, one row per set.")],
    run: Runs = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="SET=METRIC", help="pearson or r2 instead of spearman for a set. Repeatable."),
    ] = None,
    published: Annotated[
        Path | None, typer.Option(help="TSV: set, language_model, metric, score, split, what, source.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the table as Markdown.")] = None,
    figure: Drawings = None,
) -> None:
    """Tabulate evaluations of several data sets and seeds, next to baselines and published scores.

    A score is the mean over seeds, with 95 % intervals over seeds and over rows. The table marks published scores that
    were measured on other rows. The workflow runs it as `snakemake benchmark_proteins`.

    \b
    Examples:
      biorrn evaluate table gb1.0.json gb1.1.json -o benchmark.tsv --markdown benchmark.md
      biorrn evaluate table gb1.json tm.json --run runs/gb1 --run runs/tm --published published.tsv -o benchmark.tsv
      biorrn evaluate table solubility.json --metric solubility=r2 -o benchmark.tsv --figure benchmark.svg
    """
    from biorrn.proteins.benchmark import (
        benchmark_figure,
        collect,
        parse_metrics,
        read_published,
        write_markdown,
        write_tsv,
    )
    from biorrn.stats.figures import write_figure

    known = read_published(published) if published else []
    entries = collect(evaluations, run or [], parse_metrics(metric or []), known)
    write_tsv(output, entries)
    if markdown is not None:
        write_markdown(markdown, entries)
    for path in figure or []:
        write_figure(path, benchmark_figure(entries))


def sweep(
    evaluations: Annotated[list[Path], typer.Argument(help="JSON files of `biorrn evaluate`, one per run.")],
    point: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE,...", help="Parameters of each run, in the order of EVALUATIONS.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="TSV file; .gz compresses; - is stdout.")] = "-",
    run: Runs = None,
    figure: Drawings = None,
) -> None:
    """Tabulate the runs of a parameter sweep, best score first.

    The score is Spearman's rho or the median identity, with its 95 % interval. The workflow runs it for each entry of
    `sweeps`.

    \b
    Examples:
      biorrn evaluate sweep a.json b.json --point training.lr=1e-3 --point training.lr=3e-3
      biorrn evaluate sweep *.json --point lr=1,seed=0 --point lr=1,seed=1 -o sweep.tsv --figure sweep.svg
    """
    from biorrn.proteins.sweep import collect_sweep, sweep_figure, write_sweep
    from biorrn.stats.figures import write_figure

    rows = collect_sweep(evaluations, point, run or [])
    write_sweep(output, rows)
    for path in figure or []:
        write_figure(path, sweep_figure(rows))

"""`biorrn evaluate table`."""

from pathlib import Path
from typing import Annotated

import typer


def table(
    evaluations: Annotated[
        list[Path], typer.Argument(help="JSON files of `biorrn evaluate regression`; those of one name are seeds.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="TSV file to write, one line a set.")],
    run: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder of each evaluation, in its order, for recipe and minutes; repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="SET=METRIC", help="pearson or r2 in place of spearman for a set; repeatable."),
    ] = None,
    published: Annotated[
        Path | None, typer.Option(help="TSV: set, language_model, metric, score, split, what, source.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="The same table to read, as Markdown.")] = None,
    figure: Annotated[list[Path] | None, typer.Option(help="Figure to write, .svg or .png; repeatable.")] = None,
) -> None:
    """Put evaluations of several sets and seeds into one table, beside baselines and published figures.

    A score is the mean over seeds, with 95 % intervals over seeds and over rows. Where the published figures are of
    other rows than ours, the table says so. The workflow makes it with `snakemake benchmark_proteins`.

    \b
    Examples:
      biorrn evaluate table gb1.0.json gb1.1.json -o benchmark.tsv --markdown benchmark.md
      biorrn evaluate table gb1.json tm.json --run runs/gb1 --run runs/tm --published published.tsv -o benchmark.tsv
      biorrn evaluate table solubility.json --metric solubility=r2 -o benchmark.tsv --figure benchmark.svg
    """
    from biorrn.evaluation.benchmark_files import write_markdown, write_tsv
    from biorrn.evaluation.benchmark_table import collect, parse_metrics, read_published
    from biorrn.evaluation.figures_benchmark import benchmark_figure
    from biorrn.evaluation.figures_compare import write_figure

    known = read_published(published) if published else []
    entries = collect(evaluations, run or [], parse_metrics(metric or []), known)
    write_tsv(output, entries)
    if markdown is not None:
        write_markdown(markdown, entries)
    for path in figure or []:
        write_figure(path, benchmark_figure(entries))

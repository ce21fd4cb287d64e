"""`biorrn evaluate sweep`."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    evaluations: Annotated[list[Path], typer.Argument(help="JSON files of `biorrn evaluate`, one a run.")],
    point: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE,...", help="What each run was given, in the order of EVALUATIONS.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="TSV file, .gz compresses; - is stdout.")] = "-",
    run: Annotated[
        list[Path] | None, typer.Option(help="Run folder of each evaluation, in its order, for the minutes.")
    ] = None,
    figure: Annotated[list[Path] | None, typer.Option(help="Figure to write, .svg or .png; repeatable.")] = None,
) -> None:
    """Put the runs of a parameter sweep into one table and figure, the best score first.

    The score is Spearman's rho or the median identity, with its 95 % interval. The workflow makes it for each entry of
    `sweeps`.

    \b
    Examples:
      biorrn evaluate sweep a.json b.json --point training.lr=1e-3 --point training.lr=3e-3
      biorrn evaluate sweep *.json --point lr=1,seed=0 --point lr=1,seed=1 -o sweep.tsv --figure sweep.svg
    """
    from biorrn.evaluation.figures_compare import write_figure
    from biorrn.evaluation.figures_sweep import sweep_figure
    from biorrn.evaluation.sweep import collect_sweep, write_sweep

    rows = collect_sweep(evaluations, point, run or [])
    write_sweep(output, rows)
    for path in figure or []:
        write_figure(path, sweep_figure(rows))

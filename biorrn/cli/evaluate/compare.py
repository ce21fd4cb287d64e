"""`biorrn evaluate compare`: compare two models on the same rows, with a paired bootstrap test."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import Columns, Device, Offset, Seed, WildType


def compare(
    run_a: Annotated[
        str, typer.Argument(help="Run folder, or table of `biorrn predict`. Several seeds are separated by commas.")
    ],
    run_b: Annotated[str, typer.Argument(help="The model to compare with, given the same way.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Prepared file or table with the rows. Default: the training file of a run."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Rows to compare on: train, valid, test or all. Default: valid; for a table, all."),
    ] = None,
    target: Columns = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Scatter plot of A against B: .svg or .png.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Compare two models on the same rows, with a paired bootstrap test.

    Prints each metric of both models with the 95 % interval of the difference (paired bootstrap; also over seeds if
    there are several), the number of rows that each predicts better, and sign and Wilcoxon tests of the errors.

    \b
    Examples:
      biorrn evaluate compare runs/gru runs/lstm
      biorrn evaluate compare runs/gru_0,runs/gru_1 runs/lstm_0,runs/lstm_1 --split test -o c.json --figure c.svg
      biorrn evaluate compare ours.tsv theirs.tsv --data stability.h5
      biorrn evaluate compare runs/gru runs/lstm --data scan.csv --wild-type gb1.fa --target stability=DMS_score
    """
    from biorrn.proteins.compare import compare_models, comparison_figure, lines
    from biorrn.stats.figures import write_figure
    from biorrn.stats.results import write_result

    content, true, sides = compare_models(
        run_a,
        run_b,
        data=data,
        split=split,
        target=target or (),
        wild_type=wild_type,
        offset=offset,
        seed=seed,
        device=device,
    )
    if output is not None:
        write_result(output, content)
    if figure is not None:
        write_figure(figure, comparison_figure(content, true, sides))
    for line in lines(content):
        print(line)

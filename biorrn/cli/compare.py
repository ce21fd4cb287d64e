"""`biorrn compare`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.table_options import Columns, Offset, WildType


def compare(
    run_a: Annotated[str, typer.Argument(help="Run folder, or table of `biorrn predict`; several seeds with commas.")],
    run_b: Annotated[str, typer.Argument(help="The other.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Prepared file or table with the rows; default: the file that a run was trained on."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Rows to compare on: train, valid, test or all; default: valid, of a table all.")
    ] = None,
    target: Columns = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Scatter of A against B to write, .svg or .png.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Compare two models on the same rows: which is better, or whether chance cannot be ruled out.

    Prints each metric of both with the 95 % interval of the difference (paired bootstrap; over seeds too where there
    are several), how many rows each predicts better, and the sign and Wilcoxon tests of the errors.

    \b
    Examples:
      biorrn compare runs/gru runs/lstm
      biorrn compare runs/gru_0,runs/gru_1 runs/lstm_0,runs/lstm_1 --split test -o compare.json --figure compare.svg
      biorrn compare ours.tsv theirs.tsv --data stability.h5
      biorrn compare runs/gru runs/lstm --data scan.csv --wild-type gb1.fa --target stability=DMS_score
    """
    from biorrn.evaluation.compare_models import compare_models, lines
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.figures_compare import comparison_figure, write_figure

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

"""`biorrn qc`: summarise a basecalling run: yield, lengths, Q-scores, channels."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import Figures, Name, Note
from biorrn.cli.outputs import write_evaluation


def qc(
    summary: Annotated[
        Path, typer.Argument(help="Table of `biorrn basecall --summary`, may be gzip. - is standard input.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="JSON file to write. - writes none.")],
    figures: Figures = None,
    name: Name = None,
    flow_cell: Annotated[
        str, typer.Option(help="flongle, minion or promethion. auto: the smallest that has all channels.")
    ] = "auto",
    sheet: Annotated[
        Path | None,
        typer.Option("--sample-sheet", help="Table with the columns barcode and alias, as biorrn demux takes it."),
    ] = None,
    note: Note = "",
) -> None:
    """Summarise a basecalling run: yield, lengths, Q-scores, channels.

    The table is streamed in constant memory. Sequencing summaries of other basecallers work too, if they have the
    columns sequence_length_template and mean_qscore_template; further known columns are used. Prints a table; the JSON
    has all numbers. With --sample-sheet, barcodes have their aliases, and reads of barcodes that it does not name are
    unclassified, as biorrn demux sorts them.

    \b
    Examples:
      biorrn qc calls.summary.tsv.gz -o qc.json --figures qc/
      biorrn qc pool.summary.tsv.gz -o qc.json --sample-sheet samples.csv
      biorrn qc sequencing_summary.txt -o -
    """
    from biorrn.nanopore.reads.qc import qc_figures, qc_lines, read_qc

    known_as = name or Path(summary if output == "-" else output).stem
    content, counted = read_qc(summary, name=known_as, note=note, flow_cell=flow_cell, sheet=sheet)
    write_evaluation(
        None if output == "-" else Path(output),
        content,
        figures,
        lambda: qc_figures(content, counted),
        qc_lines,
        Path(output),
    )

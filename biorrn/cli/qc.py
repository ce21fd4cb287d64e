"""`biorrn qc`."""

from pathlib import Path
from typing import Annotated

import typer


def qc(
    summary: Annotated[
        Path, typer.Argument(help="Table that biorrn basecall --summary wrote, may be gzip; - is stdin.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="JSON to write; - writes none.")],
    figures: Annotated[
        Path | None, typer.Option(help="Folder for figures, each as SVG and PNG; default: none.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the report calls it; default: the name of the output.")] = None,
    flow_cell: Annotated[
        str, typer.Option(help="flongle, minion or promethion; auto: the smallest that has all channels.")
    ] = "auto",
    note: Annotated[str, typer.Option(help="Shown beside the numbers, e.g. that the data is simulated.")] = "",
) -> None:
    """Say what called reads are like, from the summary: yield, lengths, qualities, speed, channels, reads left out.

    The table streams by in memory that does not grow with it. Summaries of other basecallers do too, where they have
    the columns sequence_length_template and mean_qscore_template; what else is there is used. A table of numbers is
    printed, and goes to JSON in full.

    \b
    Examples:
      biorrn qc calls.summary.tsv.gz -o qc.json --figures qc/
      biorrn qc sequencing_summary.txt -o -
    """
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_read_qc import qc_figures
    from biorrn.evaluation.read_qc import qc_lines, read_qc

    known_as = name or Path(summary if output == "-" else output).stem
    content, counted = read_qc(summary, name=known_as, note=note, flow_cell=flow_cell)
    if figures is not None:
        content["figures"] = save_drawings(qc_figures(content, counted), figures, Path(output))
    if output != "-":
        write_result(output, content)
    for line in qc_lines(content):
        print(line)

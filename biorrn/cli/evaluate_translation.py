"""`biorrn evaluate translation`."""

from pathlib import Path
from typing import Annotated

import typer


def translation(
    prepared: Annotated[Path, typer.Argument(help="HDF5 file of `biorrn prepare pairs`, codons or signal.")],
    models: Annotated[list[str], typer.Argument(help="Run folders of task translation; of signal also basecalling.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file to write.")],
    split: Annotated[str, typer.Option(help="Rows to evaluate: train, valid, test or all.")] = "test",
    beam: Annotated[int, typer.Option(min=1, max=1000, help="Hypotheses of a decoder; 1 is greedy.")] = 5,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Of signal: samples of a chunk; default: the first recipe's.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Of signal: most chunks, evenly spread.")] = None,
    table: Annotated[Path | None, typer.Option(help="TSV: a row a model.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder: of signal, where a decoder looked in the median chunk of the first 64.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Default: the name of the output.")] = None,
    note: Annotated[str, typer.Option(help="Shown beside the numbers, e.g. that the data is synthetic.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Compare what models tell with the truth, all on the same rows: symbol error rate, exact sequences, identity.

    Of signal, decoders stand beside basecallers by CTC or a CRF, each told the same chunks alone; whole reads are
    called by `biorrn basecall`, which takes basecallers only.

    \b
    Examples:
      biorrn evaluate translation codons.h5 runs/codons -o codons.json
      biorrn evaluate translation lambda.h5 runs/decoder runs/ctc -o both.json --table both.tsv --figures figures
    """
    from biorrn.device import set_threads
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.translation import evaluate_translation
    from biorrn.evaluation.translation_table import sample_drawings, table_lines, write_table

    set_threads(threads)
    content, told = evaluate_translation(
        models,
        prepared,
        name=name or output.stem,
        split=split,
        beam=beam,
        samples=samples,
        limit=limit,
        note=note,
        seed=seed,
    )
    if figures is not None:
        content["figures"] = save_drawings(sample_drawings(content, told), figures, output)
    if table is not None:
        write_table(table, content)
    write_result(output, content)
    for line in table_lines(content):
        print(line)

"""`biorrn evaluate language`."""

from pathlib import Path
from typing import Annotated

import typer


def language(
    model: Annotated[str, typer.Argument(help="Folder of a recipe of task language.")],
    prepared: Annotated[Path, typer.Argument(help="HDF5 file that `biorrn prepare protein` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file to write; `biorrn report` reads it.")],
    split: Annotated[str, typer.Option(help="Rows to evaluate: train, valid, test or all.")] = "valid",
    figures: Annotated[
        Path | None, typer.Option(help="Folder for figures, each as SVG and PNG; default: none are drawn.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="TSV to write with the perplexity of each sequence.")] = None,
    name: Annotated[str | None, typer.Option(help="What the report calls it; default: the name of the output.")] = None,
    note: Annotated[str, typer.Option(help="Shown beside the numbers, e.g. that the data is simulated.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Measure the perplexity of a language model, beside counts of letters in the training rows.

    Perplexity is that of a residue or base, whatever the tokeniser, so that models of letters, k-mers and learned pairs
    compare; intervals are by bootstrap over sequences. Ends of sequences and unknown letters are left out. Baselines:
    uniform, unigram, bigram and trigram, with add-one smoothing. Whether rows are new to the model depends on the
    split: hold out whole families or clusters, not single proteins.

    \b
    Examples:
      biorrn evaluate language runs/residue_lm domains.h5 --split test -o lm.json --figures figures
      biorrn evaluate language runs/base_lm reads.h5 --split test --table reads.tsv -o bases.json
    """
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.evaluate_language import evaluate_language, write_table
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_language import language_figures
    from biorrn.evaluation.terminal import summary_lines

    set_threads(threads)
    content, told = evaluate_language(
        model,
        prepared,
        name=name or output.stem,
        split=split,
        note=note,
        seed=seed,
        device=str(choose_device(device)),
    )
    if table is not None:
        write_table(table, told)
    if figures is not None:
        content["figures"] = save_drawings(language_figures(content, told), figures, output)
    write_result(output, content)
    for line in summary_lines(content):
        print(line)

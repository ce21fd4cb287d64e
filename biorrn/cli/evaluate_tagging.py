"""`biorrn evaluate tagging`."""

from pathlib import Path
from typing import Annotated

import typer


def tagging(
    predictions: Annotated[
        Path, typer.Argument(help="Table that `biorrn predict` wrote; or a model, which is then run on the rows.")
    ],
    prepared: Annotated[Path, typer.Argument(help="HDF5 file that `biorrn prepare tags` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file to write; `biorrn report` reads it.")],
    split: Annotated[str, typer.Option(help="Rows to evaluate: train, valid, test or all.")] = "valid",
    baselines: Annotated[
        str, typer.Option(help="Fit on the training rows and compare: all, none, or NAME,NAME.")
    ] = "all",
    figures: Annotated[
        Path | None, typer.Option(help="Folder for figures, each as SVG and PNG; default: none are drawn.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the report calls it; default: the name of the output.")] = None,
    note: Annotated[str, typer.Option(help="Shown beside the numbers, e.g. that the data is simulated.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap and the baselines.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the model and the baselines.")] = 1,
    device: Annotated[str, typer.Option(help="Of the model: auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Compare predicted with known states of residues (Q3, Q8): accuracy, segment overlap, confusion.

    Metrics, with bootstrap intervals over proteins: accuracy of all labelled residues, the mean accuracy of a protein,
    and the mean segment overlap (SOV, Zemla et al. 1999); for each state precision, recall, F1 and SOV. Accuracy is
    also given by length and by confidence. Residues whose state is not known are left out. Baselines are fitted on the
    training rows: majority, residue (the commonest state of each), gor (GOR I) and window (softmax regression); the
    last two see eight residues to each side. Of values a residue: Spearman, Pearson and RMSE, beside mean, residue
    and window.

    \b
    Examples:
      biorrn evaluate tagging runs/structure structure.h5 --split test -o structure.json --figures figures
      biorrn evaluate tagging predictions.tsv structure.h5 --baselines gor,window -o structure.json
    """
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.evaluate_tagging import evaluate_tagging
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_tagging import tagging_figures
    from biorrn.evaluation.terminal import summary_lines

    content, judged = evaluate_tagging(
        predictions,
        prepared,
        name=name or output.stem,
        split=split,
        baselines=baselines,
        note=note,
        seed=seed,
        threads=set_threads(threads),
        device=str(choose_device(device)),
    )
    if figures is not None:
        content["figures"] = save_drawings(tagging_figures(content, judged), figures, output)
    write_result(output, content)
    for line in summary_lines(content):
        print(line)

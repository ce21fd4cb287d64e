"""`biorrn cells`."""

from pathlib import Path
from typing import Annotated

import typer


def cells(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of all runs and of the table.")],
    stability: Annotated[Path | None, typer.Option(help="Prepared protein file: one value a protein.")] = None,
    tagging: Annotated[Path | None, typer.Option(help="Prepared file of tags: a state a residue.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            metavar="NAME",
            help="stability, tagging or synthetic; repeatable; default: what is given, and synthetic.",
        ),
    ] = None,
    cell: Annotated[
        list[str] | None, typer.Option("--cells", metavar="NAME", help="Cells to train; repeatable; default: all.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Parameters that the recurrent core may have.")] = 60_000,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.001, help="Most minutes of training of one cell on one task.")
    ] = None,
    synthetic: Annotated[str, typer.Option(help="The synthetic task: adding or copying.")] = "adding",
    length: Annotated[int, typer.Option(min=1, help="Steps over which the synthetic task asks to remember.")] = 100,
    steps: Annotated[int, typer.Option(min=1, help="Gradient steps of the synthetic task.")] = 2000,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the training of prepared tasks; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of first weights and of the order of rows.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: as many as there are.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Begin anew where OUTPUT holds other settings.")] = False,
) -> None:
    """Train every kind of recurrent cell at an equal number of parameters and compare them.

    The table (cells.tsv, cells.json and the figure cells.svg and cells.png in OUTPUT) holds a row a cell and task:
    score on rows that were not trained on, time steps a second through forward and backward, memory kept for backward,
    parameters. The synthetic task asks for what was seen up to LENGTH steps before: `adding` for the sum of two marked
    numbers (score R2), `copying` for ten symbols (share that is right). A cell that is finished is not trained again,
    so the same command goes on after a kill.

    \b
    Cells: rnn, irnn, gru, gru_simple, lstm, mut1, mut2, mut3, mingru

    \b
    Examples:
      biorrn cells -o cells --length 50
      biorrn cells --stability stability.h5 --tagging structure.h5 -o cells
      biorrn cells --cells lstm --cells mingru --stability stability.h5 --max-minutes 5 -o cells
      biorrn cells --tasks synthetic --synthetic copying --length 30 -o copying
    """
    from biorrn.device import set_threads
    from biorrn.evaluation.cells import table_lines, write_json, write_table
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_cells import cells_figure
    from biorrn.tasks.cells import choose_problems, compare_cells, known_cells

    options = {
        "seed": seed, "device": device, "threads": set_threads(threads), "max_minutes": max_minutes,
        "changes": settings or [], "replace": replace,
    }  # fmt: skip
    chosen = known_cells(cell or [])
    problems = choose_problems(
        task or [], {"stability": stability, "tagging": tagging}, (synthetic, length, steps), options
    )
    rows = compare_cells(problems, chosen, output, budget, replace)
    write_table(output / "cells.tsv", rows)
    write_json(output / "cells.json", rows, {"budget": budget, **options})
    save_drawings([cells_figure(rows)], output, output / "cells.json")
    for line in table_lines(rows):
        print(line)

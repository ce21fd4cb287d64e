"""`biorrn experiments`: comparison of recurrent cells, and of how far gradients reach."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.base.errors import ConfigError
from biorrn.cli.options import Device, Threads

app = typer.Typer(no_args_is_help=True)


@app.command(no_args_is_help=True)
def cells(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the runs and the table.")],
    stability: Annotated[Path | None, typer.Option(help="Prepared protein file: one value per protein.")] = None,
    tagging: Annotated[Path | None, typer.Option(help="Prepared file of tags: one state per residue.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            metavar="NAME",
            help="stability, tagging or synthetic. Repeatable. Default: those with a file, and synthetic.",
        ),
    ] = None,
    cell: Annotated[
        list[str] | None, typer.Option("--cells", metavar="NAME", help="Cells to train. Repeatable. Default: all.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Maximum parameters of the recurrent core.")] = 60_000,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.001, help="Time limit of training one cell on one task.")
    ] = None,
    synthetic: Annotated[str, typer.Option(help="Synthetic task: adding or copying.")] = "adding",
    length: Annotated[int, typer.Option(min=1, help="Time lag of the synthetic task, in steps.")] = 100,
    steps: Annotated[int, typer.Option(min=1, help="Gradient steps on the synthetic task.")] = 2000,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe key of the prepared tasks. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initial weights and row order.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Start over if OUTPUT was made with other settings.")
    ] = False,
) -> None:
    """Train every recurrent cell with the same number of parameters, and compare them.

    The table (cells.tsv and cells.json, with the figure cells.svg and cells.png in OUTPUT) has one row per cell and
    task: score on held-out rows, time steps per second of forward and backward passes, memory kept for the backward
    pass, parameters. The synthetic tasks test memory over LENGTH steps: `adding` asks for the sum of two marked
    numbers (score R2), `copying` for ten symbols (score accuracy). Finished cells are not trained again, so the same
    command resumes an interrupted run.

    \b
    Cells: rnn, irnn, gru, gru_simple, lstm, mut1, mut2, mut3, mingru

    \b
    Examples:
      biorrn experiments cells -o cells --length 50
      biorrn experiments cells --stability stability.h5 --tagging structure.h5 -o cells
      biorrn experiments cells --cells lstm --cells mingru --stability stability.h5 --max-minutes 5 -o cells
      biorrn experiments cells --tasks synthetic --synthetic copying --length 30 -o copying
    """
    from biorrn.base.compute import set_threads
    from biorrn.experiments.cell_comparison import (
        cells_figure,
        choose_problems,
        compare_cells,
        known_cells,
        table_lines,
        write_json,
        write_table,
    )
    from biorrn.stats.figures import save_drawings

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


@app.command(no_args_is_help=True)
def gradient_flow(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for gradient_flow.tsv, gradient_flow.png and .svg.")
    ],
    model: Annotated[
        str | None, typer.Argument(help="Run folder or shipped model, to measure its recurrent layers.")
    ] = None,
    prepared: Annotated[
        Path | None, typer.Argument(help="With MODEL: HDF5 file of `biorrn prepare`, for its validation rows.")
    ] = None,
    cells: Annotated[list[str] | None, typer.Option(help="Cell. Repeatable. Default: all.")] = None,
    length: Annotated[int, typer.Option(help="Number of steps back, at least 2.")] = 200,
    hidden: Annotated[int, typer.Option(help="Units per cell.")] = 64,
    seeds: Annotated[int, typer.Option(help="Random initialisations; each curve is their median.")] = 3,
    layers: Annotated[
        int, typer.Option(help="Layers of a stack, shown with and without skip connections. 1: no stack.")
    ] = 3,
    init: Annotated[
        list[str] | None,
        typer.Option(
            help="Initial recurrent matrix: default, orthogonal, identity, small (x 0.5), large (x 1.5). Repeatable. "
            "Default: default, identity and large."
        ),
    ] = None,
    source: Annotated[
        str, typer.Option("--input", help="random (residues), or a prepared file of proteins or signal.")
    ] = "random",
    clip: Annotated[float, typer.Option(help="Norm for gradient clipping.")] = 1.0,
) -> None:
    """Measure how far gradients reach: the norm of d loss_T / d h_t against T - t, for each cell.

    Reports after how many steps back the norm has fallen to a half and to a hundredth. Draws it with and without
    clipping, for several initial recurrent matrices, and for stacks with and without skip connections. With MODEL and
    PREPARED: for each recurrent layer of the model on real sequences, trained and untrained.

    \b
    Examples:
      biorrn experiments gradient-flow -o flow/
      biorrn experiments gradient-flow -o flow/ --cells rnn --cells irnn --cells lstm --length 500
      biorrn experiments gradient-flow runs/stability stability.h5 -o flow/
    """
    from biorrn.base.terminal import progress
    from biorrn.experiments.gradient_flow import (
        cell_curves,
        check_clip,
        curve_lines,
        first_recipe,
        flow_figure,
        model_curves,
        passes,
        write_curves,
    )
    from biorrn.nn.cells import CELLS
    from biorrn.nn.store import load_model
    from biorrn.stats.figures import save_drawings
    from biorrn.training.task import load_task

    check_clip(clip)
    if (model is None) != (prepared is None):
        raise ConfigError("gradient-flow: give both MODEL and PREPARED, or neither")
    if model is not None and (cells or init or source != "random"):
        raise ConfigError("gradient-flow: --cells, --init and --input cannot be combined with MODEL")
    names, inits = cells or list(CELLS), init or ["default", "identity", "large"]
    total = passes(names, inits, seeds, layers) if model is None else None
    with progress("gradient-flow", "passes", total) as advance:
        if model is not None:
            stored = load_model(model)
            recipe = first_recipe(stored)
            batches = load_task(recipe.task).open_data(str(prepared), recipe).valid()
            curves = model_curves(stored, batches, length=length, seeds=seeds, advance=advance)
        else:
            curves = cell_curves(
                names,
                length=length,
                hidden=hidden,
                seeds=seeds,
                layers=layers,
                inits=inits,
                source=source,
                advance=advance,
            )
    table = output / "gradient_flow.tsv"
    write_curves(table, curves, clip)
    save_drawings([flow_figure(curves, clip)], output, table)
    for line in curve_lines(curves, clip):
        print(line)

"""`biorrn gradient-flow`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.errors import ConfigError


def gradient_flow(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for gradient_flow.tsv, gradient_flow.png and .svg.")
    ],
    model: Annotated[
        str | None, typer.Argument(help="Run folder or shipped model whose recurrent layers are looked at.")
    ] = None,
    prepared: Annotated[
        Path | None, typer.Argument(help="With MODEL: HDF5 file of `biorrn prepare`; its validation rows are read.")
    ] = None,
    cells: Annotated[list[str] | None, typer.Option(help="Cell, repeatable; default: all.")] = None,
    length: Annotated[int, typer.Option(help="Steps back; at least 2.")] = 200,
    hidden: Annotated[int, typer.Option(help="Units of a cell.")] = 64,
    seeds: Annotated[int, typer.Option(help="First weights, and inputs, that a line is the median of.")] = 3,
    layers: Annotated[
        int, typer.Option(help="Layers of a stack, shown without and with skip connections; 1: no stack.")
    ] = 3,
    init: Annotated[
        list[str] | None,
        typer.Option(
            help="First recurrent matrices, repeatable: default, orthogonal, identity, small (x 0.5), large (x 1.5). "
            "Default: default, identity and large."
        ),
    ] = None,
    source: Annotated[
        str, typer.Option("--input", help="random (residues), or a prepared file of proteins or signal.")
    ] = "random",
    clip: Annotated[float, typer.Option(help="Norm at which gradients are clipped.")] = 1.0,
) -> None:
    """Show how far back the gradient reaches: the norm of d loss_T / d h_t against T - t, for each cell.

    Prints, and writes, how many steps back the norm has fallen to half and to a hundredth; draws it before and after
    clipping, for several first recurrent matrices, and for stacks without and with skip connections. With MODEL and
    PREPARED: for each recurrent layer of that model on real sequences, trained and untrained.

    \b
    Examples:
      biorrn gradient-flow -o flow/
      biorrn gradient-flow -o flow/ --cells rnn --cells irnn --cells lstm --length 500
      biorrn gradient-flow runs/stability stability.h5 -o flow/
    """
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_gradient_flow import flow_figure
    from biorrn.evaluation.gradient_flow import check_clip, curve_lines, write_curves
    from biorrn.evaluation.gradient_flow_cells import cell_curves, passes
    from biorrn.evaluation.gradient_flow_model import first_recipe, model_curves
    from biorrn.models.recurrent import CELLS
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.tasks import load_task

    check_clip(clip)
    if (model is None) != (prepared is None):
        raise ConfigError("gradient-flow: MODEL and PREPARED go together; found only one of them")
    if model is not None and (cells or init or source != "random"):
        raise ConfigError("gradient-flow: --cells, --init and --input are for untrained cells, without MODEL")
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

"""`biorrn train`."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe of the package, by name, or a path to a .yaml file.")],
    prepared: Annotated[Path, typer.Argument(help="HDF5 file that `biorrn prepare` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder; becomes the model.")],
    seed: Annotated[int, typer.Option(help="0 or more; the same seed gives the same weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the recipe to change, e.g. training.epochs=3.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop at the end of the epoch that passes this.")] = None,
    init: Annotated[
        str | None, typer.Option(help="Model whose weights, where they fit, are the first ones (fine-tuning).")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin anew where OUTPUT holds a run of another recipe, data or seed.")
    ] = False,
) -> None:
    """Train a recipe on prepared data; run again after a kill, it goes on from the last whole epoch.

    The run folder ends with weights.safetensors, recipe.yaml, history.tsv and provenance.json, and is what `biorrn
    predict` and `biorrn basecall` take as MODEL.

    \b
    Examples:
      biorrn train stability_gru stability.h5 -o runs/stability
      biorrn train ctc_fast lambda.h5 -o runs/lambda --seed 1 --threads 2
      biorrn train my_recipe.yaml stability.h5 -o runs/mine --set training.epochs=3
      biorrn train fast modified.h5 -o runs/tuned --init dna_r9.4.1_fast --set training.lr=5e-4
    """
    from biorrn.config import change_recipe, load_recipe

    changes = list(settings or [])
    if max_minutes is not None:
        changes.append(f"training.max_minutes={max_minutes}")
    chosen = change_recipe(load_recipe(recipe), changes)

    # imported only now, for some seconds: a recipe with a fault is told of at once
    from biorrn.tasks import load_task
    from biorrn.training.loop import train as run

    run(
        chosen,
        prepared,
        output,
        load_task(chosen.task),
        seed=seed,
        device=device,
        threads=threads,
        replace=replace,
        init=init,
    )

"""`biorrn train`: train a recipe on a prepared file, or resume an interrupted training."""

import math
from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import Device, Threads

# shared with `biorrn train-table`
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE: change a recipe key, e.g. training.epochs=3. Repeatable.")
]
TrainSeed = Annotated[int, typer.Option(help="Random seed, 0 or more. The same seed gives the same weights.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Start over if OUTPUT holds a run with other settings, data or seed.")
]


def train(
    recipe: Annotated[
        str,
        typer.Argument(help="Name of a shipped recipe, or path to a .yaml file; or a model, which is trained further."),
    ],
    prepared: Annotated[Path, typer.Argument(help="HDF5 file written by `biorrn prepare`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder. It becomes the model.")],
    seed: TrainSeed = 0,
    device: Device = "auto",
    threads: Threads = None,
    settings: Settings = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Time limit: stop at the end of the epoch that exceeds it.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Start from the weights of this model, where shapes match; narrower LSTM layers are widened."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Ensemble members trained in parallel. Default: one per CPU thread.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Data-parallel processes on this machine: one per GPU, or shares of the CPU threads."),
    ] = None,
    replace: Replace = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="If another process trains in OUTPUT, wait for it. Default: an error.")
    ] = False,
) -> None:
    """Train a recipe on a prepared file, or resume an interrupted training.

    If the run was interrupted, the same command resumes it from the last complete epoch. The run folder ends with
    weights.safetensors, recipe.yaml, history.tsv and provenance.json, and is the MODEL argument of `biorrn predict`,
    `biorrn basecall` and others.

    A recipe with `members` trains an ensemble: each member is a run in OUTPUT/members with its own seed plus
    1000 * --seed. Members run in parallel, and finished ones are not trained again. With --processes, or under
    torchrun, several processes train one model; batches and results equal those of one process up to the order of
    floating-point sums.

    A model in place of a recipe, by name or folder, is fine-tuned: its recipe is taken, with its weights as --init. It
    may be a run, a shipped model, or a folder of Dorado or Bonito. Prepare the reads by `biorrn prepare signal --model`
    with the same model, so that the signal is normalised as the network expects it.

    To train from a plain table without a recipe, use `biorrn train-table`. To repeat a finished run and check that it
    gives the same weights, use `biorrn rerun RUN --check`.

    \b
    Examples:
      biorrn train stability_gru stability.h5 -o runs/stability
      biorrn train ctc_fast lambda.h5 -o runs/lambda --seed 1 --threads 2
      biorrn train my_recipe.yaml stability.h5 -o runs/mine --set training.epochs=3
      biorrn train my_ensemble.yaml stability.h5 -o runs/five --jobs 2
      biorrn train fast lambda.h5 -o runs/fast --processes 4 --device cuda
      torchrun --nproc-per-node 4 -m biorrn train fast lambda.h5 -o runs/fast
      biorrn train fast modified.h5 -o runs/tuned --init dna_r9.4.1_fast --set training.lr=5e-4
      biorrn train dna_r10.4.1_e8.2_400bps_hac@v4.3.0/ own.h5 -o runs/own_r10 --set training.epochs=4
    """
    from biorrn.base.compute import keep_memory
    from biorrn.config.recipe import change_recipe, load_recipe, recipe_names
    from biorrn.nn.store import is_model, load_model
    from biorrn.training import processes as launch

    changes = list(settings or [])
    if max_minutes is not None:
        changes.append(f"training.max_minutes={max_minutes}")
    if recipe not in recipe_names() and is_model(recipe):
        stored = load_model(recipe)
        chosen, init = change_recipe(stored.recipe, changes), init or str(stored.path)
    else:
        chosen = change_recipe(load_recipe(recipe), changes)

    number = launch.check(processes)
    if number > 1 and not launch.launched():
        return launch.launch(number)

    # these imports take seconds; errors in the recipe are reported before them
    from biorrn.training.task import complete, load_task
    from biorrn.training.train import train as run

    keep_memory()
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
        jobs=jobs,
        wait=math.inf if wait else 0.0,
    )
    if launch.rank() == 0:
        complete(chosen.task, output, prepared, device=device)

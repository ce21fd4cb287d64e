"""`biorrn train`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.table_options import AppliedTo, Offset, Sheet
from biorrn.errors import ConfigError


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe of the package, by name, or a path to a .yaml file; or the word protein.")
    ],
    prepared: Annotated[
        Path, typer.Argument(help="HDF5 file that `biorrn prepare` wrote; after protein a table, or FASTA.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run folder; becomes the model.")] = None,
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
    jobs: Annotated[
        int | None, typer.Option(help="Members of an ensemble trained at a time; default: one a CPU thread.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes of this machine that share every batch: one a GPU, or parts of the CPU threads."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin anew where OUTPUT holds a run of another recipe, data or seed.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Where another process trains in OUTPUT, wait for its end; else an error.")
    ] = False,
    target: Annotated[
        list[str] | None, typer.Option(help="Of protein TABLE, as all below: column of numbers to learn; repeatable.")
    ] = None,
    targets: Annotated[str | None, typer.Option(help="With FASTA: the table of values, joined by id.")] = None,
    sequence_column: Annotated[
        str | None, typer.Option(help="Column of sequences, or of mutations; default: found by name.")
    ] = None,
    wild_type: AppliedTo = None,
    offset: Offset = 0,
    id_column: Annotated[str | None, typer.Option(help="Column of ids; default: id, or row1, row2, ...")] = None,
    weight: Annotated[str | None, typer.Option(help="Column with each protein's weight in the loss.")] = None,
    groups: Annotated[str | None, typer.Option(help="Column whose equal values stay on one side of the split.")] = None,
    split: Annotated[
        str | None, typer.Option(help="column:NAME, random[:0.8,0.1,0.1] or cluster:IDENTITY; default: chosen.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A candidate, recipe or .yaml file; default: chosen.")] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation; the folds' models become one ensemble.")] = None,
    search: Annotated[int | None, typer.Option(help="Trials of a search for the network's numbers.")] = None,
    sheet: Sheet = None,
    decimal: Annotated[
        str | None, typer.Option(help="point or comma, where the numbers of TABLE do not tell; default: found.")
    ] = None,
    censored: Annotated[
        str | None, typer.Option(help="use: values such as >90 are learned as bounds (default); drop: left out.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first row that cannot be used; default: leave it out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be chosen, and what each odd cell is taken as.")
    ] = False,
) -> None:
    """Train a recipe on prepared data; run again after a kill, it goes on from the last whole epoch.

    The run folder ends with weights.safetensors, recipe.yaml, history.tsv and provenance.json, and is what `biorrn
    predict` and `biorrn basecall` take as MODEL. A recipe with `members` is an ensemble: each member is a run of its
    own in OUTPUT/members, several at a time, with its own seed + 1000 * --seed; finished ones are not trained again.
    With --processes, or started by torchrun, several processes train one model: batch and result are those of one
    process, up to the order of sums.

    \b
    Examples:
      biorrn train stability_gru stability.h5 -o runs/stability
      biorrn train ctc_fast lambda.h5 -o runs/lambda --seed 1 --threads 2
      biorrn train my_recipe.yaml stability.h5 -o runs/mine --set training.epochs=3
      biorrn train my_ensemble.yaml stability.h5 -o runs/five --jobs 2
      biorrn train fast lambda.h5 -o runs/fast --processes 4 --device cuda
      torchrun --nproc-per-node 4 -m biorrn train fast lambda.h5 -o runs/fast
      biorrn train fast modified.h5 -o runs/tuned --init dna_r9.4.1_fast --set training.lr=5e-4

    \b
    With no recipe: `protein TABLE` looks at a table of proteins, chooses split, model and size, says why, trains,
    compares with baselines and writes report.html. --max-minutes is then the time of all (default 20). A column of
    mutations (A23G:K41E, p.Ala23Gly, WT) may stand in place of sequences: --wild-type says of what.
      biorrn train protein mine.csv --target tm -o runs/tm
      biorrn train protein mine.csv --target tm --groups family --folds 5 -o runs/tm5
      biorrn train protein all.fasta --targets values.csv --target kcat --search 30 --max-minutes 60 -o runs/kcat
      biorrn train protein scan.csv --wild-type gb1.fa --target score -o runs/gb1
      biorrn train protein mine.csv --target tm --dry-run
    """
    given = dict(locals())
    from biorrn.cli import train_protein

    if recipe == "protein":
        return train_protein.train_protein(str(prepared), given)
    train_protein.refuse(given, train_protein.OWN, "belongs to 'biorrn train protein TABLE', not to a recipe")
    if output is None:
        raise ConfigError("Missing option '--output' / '-o'; see 'biorrn train --help'")
    from biorrn.config import change_recipe, load_recipe
    from biorrn.training import launch

    changes = list(settings or [])
    if max_minutes is not None:
        changes.append(f"training.max_minutes={max_minutes}")
    chosen = change_recipe(load_recipe(recipe), changes)

    number = launch.check(processes)
    if number > 1 and not launch.launched():
        return launch.launch(number)

    # imported only now, for some seconds: a recipe with a fault is told of at once
    from biorrn.tasks import load_task
    from biorrn.tasks.finish import finish
    from biorrn.training.train import train as run

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
        finish(chosen.task, output, prepared, device=device)

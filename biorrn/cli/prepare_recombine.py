"""`biorrn prepare recombine`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.prepare_mix import finish


def recombine(
    prepared: Annotated[Path, typer.Argument(help="Prepared signal file whose labels say where each base starts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    samples: Annotated[int, typer.Option(min=1, help="Samples to write.")] = 20_000_000,
    rounds: Annotated[
        int, typer.Option(min=0, help="Align base starts anew so often; Tombo's labels need 0, those of a model 2.")
    ] = 0,
    run: Annotated[float, typer.Option(min=1, help="Mean number of bases between two changes of read.")] = 6.0,
    size: Annotated[int, typer.Option(min=100, help="Samples of a walk, at least.")] = 6000,
    seed: Annotated[int, typer.Option(min=0, help="Of the walks.")] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the alignment; default: all.")] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file: what the new file holds.")] = None,
) -> None:
    """Make new sequences out of measured signal: walks over the training reads that change read where six bases agree.

    The reads of a small genome show few sequences, and a model learns them by heart. In a walk the current of every
    base is real, and so are its neighbours on either side, but the order of bases at length is new. Mix the walks with
    the reads themselves. Held-out segments are neither used nor copied.

    \b
    Examples:
      biorrn prepare recombine lambda.h5 -o walks.h5 --samples 15000000
      biorrn prepare recombine pseudo.h5 -o walks.h5 --rounds 2 --seed 1
      biorrn prepare mix lambda.h5=1 walks.h5=2 -o mixed.h5
    """
    from biorrn.datasets.account import account
    from biorrn.device import set_threads
    from biorrn.progress import progress
    from biorrn.simulation.recombine import recombine as run_walks

    with progress("recombining", "samples", samples) as advance:
        walks = run_walks(
            prepared, output, samples, rounds=rounds, size=size, run=run, seed=seed, threads=set_threads(threads),
            advance=advance,
        )  # fmt: skip
    finish(account(output, {"walks": walks}, ""), {"seed": seed, "rounds": rounds, "run": run}, report)

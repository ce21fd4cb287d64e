"""`biorrn rerun`: repeat a training run, and check that the weights are the same."""

from pathlib import Path
from typing import Annotated

import typer


def rerun(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of `biorrn train`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the new run. Default: RUN with the suffix .rerun.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The prepared file, if it was moved. Its checksum must match the run's.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="The model given to --init, if it was moved. Its checksum must match too.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the weights bit for bit. Exit code 1 if they differ.")
    ] = False,
) -> None:
    """Repeat a training run, and check that the weights are the same.

    Recipe, data, seed, threads, processes, precision and epochs are read from RUN/provenance.json. On the CPU of the
    same machine with the same versions, the weights are the same bit for bit. --check reports this, or the size of
    the difference and which versions, processor or number of threads differ. A run that stopped at its time limit is
    repeated for the same number of epochs. Choices of `biorrn train-table` are kept, not made again.

    \b
    Examples:
      biorrn rerun runs/stability --check
      biorrn rerun runs/stability -o runs/again
      biorrn rerun downloaded/stability --data stability.h5 --check
    """
    from biorrn import rerun as repeat
    from biorrn.training import processes as launch

    folder = output or run.with_name(run.name + ".rerun")
    repeat.refuse_same(run, folder)
    number = repeat.processes_of(run)
    if number > 1 and not launch.launched():
        launch.launch(number)
    else:
        repeat.rerun(run, folder, data=data, init=init)
    if check and not launch.launched():
        found = repeat.compare(run, folder)
        print("\n".join(found.lines))
        if not found.identical:
            raise typer.Exit(1)

"""`biorrn rerun`."""

from pathlib import Path
from typing import Annotated

import typer


def rerun(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, as `biorrn train` leaves it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the new run; default: RUN with the suffix .rerun.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The prepared file, where it was moved; its checksum must be that of the run.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="The model that the run started from, where it was moved; checked as --data.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the weights bit for bit; exit code 1 where they differ.")
    ] = False,
) -> None:
    """Train again what RUN/provenance.json tells of: same recipe, data, seed, threads, processes, precision, epochs.

    On the same machine with the same versions the weights are the same bit for bit, on the CPU. With --check the
    command says so, or how far off they are and which versions, processor or number of threads differ. A run that its
    time limit has ended is repeated for as many epochs; what `biorrn train protein` chose is not chosen anew.

    \b
    Examples:
      biorrn rerun runs/stability --check
      biorrn rerun runs/stability -o runs/again
      biorrn rerun downloaded/stability --data stability.h5 --check
    """
    from biorrn.training import launch, repeat

    folder = output or run.with_name(run.name + ".rerun")
    repeat.refuse_same(run, folder)
    number = repeat.processes_of(run)
    if number > 1 and not launch.launched():
        launch.launch(number)
    else:
        from biorrn.tasks.rerun import rerun as repeat_run

        repeat_run(run, folder, data=data, init=init)
    if check and not launch.launched():
        found = repeat.compare(run, folder)
        print("\n".join(found.lines))
        if not found.identical:
            raise typer.Exit(1)

"""`biorrn prepare mix`."""

from pathlib import Path
from typing import Annotated

import typer


def mix(
    inputs: Annotated[list[str], typer.Argument(metavar="FILE=WEIGHT...", help="Prepared signal files; weight 1.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    report: Annotated[Path | None, typer.Option(help="JSON file: what the mixed file holds.")] = None,
    note: Annotated[str, typer.Option(help="Kept in the file and the report.")] = "",
) -> None:
    """Join prepared signal files, each with a share of what training draws.

    A training window comes from a file with probability WEIGHT / sum of the weights, whatever the files' sizes.
    Held-out segments come along as they are; a file of weight 0 gives its held-out segments alone.

    \b
    Examples:
      biorrn prepare mix lambda.h5=2 human.h5=1 simulated.h5=1 -o mixed.h5
      biorrn prepare mix run1.h5 run2.h5 other_species.h5=0 -o mixed.h5 --report mixed.json
    """
    from biorrn.datasets.account import account
    from biorrn.datasets.mix import mix as join
    from biorrn.datasets.mix import parse_inputs

    counts = join(parse_inputs(inputs), output, note)
    finish(account(output, counts, note), {}, report)


def finish(account: dict, options: dict, report: Path | None) -> None:
    """Write the account of a preparation where asked for, and print it in a few lines."""
    from biorrn.datasets.account import lines, write_account

    if report is not None:
        write_account(report, {**options, **account})
    for line in lines(account):
        print(line)

"""`biorrn models activations`: plot the activations of single recurrent units along sequences."""

from typing import Annotated

import typer

from biorrn.cli.options import BatchSize, Device, Member, Sequences, Split, StateModel, Strict, Threads


def activations(
    model: StateModel,
    sequences: Sequences,
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="Output, by suffix: .html, .svg, .png, .tsv, .csv, .parquet or .npz."),
    ] = "-",
    units: Annotated[
        str, typer.Option(help="Comma-separated unit numbers from 0, or auto: those most correlated with a property.")
    ] = "auto",
    properties: Annotated[
        str | None,
        typer.Option(help="Comma-separated properties, e.g. hydropathy,charge,position,helix_15. Default: all."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Labels as additional properties: FASTA-like, or a table with id and state.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Recurrent layer, from 1. 0 is the output of the core. Default: the last.")
    ] = None,
    member: Member = 1,
    most: Annotated[int, typer.Option(help="With --units auto: maximum number of units.")] = 8,
    split: Split = "valid",
    strict: Strict = False,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Plot the activations of single recurrent units along sequences.

    Units are given by number, or chosen by the Pearson correlation of their activation with hydropathy and other
    residue scales, means of these over 15 residues, position, or your own labels. Half of the sequences are used for
    the choice, the other half to measure the correlation. A page or figure shows the first 20 sequences; tables hold
    all of them, and .npz all units.

    \b
    Examples:
      biorrn models activations runs/lm proteins.fasta -o units.html
      biorrn models activations stability proteins.fasta --layer 1 --properties charge,helix_15 -o units.svg
      biorrn models activations runs/lm proteins.fasta --units 3,17 --labels structure.fasta -o units.tsv
    """
    from pathlib import Path

    from biorrn.base.compute import choose_device, set_threads
    from biorrn.base.terminal import progress
    from biorrn.experiments.activations.files import look, writer_of
    from biorrn.experiments.activations.states import activations as run
    from biorrn.experiments.activations.states import check_size, watch
    from biorrn.nn.store import load_model
    from biorrn.sequences.sequence_set import read_set
    from biorrn.sequences.tables.reader import Reading
    from biorrn.sequences.tally import Tally

    set_threads(threads)
    write = writer_of(output)
    watched = watch(load_model(model), layer, member)
    where = choose_device(device)
    tally = Tally("activations", "sequences", "letters")
    reading = Reading(strict=strict)
    chosen = read_set(sequences, watched.alphabet, None if split == "all" else split, reading)
    tally.took(reading)
    check_size(watched, chosen)
    states = []
    with progress("activations", "sequences", len(chosen)) as advance:
        for one in run(watched, chosen, batch_size=batch_size, device=where):
            states.append(one)
            tally.add(sequences=1, letters=len(one.sequence))
            advance(1)
    found = look(watched, states, units=units, properties=properties, labels=labels, most=most, name=Path(model).name)
    write(output, found)
    for choice in found.units:
        tally.say(choice.sentence())
    tally.report()

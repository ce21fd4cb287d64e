"""`biorrn activations`."""

from typing import Annotated

import typer


def activations(
    model: Annotated[str, typer.Argument(help="Run folder of a model for language, regression or tagging, or an id.")],
    sequences: Annotated[str, typer.Argument(help="FASTA, a table, or a prepared file (.h5); - is standard input.")],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="By its suffix: .html, .svg, .png, .tsv, .csv, .parquet or .npz."),
    ] = "-",
    units: Annotated[
        str, typer.Option(help="Numbers from 0 with commas; auto takes those that correlate most with a property.")
    ] = "auto",
    properties: Annotated[
        str | None,
        typer.Option(help="Names with commas, such as hydropathy,charge,position,helix_15; default: all there are."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Labels as further properties: like FASTA, or a table with id and state.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Recurrent layer, from 1; default: the last; 0 is what the core gives.")
    ] = None,
    member: Annotated[int, typer.Option(help="Network of an ensemble, from 1.")] = 1,
    most: Annotated[int, typer.Option(help="Units that auto shows at most.")] = 8,
    split: Annotated[str, typer.Option(help="Rows of a prepared file: train, valid, test or all.")] = "valid",
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first record that cannot be used; default: leave it out.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Sequences a forward pass.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Show what single units of a recurrent layer do along sequences, as text coloured by their state.

    Units are named, or chosen by Pearson's correlation of their state with hydropathy and other scales of residues,
    means of these over 15 residues, position, or labels of your own. Half of the sequences choose, the other half says
    how large the correlation is. A page or figure shows the first 20 sequences; tables have all, and .npz all units.

    \b
    Examples:
      biorrn activations runs/lm proteins.fasta -o units.html
      biorrn activations stability proteins.fasta --layer 1 --properties charge,helix_15 -o units.svg
      biorrn activations runs/lm proteins.fasta --units 3,17 --labels structure.fasta -o units.tsv
    """
    from pathlib import Path

    from biorrn.datasets.sequence_set import read_set
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.activation_files import look, writer_of
    from biorrn.inference.activations import activations as run
    from biorrn.inference.activations import check_size, watch
    from biorrn.inference.summary import Tally
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.tables import Reading

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

"""`biorrn prepare tags`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.prepare_mix import finish


def tags(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="FASTA of sequences; a table; or FLIP's zip archive or folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    labels: Annotated[str | None, typer.Option(help="With FASTA: FASTA of labels, a letter a residue.")] = None,
    mask: Annotated[str | None, typer.Option(help="With FASTA: FASTA of 1 and 0, where a residue has a label.")] = None,
    bed: Annotated[str | None, typer.Option(help="With FASTA: BED of segments (chrom, start, end, name).")] = None,
    split: Annotated[
        str, typer.Option(help="header:KEY, file:PATH, column:NAME, random:PARTS, cluster:IDENTITY or reference:SPANS.")
    ] = "header:SET",
    alphabet: Annotated[str, typer.Option(help="protein or dna.")] = "protein",
    states: Annotated[str, typer.Option(help="3 or 8 (of DSSP), or the letters of other states, as io.")] = "3",
    state_names: Annotated[str, typer.Option(help="What the states are called, as inside,outside.")] = "",
    unknown: Annotated[str, typer.Option(help="Letters that say that the state is not known, as ?.")] = "",
    value: Annotated[
        list[str] | None, typer.Option(help="Column of a table: a number a residue, comma separated; repeatable.")
    ] = None,
    label_column: Annotated[str, typer.Option(help="Column of a table with the labels.")] = "labels",
    sequence_column: Annotated[str, typer.Option(help="Column of a table with the sequences.")] = "sequence",
    background: Annotated[str, typer.Option(help="State of a base that lies in no segment.")] = "none",
    name: Annotated[str, typer.Option(help="What the states are of; default: secondary structure, or state.")] = "",
    window: Annotated[
        int | None, typer.Option(min=32, help="Cut longer sequences; default: 4096 for dna, none for proteins.")
    ] = None,
    overlap: Annotated[int | None, typer.Option(min=0, help="Letters that two windows share; default: 1/8.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a random or cluster split.")] = 0,
    report: Annotated[Path | None, typer.Option(help="JSON file: what was kept and shared between the splits.")] = None,
    note: Annotated[str, typer.Option(help="Kept in the file and the report, e.g. that the data is synthetic.")] = "",
) -> None:
    """Prepare sequences with a state, or values, for each residue or base.

    Labels are joined to sequences by id, and must be as many as the residues. Of two windows that share bases each has
    the labels of its own half, so that every base counts once. The eight states of DSSP become three as usual: G, H, I
    are helix, E and B strand, all others coil.

    \b
    Splits:
      header:SET                headers of the labels say SET=train or SET=test, and VALIDATION=True
      file:splits.tsv           a table of id and split
      column:set                a column of the table
      random:0.8,0.1,0.1        by chance; similar sequences fall on both sides
      cluster:0.3               proteins of 30 % identity or more stay together
      reference:chr1:0-9000=valid  places of a sequence; the rest trains

    \b
    Examples:
      biorrn prepare tags splits.zip -o structure.h5
      biorrn prepare tags chains.fasta --labels dssp.fasta --states 8 --split cluster:0.3 -o structure8.h5
      biorrn prepare tags flexibility.csv --value b_factor --split random:0.8,0.1,0.1 -o flexibility.h5
      biorrn prepare tags genome.fa --bed genes.bed --alphabet dna --split reference:chr1:0-90000=valid -o genes.h5
    """
    from biorrn.datasets.prepare_tags import TagInput, prepare_tags
    from biorrn.datasets.tag_splits import parse_tag_split
    from biorrn.encoders.states import parse_states
    from biorrn.progress import progress

    splitter = parse_tag_split(split, seed)
    given = TagInput(
        source,
        labels,
        mask,
        bed,
        alphabet,
        parse_states(states, unknown, state_names, name),
        label_column,
        value or [],
        sequence_column,
        background,
    )
    with progress("preparing", "sequences") as advance:
        account = prepare_tags(given, output, splitter, window=window, overlap=overlap, note=note, advance=advance)
    finish(account, {"split": split, "seed": seed}, report)

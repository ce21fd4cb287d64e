"""`biorrn prepare tags` and `biorrn prepare pseudo-labels`: prepared files of labels per residue or base."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biorrn.cli.options import FileNote, Offset, Prepared, Report, SplitSeed, Threads, WildType
from biorrn.cli.outputs import write_account

if TYPE_CHECKING:
    import numpy as np


def tags(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="FASTA of sequences; a table; or FLIP's zip archive or folder.")
    ],
    output: Prepared,
    labels: Annotated[str | None, typer.Option(help="With FASTA: FASTA of labels, one letter per residue.")] = None,
    mask: Annotated[str | None, typer.Option(help="With FASTA: FASTA of 1 and 0; 0 masks a label.")] = None,
    bed: Annotated[str | None, typer.Option(help="With FASTA: BED of segments (chrom, start, end, name).")] = None,
    split: Annotated[
        str, typer.Option(help="header:KEY, file:PATH, column:NAME, random:PARTS, cluster:IDENTITY or reference:SPANS.")
    ] = "header:SET",
    alphabet: Annotated[str, typer.Option(help="protein or dna.")] = "protein",
    states: Annotated[str, typer.Option(help="3 or 8 (DSSP), or the letters of other states, e.g. io.")] = "3",
    state_names: Annotated[str, typer.Option(help="Names of the states, e.g. inside,outside.")] = "",
    unknown: Annotated[str, typer.Option(help="Letters that mean an unknown state, e.g. ?.")] = "",
    value: Annotated[
        list[str] | None,
        typer.Option(help="For a table: column of comma-separated numbers, one per residue. Repeatable."),
    ] = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    label_column: Annotated[str, typer.Option(help="For a table: the column of labels.")] = "labels",
    sequence_column: Annotated[str, typer.Option(help="For a table: the column of sequences.")] = "sequence",
    background: Annotated[str, typer.Option(help="With BED: state of bases outside all segments.")] = "none",
    name: Annotated[str, typer.Option(help="What the states describe. Default: secondary structure, or state.")] = "",
    window: Annotated[
        int | None, typer.Option(min=32, help="Cut longer sequences. Default: 4096 for dna, none for proteins.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Overlap of two windows, in letters. Default: 1/8 of the window.")
    ] = None,
    seed: SplitSeed = 0,
    report: Report = None,
    note: FileNote = "",
) -> None:
    """Convert sequences with a state, or values, for each residue or base to a prepared file.

    Labels are joined to sequences by id, and must have the same length. Where two windows overlap, each has the labels
    of its own half, so that every base counts once. The eight DSSP states are reduced to three as usual: G, H, I are
    helix, E and B strand, all others coil.

    With --wild-type, the table holds mutants (a column of mutations) with one value each; the prepared file has a row
    a wild type, and for each of its residues the value of each of the 20 that may replace it.

    \b
    Splits:
      header:SET                headers of the labels contain SET=train or SET=test, and VALIDATION=True
      file:splits.tsv           a table of id and split
      column:set                a column of the table
      random:0.8,0.1,0.1        at random; similar sequences can end up on both sides
      cluster:0.3               proteins of 30 % identity or more stay together
      reference:chr1:0-9000=valid  spans of a sequence; the rest is train

    \b
    Examples:
      biorrn prepare tags splits.zip -o structure.h5
      biorrn prepare tags chains.fasta --labels dssp.fasta --states 8 --split cluster:0.3 -o structure8.h5
      biorrn prepare tags flexibility.csv --value b_factor --split random:0.8,0.1,0.1 -o flexibility.h5
      biorrn prepare tags mutants.csv --wild-type wt_sequence --value ddg --split column:split -o ddg.h5
      biorrn prepare tags genome.fa --bed genes.bed --alphabet dna --split reference:chr1:0-90000=valid -o genes.h5
    """
    from biorrn.base.terminal import progress
    from biorrn.sequences.alphabets import parse_states
    from biorrn.sequences.tally import Tally
    from biorrn.tagging.prepare import TagInput, parse_tag_split, prepare_tags

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
        wild_type,
        offset,
    )
    with progress("preparing", "sequences") as advance:
        account = prepare_tags(given, output, splitter, window=window, overlap=overlap, note=note, advance=advance)
    for line in given.reading.lines():
        Tally("prepare").say(line)
    write_account(account, {"split": split, "seed": seed}, report)


def pseudo_labels(
    source: Annotated[Path, typer.Argument(metavar="PREPARED", help="Prepared file of protein tags.")],
    sequences: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Unlabelled sequences: FASTA files or tables.")
    ],
    teacher: Annotated[str, typer.Option(help="Tagging model that labels them: run folder or shipped model.")],
    output: Prepared,
    expect: Annotated[float, typer.Option(min=1e-100, max=10, help="Maximum E-value of a homolog.")] = 1e-3,
    precision: Annotated[
        str, typer.Option(help="Precision of the model: auto (bf16 where the CPU has it), 32 or bf16.")
    ] = "auto",
    threads: Threads = None,
    report: Report = None,
    note: FileNote = "",
) -> None:
    """Extend a training set with sequences labelled by a model and their homologs.

    The model (the teacher) predicts the states of each sequence. These are averaged over aligned residues with the
    predictions for homologs among the sequences, and with the labels of homologs in the train split. A sequence with a
    homolog in the valid or test split is left out. The new file is used for training like any file of tags.

    \b
    Examples:
      biorrn train secondary_structure_teacher structure.h5 -o teacher
      biorrn prepare pseudo-labels structure.h5 pfam.csv.gz proteome.fasta --teacher teacher -o taught.h5
      biorrn train secondary_structure_students taught.h5 -o students
      biorrn train secondary_structure structure.h5 --init students -o runs/structure
    """
    import torch

    from biorrn.base.terminal import progress
    from biorrn.kernels.lstm.layers import BFLOAT, kinds
    from biorrn.nn.store import WEIGHTS, load_model
    from biorrn.sequences.records import ProteinRecord
    from biorrn.tagging.predict import tag, tag_columns
    from biorrn.tagging.pseudo_labels import prepare_pseudo_labels

    if precision == "auto" and BFLOAT in kinds():  # its scores are rounded to 1/255
        precision = "bf16"
    stored = load_model(teacher)
    states, _ = tag_columns(stored)

    with ExitStack() as stack:
        counted: list[Callable[[int], None]] = []

        def label(texts: Sequence[str]) -> Iterator[np.ndarray]:
            records = (ProteinRecord(str(row), text) for row, text in enumerate(texts))
            with progress("labelling", "residues", sum(map(len, texts))) as advance:
                for one in tag(stored, records, threads=threads, precision=precision):
                    advance(len(one.sequence))
                    yield one.scores
            counted.append(stack.enter_context(progress("finding homologs", "sequences", len(texts))))

        account = prepare_pseudo_labels(
            source,
            sequences,
            output,
            label,
            states=states,
            weights=stored.path / WEIGHTS,
            expect=expect,
            threads=threads or torch.get_num_threads(),
            note=note,
            advance=lambda sequences: counted[0](sequences),
        )
    write_account(account, {"teacher": teacher, "expect": expect}, report)

"""`biorrn prepare pseudo-labels`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biorrn.cli.prepare_mix import finish

if TYPE_CHECKING:
    import numpy as np


def pseudo_labels(
    source: Annotated[Path, typer.Argument(metavar="PREPARED", help="Prepared file of tags of proteins.")],
    sequences: Annotated[list[str], typer.Argument(metavar="FILE...", help="Sequences without labels: FASTA, tables.")],
    teacher: Annotated[str, typer.Option(help="Folder or name of the tagging model that labels them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    expect: Annotated[
        float, typer.Option(min=1e-100, max=10, help="Homologs have a score that chance gives so many times.")
    ] = 1e-3,
    precision: Annotated[str, typer.Option(help="Of the model: auto (bf16 where a CPU has it), 32 or bf16.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: as many as torch uses.")] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file: what was kept and left out.")] = None,
    note: Annotated[str, typer.Option(help="Kept in the file and the report.")] = "",
) -> None:
    """Add sequences to a training set whose states are said by a model and by their homologs.

    The model (the teacher) says the states of each sequence; these are averaged with what it says of the homologs among
    the sequences, residue by residue as they align, and with the labels of homologs in the train split. A sequence with
    a homolog in the valid or test split is left out. The new file trains like any other of tags.

    \b
    Examples:
      biorrn train secondary_structure_teacher structure.h5 -o teacher
      biorrn prepare pseudo-labels structure.h5 pfam.csv.gz proteome.fasta --teacher teacher -o taught.h5
      biorrn train secondary_structure_students taught.h5 -o students
      biorrn train secondary_structure structure.h5 --init students -o runs/structure
    """
    import torch

    from biorrn.datasets.prepare_pseudo_labels import prepare_pseudo_labels
    from biorrn.inference.tagging import tag, tag_columns
    from biorrn.kernels.lstm import HAS_BF16
    from biorrn.models.store import WEIGHTS, load_model
    from biorrn.progress import progress
    from biorrn.readers.records import ProteinRecord

    if precision == "auto" and HAS_BF16:  # what it says is rounded to 1/255
        precision = "bf16"
    stored = load_model(teacher)
    states, _ = tag_columns(stored)

    with ExitStack() as stack:
        counted: list[Callable[[int], None]] = []

        def say(texts: Sequence[str]) -> Iterator[np.ndarray]:
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
            say,
            states=states,
            weights=stored.path / WEIGHTS,
            expect=expect,
            threads=threads or torch.get_num_threads(),
            note=note,
            advance=lambda sequences: counted[0](sequences),
        )
    finish(account, {"teacher": teacher, "expect": expect}, report)

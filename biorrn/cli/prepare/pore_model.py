"""`biorrn prepare pore-model`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import Threads


def pore_model(
    labelled: Annotated[
        list[Path], typer.Argument(help="HDF5 file of `biorrn prepare signal`, or raw reads as it takes them.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="TSV file to write. - is stdout.")],
    k: Annotated[int, typer.Option("--k", help="Length of the k-mers.")] = 6,
    rounds: Annotated[int, typer.Option(help="Rounds of realignment of the bases to the signal.")] = 1,
    centre: Annotated[
        int | None, typer.Option(help="Base of the k-mer, from 0, that an event belongs to. Default: the best.")
    ] = None,
    labels: Annotated[str, typer.Option(help="Raw reads: kind of labels, as for `prepare signal`.")] = "events",
    truth: Annotated[Path | None, typer.Option(help="Raw reads with --labels truth: the table.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Raw reads: split, as for `prepare signal`; valid and test are not used.")
    ] = None,
    compare: Annotated[Path | None, typer.Option(help="Another k-mer table; prints how well the levels agree.")] = None,
    note: Annotated[str, typer.Option(help="Note in the header: source and licence of the reads.")] = "",
    threads: Threads = None,
) -> None:
    """Estimate a pore model from labelled reads: level, spread, noise and dwell time of each k-mer.

    Fits the levels and the offset and gain of each read alternately. A k-mer with few events is shrunk towards an
    additive model of its bases and base pairs, and flagged. Only training rows of a prepared file are used. The header
    of the table gives the units.

    \b
    Examples:
      biorrn prepare pore-model lambda.h5 -o r9.tsv
      biorrn prepare pore-model fast5/ --split reference:chr1:0-14500=test -o r9.tsv --compare other.tsv
    """
    from biorrn.base.compute import set_threads
    from biorrn.base.terminal import progress
    from biorrn.nanopore.readers.summary import Problems
    from biorrn.nanopore.simulate.estimate import agreement, estimate_pore_model, read_levels
    from biorrn.nanopore.simulate.labelled_signal import load_reads
    from biorrn.nanopore.simulate.pore_model import write_pore_model

    used = set_threads(threads)
    other = None if compare is None else read_levels(compare)
    problems = Problems(sys.stderr)
    with progress("reading", "samples") as advance:
        data = load_reads(labelled, labels, truth, split, problems, advance)
    problems.close()
    made = f"biorrn pore-model READS --k {k} --rounds {rounds}" + (f" --split {split}" if split else "")
    notes = {**({"source": note} if note else {}), "made by": made}
    model = estimate_pore_model(
        data, k, rounds, centre, notes, threads=used, say=lambda line: print(line, file=sys.stderr)
    )
    write_pore_model(output, model)
    for line in [] if other is None else agreement(model, other):
        print(line, file=sys.stderr)

"""`biorrn pore-model`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def pore_model(
    labelled: Annotated[list[Path], typer.Argument(help="HDF5 of `biorrn prepare signal`, or what that takes.")],
    output: Annotated[str, typer.Option("--output", "-o", help="TSV file to write; - is stdout.")],
    k: Annotated[int, typer.Option("--k", help="Bases that the current depends on.")] = 6,
    rounds: Annotated[int, typer.Option(help="How often the bases are aligned to the signal anew.")] = 1,
    centre: Annotated[
        int | None, typer.Option(help="Base of the k-mer, from 0, to which an event counts; default: the best.")
    ] = None,
    labels: Annotated[str, typer.Option(help="With raw reads: where their labels are, as for prepare.")] = "events",
    truth: Annotated[Path | None, typer.Option(help="With raw reads and --labels truth: the table.")] = None,
    split: Annotated[
        str | None, typer.Option(help="With raw reads: as for prepare; valid and test are left out.")
    ] = None,
    compare: Annotated[Path | None, typer.Option(help="Another table of k-mers; prints how the levels agree.")] = None,
    note: Annotated[str, typer.Option(help="Kept in the header: source and licence of the reads.")] = "",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Estimate the level, spread, noise and dwell of each k-mer from labelled reads.

    Levels and each read's offset and gain are fitted in turn. A k-mer seen in few events leans on an additive model of
    its bases and pairs, and is flagged. Only training rows of a prepared file are used. The header of the table says
    the units.

    \b
    Examples:
      biorrn pore-model lambda.h5 -o r9.tsv
      biorrn pore-model fast5/ --split reference:Lambda_NEB:0-14500=test -o r9.tsv --compare r9.4_450bps_6mer.tsv
    """
    from biorrn.device import set_threads
    from biorrn.progress import progress
    from biorrn.readers.summary import Problems
    from biorrn.simulation.agreement import agreement, read_levels
    from biorrn.simulation.estimate import estimate_pore_model
    from biorrn.simulation.events import load_reads
    from biorrn.simulation.pore_model import write_pore_model

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

"""`biorrn split`: split basecalled reads that hold two molecules."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import CalledReads, Threads


def split(
    reads: CalledReads,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File .fastq, .fastq.gz, .sam, .bam or .cram. - is FASTQ on stdout.")
    ] = "-",
    signal: Annotated[
        list[Path] | None,
        typer.Option(help="Raw signal of the reads, a file or folder: also split at open pore. Repeatable."),
    ] = None,
    summary: Annotated[str | None, typer.Option(help="Also write a table with one row per part.")] = None,
    threads: Threads = None,
) -> None:
    """Split basecalled reads that hold two molecules, at adapters or open pore between them.

    The adapter of ligation and rapid kits is searched in the whole read but its first and last 200 bases: with at most
    6 edits, or 12 together with the adapter that ends a molecule, where that stands before it. Bases, qualities, move
    table and modified bases are split together. A part gets an id of its own, the tag pi with the id of the read, and
    sp, its first sample; the adapters between the parts are left out. Other reads are written as they are. A record
    that cannot be used is named and left out, with a row and the reason in --summary.

    With --signal, reads with a move table are also split where the signal shows open pore between two molecules; the
    bases called there are left out. `biorrn basecall --split-reads` splits there before it calls, which is better.

    \b
    Examples:
      biorrn split calls.fastq.gz -o parts.fastq.gz --summary parts.tsv
      biorrn split calls.bam -o parts.bam
      biorrn split calls.bam --signal pod5/ -o parts.bam
      biorrn split calls.bam | biorrn demux - --kit SQK-NBD114-24 -o demux/
    """
    import sys

    from biorrn.base.compute import set_threads
    from biorrn.base.errors import InputError
    from biorrn.base.terminal import plural, progress
    from biorrn.nanopore.reads.split import COLUMNS, open_pores_of, split_reads
    from biorrn.nanopore.reads.unaligned import rewritten
    from biorrn.sequences.tally import Tally

    used = set_threads(threads)
    tally, whole, parents, blind = Tally("split", "reads", "bases"), 0, 0, 0
    gaps = open_pores_of(signal, tally.skip_input) if signal else None
    with (
        rewritten(reads, output, summary, COLUMNS, "split", tally, used) as (called, rna, write),
        progress("split", "reads") as advance,
    ):
        for made, cells in split_reads(called, rna, gaps):
            write(made, cells)
            if gaps is not None and cells[1] == "1":
                tags = {tag[:2]: tag[5:] for tag in made.tags}
                blind += "mv" not in tags or tags.get("pi", made.id) not in gaps
            tally.add(reads=1, bases=len(made.bases))
            whole += cells[1] == "1"
            parents += cells[1] == "1" and cells[2] != "1"
            advance(1)
        tally.require("reads", str(InputError(reads, "holds no reads that can be used")))
    tally.report()
    if blind:
        tally.say(f"warning: {blind:,} of {whole:,} reads have no signal or no move table; split at adapters alone")
    made_of, reads_in = tally.done["reads"] - whole + parents, plural(whole, "read")
    done = f"{parents:,} of {reads_in} split, into {made_of:,}" if parents else f"none of {reads_in} split"
    print(f"split: {done}", file=sys.stderr)

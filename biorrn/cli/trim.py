"""`biorrn trim`: cut adapters and primers from basecalled reads."""

from typing import Annotated

import typer

from biorrn.cli.options import CalledReads, Threads


def trim(
    reads: CalledReads,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File .fastq, .fastq.gz, .sam, .bam or .cram. - is FASTQ on stdout.")
    ] = "-",
    kit: Annotated[
        str, typer.Option(help="Kit, such as SQK-LSK114, or FILE.toml[:NAME]. any: the sequences of all kits.")
    ] = "any",
    what: Annotated[
        str | None,
        typer.Option("--trim", help="adapters, primers, all or none. Default: all; with --kit any, adapters."),
    ] = None,
    summary: Annotated[str | None, typer.Option(help="Also write a table with one row per read.")] = None,
    threads: Threads = None,
) -> None:
    """Cut adapters and primers from basecalled reads.

    They are searched by edit distance in the first and the last bases of each read, adapters in 75, primers in 150. A
    quarter of the bases of a sequence less two may differ, one more where an adapter is the very end of the read, and
    it may begin before the read. Bases, qualities, move table and modified bases are cut together; the tag xt holds the
    bases cut from both ends. Reads that have it are not searched again, such as those of `biorrn basecall`, whose
    option --trim all cuts primers too. --trim none cuts nothing, as to write another format. Alignments are not kept. A
    read that is nothing but adapters is left out, with a row in --summary; so is a record that cannot be used, which is
    named too. `biorrn split` separates two molecules that were read as one.

    \b
    Examples:
      biorrn trim calls.fastq.gz -o trimmed.fastq.gz --kit SQK-LSK109
      biorrn trim calls.bam -o trimmed.bam --kit SQK-PCS111 --trim primers --summary trim.tsv
      biorrn trim calls.bam -o calls.fastq.gz --trim none
      zcat calls.fastq.gz | biorrn trim - --kit my_adapters.toml > trimmed.fastq
    """
    import sys

    from biorrn.base.compute import set_threads
    from biorrn.base.errors import InputError
    from biorrn.base.terminal import plural, progress
    from biorrn.nanopore.reads.kits import find_kit, kit_names
    from biorrn.nanopore.reads.trim import ALREADY, COLUMNS, NOTHING, Adapters, trim_reads
    from biorrn.nanopore.reads.unaligned import rewritten
    from biorrn.sequences.tally import Tally

    every = kit == "any"  # its many primers are found by chance more often
    adapters = Adapters(map(find_kit, kit_names() if every else [kit]), what or ("adapters" if every else "all"))
    used, nothing = set_threads(threads), NOTHING.partition(": ")[2]
    tally, counted = Tally("trim", "reads", "bases"), {"start": 0, "end": 0, "bases": 0, "before": 0}
    with (
        rewritten(reads, output, summary, COLUMNS, "trim", tally, used) as (called, rna, write),
        progress("trim", "reads") as advance,
    ):
        for made, cells in trim_reads(called, adapters, rna):
            write(made, cells)
            if made is None:
                tally.leave_out(nothing)
            else:
                tally.add(reads=1, bases=len(made.bases))
                counted["before"] += cells[-1] == ALREADY
                counted["start"] += cells[2] != "0"
                counted["end"] += cells[3] != "0"
                counted["bases"] += int(cells[2]) + int(cells[3])
            advance(1)
        if not tally.skipped[nothing]:  # else there were reads, though none is left
            tally.require("reads", str(InputError(reads, "holds no reads that can be used")))
    tally.report()
    done = f"trim: {plural(counted['start'], 'read')} cut at the start, {counted['end']:,} at the end; "
    done += plural(counted["bases"], "base")
    done += f"; {plural(counted['before'], 'read')} with the tag xt not searched again" if counted["before"] else ""
    print(done, file=sys.stderr)

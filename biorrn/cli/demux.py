"""`biorrn demux`: sort basecalled reads by barcode."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import CalledReads, Threads


def demux(
    reads: CalledReads,
    kit: Annotated[
        str, typer.Option(help="Kit, such as SQK-RBK114-24, or FILE.toml[:NAME] with barcodes of your own.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write: new or empty.")],
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sample-sheet", help="Table with the columns barcode and alias, as MinKNOW writes it; CSV, TSV or Excel."
        ),
    ] = None,
    emit: Annotated[str | None, typer.Option(help="fastq, sam, bam or cram. Default: as READS.")] = None,
    both_ends: Annotated[bool, typer.Option("--both-ends", help="A read needs its barcode at both ends.")] = False,
    trim: Annotated[bool, typer.Option("--trim/--no-trim", help="Cut barcodes, adapters and primers.")] = True,
    threads: Threads = None,
) -> None:
    """Sort basecalled reads by barcode.

    Writes one file for each barcode, or for each alias of the sample sheet, and `unclassified`; reads.tsv.gz has a row
    for each read with its barcode, the scores, what was cut and why it has no barcode; barcodes.tsv and barcodes.png
    count them. A barcode and four bases of its flanks on each side are searched in the first and the last 150 bases.
    Its score is 10 less the edits of 32 bases (less for shorter barcodes), at least 0, added over both ends. The best
    barcode is taken if it leads the second by 3, and if no other leads by 3 at one end. On random sequence, about 1
    read in 1,000 or fewer gets a barcode.

    Records get the tags BC (KIT_barcode01), RG and, where they were cut, xt; see `biorrn trim`. Reads with a tag BC of
    the kit are not classified again, and cut if they never were. Reads whose barcode is not in the sample sheet are
    unclassified. Unclassified reads are not cut. A record that cannot be used is named and left out, with a row and the
    reason in reads.tsv.gz.

    \b
    Examples:
      biorrn demux calls.fastq.gz --kit SQK-NBD114-24 -o demux/
      biorrn demux calls.bam --kit EXP-NBD196 --sample-sheet samples.csv -o demux/ --both-ends
      biorrn basecall reads/ | biorrn demux - --kit my_barcodes.toml --no-trim -o demux/
    """
    import sys

    from biorrn.base.compute import set_threads
    from biorrn.base.errors import ConfigError, InputError
    from biorrn.base.files import new_folder
    from biorrn.base.lookup import lookup
    from biorrn.base.terminal import command_line, plural, progress
    from biorrn.nanopore.readers.calls import piped
    from biorrn.nanopore.reads.demux import UNCLASSIFIED, Demultiplexer, Sorted, assign, read_sheet
    from biorrn.nanopore.reads.kits import find_kit
    from biorrn.nanopore.reads.trim import Adapters
    from biorrn.nanopore.reads.unaligned import SUFFIXES, Header, kind_of, usable_reads
    from biorrn.sequences.tally import Tally
    from biorrn.stats.figures import save_drawings

    if str(output) == "-":
        raise ConfigError("-o -: found standard output; demux writes a folder")
    chosen = find_kit(kit)
    demultiplexer = Demultiplexer(chosen, both_ends)
    if emit is not None:
        lookup(SUFFIXES, emit, "--emit: format")
    tally = Tally("demux", "reads", "bases")
    aliases = None if sheet is None else read_sheet(sheet, chosen, tally.say)
    adapters = Adapters([chosen], "all" if chosen.adapters or chosen.primers else "none") if trim else None
    with piped(reads) as place, new_folder(output) as folder, progress("demux", "reads") as advance:
        header = Header(place, command_line(), "demux")
        kind = emit or kind_of(place)
        with Sorted(folder, chosen, header, kind, aliases, set_threads(threads)) as out:

            def skip(problem: InputError) -> None:
                tally.skip_call(problem, reads)
                out.leave_out(problem)

            called = usable_reads(place, kind, skip, tally.say)
            for each in assign(called, demultiplexer, adapters, aliases, header.rna):
                out.write(each)
                tally.add(reads=1, bases=len(each.read.bases))
                advance(1)
        tally.require("reads", str(InputError(reads, "holds no reads that can be used")))
        out.finish()
        save_drawings([out.figure()], folder, folder / "barcodes.tsv")
    tally.report()
    total = tally.done["reads"]
    for name in out.names():
        count = out.counts.get(name)
        alias = f" ({out.sheet[name]})" if name in out.sheet else ""
        number = count.reads if count else 0
        print(f"{name or UNCLASSIFIED}{alias}\t{plural(number, 'read')}\t{100 * number / total:.2f} %")
    for reason, number in sorted(out.reasons.items(), key=lambda entry: -entry[1]):
        print(f"  {reason}\t{plural(number, 'read')}", file=sys.stdout)

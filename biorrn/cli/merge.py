"""`biorrn merge`."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    parts: Annotated[
        list[Path], typer.Argument(help="Calls of one format (FASTQ, SAM, BAM, CRAM), summaries, or both, in order.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="File of the format of the parts; - is stdout.")],
    summary: Annotated[
        str | None, typer.Option(help="File for the summaries, where the parts are calls and summaries.")
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy compressed FASTQ as it is: faster, other bytes than of one run.")
    ] = False,
    unique: Annotated[bool, typer.Option("--unique", help="Refuse a read id that stands twice.")] = False,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Accept that no part holds a record.")] = False,
    reference: Annotated[
        Path | None, typer.Option(help="FASTA of aligned CRAM, where it is no longer where the parts say.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads that compress.")] = 1,
) -> None:
    """Join what several runs of biorrn basecall wrote, as if one run had called all their input.

    Records stay as they are, in the order of the parts; FASTQ and summaries are byte for byte those of one run. Read
    groups and programs of all headers are kept. A read id that stands twice is kept twice, as one run keeps it. A part
    without a record is fine; a part that is cut short or named twice is not. Where calls and summaries are joined
    together, the reads written must be those that the summaries say were called. Outputs appear when they are whole.

    \b
    Examples:
      biorrn merge shard1.fastq.gz shard2.fastq.gz -o calls.fastq.gz
      biorrn merge shard1.summary.tsv.gz shard2.summary.tsv.gz -o calls.summary.tsv.gz
      biorrn merge shards/*.bam shards/*.tsv -o calls.bam --summary summary.tsv --threads 4
    """
    import sys

    from biorrn.command import command_line
    from biorrn.inference.merge import Job
    from biorrn.inference.merge import merge as run

    job = Job(command_line(), threads, copy, reference)
    done = run(parts, output, summary, job, unique=unique, allow_empty=allow_empty)
    counted = ", ".join(f"{count:,} {name}" for name, count in done.items() if count or name != "rows")
    print(f"merge: {counted}", file=sys.stderr)

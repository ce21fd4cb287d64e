"""`biorrn merge`: merge the outputs of several basecall runs."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    parts: Annotated[
        list[Path], typer.Argument(help="Basecalls of one format (FASTQ, SAM, BAM, CRAM), summaries, or both.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="File of the same format. - is stdout.")],
    summary: Annotated[
        str | None, typer.Option(help="Output of the summaries, if the parts are basecalls and summaries.")
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy compressed FASTQ blocks: faster, but not the bytes of a single run.")
    ] = False,
    unique: Annotated[bool, typer.Option("--unique", help="Fail if a read id occurs twice.")] = False,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Accept parts without any record.")] = False,
    reference: Annotated[
        Path | None, typer.Option(help="FASTA of aligned CRAM, if it is not where the header says.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Compression threads.")] = 1,
) -> None:
    """Merge the outputs of several basecall runs.

    The result equals that of one run on all inputs. Records are copied unchanged in the order of the parts; FASTQ and
    summaries are byte-identical to one run. Read groups and programs of all headers are kept, and so are repeated read
    ids. An empty part is accepted; a truncated or repeated part is an error. If basecalls and summaries are merged
    together, the reads must be those that the summaries list as called. Outputs appear when they are complete.

    \b
    Examples:
      biorrn merge shard1.fastq.gz shard2.fastq.gz -o calls.fastq.gz
      biorrn merge shard1.summary.tsv.gz shard2.summary.tsv.gz -o calls.summary.tsv.gz
      biorrn merge shards/*.bam shards/*.tsv -o calls.bam --summary summary.tsv --threads 4
    """
    import sys

    from biorrn.base.terminal import command_line
    from biorrn.nanopore.basecall.merge import Job
    from biorrn.nanopore.basecall.merge import merge as run

    job = Job(command_line(), threads, copy, reference)
    done = run(parts, output, summary, job, unique=unique, allow_empty=allow_empty)
    counted = ", ".join(f"{count:,} {name}" for name, count in done.items() if count or name != "rows")
    print(f"merge: {counted}", file=sys.stderr)

"""`biorrn consensus`."""

from pathlib import Path
from typing import Annotated

import typer


def consensus(
    reads: Annotated[Path, typer.Argument(help="FASTA or FASTQ of called reads of one genome, may be gzip.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="FASTA to write; .gz compresses.")],
    draft: Annotated[Path | None, typer.Option(help="FASTA to polish; default: drafts are made of the reads.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times that reads are aligned anew, at most.")] = 4,
    min_depth: Annotated[int, typer.Option(min=2, help="Reads over each base; ends with fewer are cut off.")] = 5,
    check: Annotated[
        bool, typer.Option(help="Make the consensus of two halves of the reads too, and compare them.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="JSON to write: depth profile, deep spans, identities.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Make the consensus of reads that overlap, as a reference where there is none.

    The longest reads that others lie on become drafts and are extended at both ends as far as enough reads go. Then
    every single-base edit is scored by the likelihood of all reads under a model of their errors, estimated from them,
    and the good ones are made until none is left. It is for regions and small genomes (up to some 100,000 bases).

    What all reads get wrong alike, homopolymers above all, stays wrong, and --check cannot see it.

    \b
    Examples:
      biorrn consensus calls.fastq.gz -o consensus.fasta
      biorrn consensus calls.fasta -o consensus.fasta --min-depth 10 --check --report consensus.json
    """
    import json
    import sys

    from biorrn.files import write_text
    from biorrn.inference.consensus import write_contigs
    from biorrn.inference.consensus_check import make_consensus, summary

    contigs, numbers = make_consensus(
        reads,
        draft=draft,
        rounds=rounds,
        min_depth=min_depth,
        check=check,
        threads=threads,
        say=lambda line: print(f"biorrn consensus: {line}", file=sys.stderr),
    )
    write_contigs(output, contigs)
    if report is not None:
        with write_text(report) as stream:
            json.dump(numbers, stream, indent=1)
    for line in summary(numbers):
        print(line)

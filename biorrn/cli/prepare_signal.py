"""`biorrn prepare signal`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.prepare_mix import finish


def signal(
    paths: Annotated[list[Path], typer.Argument(help="FAST5, POD5, SLOW5 or BLOW5 files, or folders of them.")],
    split: Annotated[str, typer.Option(help="reference:NAME:START-END=SPLIT[,...] or random:0.8,0.1,0.1.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    labels: Annotated[str, typer.Option(help="events, truth, bam, calls or bootstrap; see below.")] = "events",
    truth: Annotated[Path | None, typer.Option(help="With truth: TSV of a simulator.")] = None,
    bam: Annotated[Path | None, typer.Option(help="With bam: BAM, SAM or CRAM with the tag mv.")] = None,
    moves: Annotated[Path | None, typer.Option(help="With bam, calls: PAF with ss:Z: in place of mv.")] = None,
    calls: Annotated[Path | None, typer.Option(help="With calls: FASTA or FASTQ; default: inside the FAST5.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="FASTA: its span is the label, not the call. Needed for bootstrap.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With calls, bootstrap: run folder or shipped id; default: the shipped one.")
    ] = None,
    min_identity: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least part of the alignment that agrees.")
    ] = None,
    min_coverage: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least part of the read's call that is aligned.")
    ] = None,
    min_mean_q: Annotated[float, typer.Option(min=0, help="Least mean quality of a read's call.")] = 0.0,
    lead: Annotated[
        int, typer.Option(help="Bases by which starts of calls come too early; Guppy's moves on R9.4.1: 3.")
    ] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the model; default: all.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With calls, bootstrap: take reads that the model is not for.")
    ] = False,
    normaliser: Annotated[str, typer.Option(help="medmad, quantile or picoampere.")] = "medmad",
    seed: Annotated[int, typer.Option(min=0, help="Of a random split.")] = 0,
    report: Annotated[
        Path | None, typer.Option(help="JSON file: what was kept, dropped and shared between the splits.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="TSV file: what became of each read, and why.")] = None,
    note: Annotated[str, typer.Option(help="Kept in the file and the report, e.g. that the data is synthetic.")] = "",
) -> None:
    """Prepare raw reads whose bases are known, or can be worked out.

    A read is normalised from its first labelled sample to its last and cut into segments, each wholly in one split. A
    read or file that cannot be used is said on standard error or counted, and left out.

    \b
    Labels:
      events      what Tombo resquiggle wrote into FAST5
      truth       a table of a simulator
      bam         calls with their move table; with --reference the span they align to
      calls       FASTQ inside FAST5 or in a file; without moves a model places the bases
      bootstrap   a model calls, minimap2 maps, the span of the reference is the label

    \b
    Splits:
      reference:chr1:0-9000=valid   bases of both strands in that span (0-based, end excluded) go to valid, others train
      random:0.8,0.1,0.1            whole reads by chance; on a small genome the same sequence is on both sides

    \b
    Examples:
      biorrn prepare signal run/ --split reference:Lambda_NEB:0-12000=valid -o lambda.h5 --report lambda.json
      biorrn prepare signal sim.blow5 --labels truth --truth sim.tsv --split random:0.8,0.1,0.1 -o sim.h5
      biorrn prepare signal pod5/ --labels bam --bam calls.bam --reference ref.fa --split random -o calls.h5
      biorrn prepare signal fast5/ --labels calls --min-mean-q 9 --split random -o pseudo.h5 --table reads.tsv
      biorrn prepare signal fast5/ --labels bootstrap --reference ref.fa --split random -o own.h5
    """
    from biorrn.datasets.label_report import open_report
    from biorrn.datasets.prepare_signal import prepare_reads
    from biorrn.datasets.splits import parse_split
    from biorrn.inference.labels import LabelOptions, open_labels
    from biorrn.progress import progress
    from biorrn.readers.summary import Problems

    splitter = parse_split(split, "signal", seed)
    options = LabelOptions(
        truth=truth,
        bam=bam,
        moves=moves,
        calls=calls,
        reference=reference,
        model=model,
        min_identity=min_identity,
        min_coverage=min_coverage,
        min_mean_q=min_mean_q,
        lead=lead,
        threads=threads,
        force=force,
    )
    problems = Problems(sys.stderr)
    with progress("preparing", "samples") as advance, open_report(table) as reads:
        account = prepare_reads(
            paths,
            output,
            splitter,
            labels=labels,
            truth=truth,
            normaliser=normaliser,
            note=note,
            on_problem=problems,
            advance=advance,
            reads=open_labels(paths, labels, options, reads, problems),
            report=reads,
            tables=options.files(),
        )
    account["counts"]["files with problems"] = problems.close()
    finish(account, {"split": split, "seed": seed, **options.shown()}, report)

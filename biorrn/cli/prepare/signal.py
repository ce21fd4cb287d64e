"""`biorrn prepare signal`, `mix`, `recombine`, `export` and `import`: prepared files of nanopore signal."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import FileNote, Prepared, Report, SignalPaths, SplitSeed, Threads
from biorrn.cli.outputs import write_account

Normaliser = Annotated[str, typer.Option(help="Normalisation of the signal: medmad, quantile or picoampere.")]


def signal(
    paths: SignalPaths,
    split: Annotated[str, typer.Option(help="reference:NAME:START-END=SPLIT[,...] or random:0.8,0.1,0.1.")],
    output: Prepared,
    labels: Annotated[
        str, typer.Option(help="Source of the labels: events, truth, bam, calls or bootstrap; see below.")
    ] = "events",
    truth: Annotated[Path | None, typer.Option(help="truth: TSV of a simulator.")] = None,
    bam: Annotated[Path | None, typer.Option(help="bam: BAM, SAM or CRAM with the tag mv.")] = None,
    moves: Annotated[Path | None, typer.Option(help="bam, calls: PAF with ss:Z: instead of mv.")] = None,
    calls: Annotated[Path | None, typer.Option(help="calls: FASTA or FASTQ. Default: those in the FAST5.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="FASTA: the aligned reference becomes the label. bootstrap requires it.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model whose normalisation to use, as for fine-tuning it; calls and bootstrap call with it."),
    ] = None,
    min_identity: Annotated[float | None, typer.Option(min=0, max=1, help="Minimum identity of the alignment.")] = None,
    min_coverage: Annotated[
        float | None, typer.Option(min=0, max=1, help="Minimum aligned fraction of the read.")
    ] = None,
    min_mean_q: Annotated[float, typer.Option(min=0, help="Minimum mean Q-score of the read.")] = 0.0,
    lead: Annotated[int, typer.Option(help="Number of bases that moves are early. Guppy on R9.4.1: 3.")] = 0,
    threads: Threads = None,
    force: Annotated[bool, typer.Option("--force", help="Accept reads of another chemistry than the model's.")] = False,
    normaliser: Annotated[
        str | None,
        typer.Option(help="Normalisation: medmad, quantile or picoampere. Default: as --model, else medmad."),
    ] = None,
    seed: SplitSeed = 0,
    report: Report = None,
    table: Annotated[
        Path | None, typer.Option(help="TSV to write: each read, whether it was used, and why not.")
    ] = None,
    note: FileNote = "",
) -> None:
    """Convert labelled nanopore reads to a prepared file.

    A read is normalised from its first labelled sample to its last and cut into segments, each wholly in one split.
    Unusable reads and files are reported or counted, and left out.

    \b
    Labels:
      events      written into FAST5 by Tombo resquiggle
      truth       the table of a simulator
      bam         basecalls with move table; with --reference, the aligned reference
      calls       FASTQ inside FAST5 or in a file; without moves a model aligns them to the signal
      bootstrap   a model basecalls, minimap2 maps, and the aligned reference is the label; without --model it is
                  the one that `biorrn basecall` would take

    With --model, reads of another chemistry or sample rate than the model's are refused. The bases of RNA are labels in
    the order of its signal, 3' to 5'; its labels come from calls or bootstrap.

    \b
    Splits:
      reference:chr1:0-9000=valid   this span of both strands (0-based, half-open) is valid, the rest train
      random:0.8,0.1,0.1            whole reads at random; for a small genome both sides hold the same sequence

    \b
    Examples:
      biorrn prepare signal run/ --split reference:Lambda_NEB:0-12000=valid -o lambda.h5 --report lambda.json
      biorrn prepare signal sim.blow5 --labels truth --truth sim.tsv --split random:0.8,0.1,0.1 -o sim.h5
      biorrn prepare signal pod5/ --labels bam --bam calls.bam --reference ref.fa --split random -o calls.h5
      biorrn prepare signal fast5/ --labels calls --min-mean-q 9 --split random -o pseudo.h5 --table reads.tsv
      biorrn prepare signal fast5/ --labels bootstrap --reference ref.fa --split random -o own.h5
      biorrn prepare signal pod5/ --labels bootstrap --model models/r10_hac --reference ref.fa --split random -o r10.h5
    """
    from biorrn.base.terminal import progress
    from biorrn.nanopore.labels.prepare import prepare_reads
    from biorrn.nanopore.labels.sources import LabelOptions, check_options, facts_for, open_labels, open_report
    from biorrn.nanopore.readers.summary import Problems
    from biorrn.sequences.splits import parse_split

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
    check_options(labels, options)
    options, facts = facts_for(paths, labels, options)
    problems = Problems(sys.stderr)
    with progress("preparing", "samples") as advance, open_report(table) as reads:
        account = prepare_reads(
            paths,
            output,
            splitter,
            labels=labels,
            truth=truth,
            normaliser=normaliser or facts.get("normaliser", "medmad"),
            note=note,
            on_problem=problems,
            advance=advance,
            reads=open_labels(paths, labels, options, reads, problems, facts),
            report=reads,
            tables=options.files(),
            rna=bool(facts.get("reversed")),
        )
    account["counts"]["files with problems"] = problems.close()
    write_account(account, {"split": split, "seed": seed, **options.shown()}, report)


def mix(
    inputs: Annotated[
        list[str], typer.Argument(metavar="FILE=WEIGHT...", help="Prepared signal files. Default weight: 1.")
    ],
    output: Prepared,
    report: Report = None,
    note: FileNote = "",
) -> None:
    """Combine prepared signal files with sampling weights.

    Training draws a window from a file with probability WEIGHT / sum of the weights, whatever the file sizes. Held-out
    segments are copied unchanged; a file of weight 0 contributes only these.

    \b
    Examples:
      biorrn prepare mix lambda.h5=2 human.h5=1 simulated.h5=1 -o mixed.h5
      biorrn prepare mix run1.h5 run2.h5 other_species.h5=0 -o mixed.h5 --report mixed.json
    """
    from biorrn.nanopore.labels.prepare import mix as join
    from biorrn.nanopore.labels.prepare import parse_inputs
    from biorrn.sequences.prepared.summary import account

    counts = join(parse_inputs(inputs), output, note)
    write_account(account(output, counts, note), {}, report)


def recombine(
    prepared: Annotated[Path, typer.Argument(help="Prepared signal file whose labels place each base.")],
    output: Prepared,
    samples: Annotated[int, typer.Option(min=1, help="Samples to write.")] = 20_000_000,
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds of realignment. Tombo's labels need 0, those of a model 2.")
    ] = 0,
    run: Annotated[float, typer.Option(min=1, help="Mean number of bases between two changes of read.")] = 6.0,
    size: Annotated[int, typer.Option(min=100, help="Minimum samples per walk.")] = 6000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the walks.")] = 0,
    threads: Threads = None,
    report: Report = None,
) -> None:
    """Recombine measured signal to new sequences: walks over training reads that switch reads where six bases match.

    Reads of a small genome contain few sequences, which a model memorises. In a walk the current of every base and of
    its neighbours is measured, but longer sequences are new. Combine the walks with the reads by `biorrn prepare mix`.
    Held-out segments are neither used nor copied.

    \b
    Examples:
      biorrn prepare recombine lambda.h5 -o walks.h5 --samples 15000000
      biorrn prepare recombine pseudo.h5 -o walks.h5 --rounds 2 --seed 1
      biorrn prepare mix lambda.h5=1 walks.h5=2 -o mixed.h5
    """
    from biorrn.base.compute import set_threads
    from biorrn.base.terminal import progress
    from biorrn.nanopore.simulate.recombine import recombine as run_walks
    from biorrn.sequences.prepared.summary import account

    with progress("recombining", "samples", samples) as advance:
        walks = run_walks(
            prepared, output, samples, rounds=rounds, size=size, run=run, seed=seed, threads=set_threads(threads),
            advance=advance,
        )  # fmt: skip
    write_account(account(output, {"walks": walks}, ""), {"seed": seed, "rounds": rounds, "run": run}, report)


def export(
    prepared: Annotated[Path, typer.Argument(help="Prepared signal file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    samples: Annotated[int, typer.Option(min=1, help="Samples per chunk.")] = 3600,
) -> None:
    """Export a prepared signal file as chunks.npy, references.npy and reference_lengths.npy.

    Other basecaller trainers read this layout. Chunks tile each segment; a shorter remainder is left out. Held-out
    splits are written to the folders validation and test.

    \b
    Examples:
      biorrn prepare export lambda.h5 -o chunks/ --samples 3600
    """
    from biorrn.nanopore.labels.prepare import FOLDERS, export_chunks

    for split, count in export_chunks(prepared, output, samples).items():
        print(f"{output / FOLDERS[split]}: {split}, {count:,} chunks of {samples:,} samples")


def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with chunks.npy, references.npy, reference_lengths.npy.")],
    output: Prepared,
    split: Annotated[
        str, typer.Option(help="random:0.8,0.1,0.1; used if the folder has no subfolder validation.")
    ] = "random:0.9,0.1,0",
    normaliser: Normaliser = "medmad",
    sample_rate: Annotated[float, typer.Option(min=1, help="Sample rate of the signal (Hz).")] = 4000.0,
    seed: SplitSeed = 0,
    report: Report = None,
    note: FileNote = "",
) -> None:
    """Import a folder of chunks made by another program.

    Such chunks do not place each base, so they are used whole: train with a recipe whose chunks.samples is at least
    their length.

    \b
    Examples:
      biorrn prepare import chunks/ -o chunks.h5 --normaliser quantile
    """
    from biorrn.base.errors import ConfigError
    from biorrn.nanopore.labels.prepare import import_chunks
    from biorrn.sequences.prepared.summary import account
    from biorrn.sequences.splits import Random, parse_split

    splitter = parse_split(split, "signal", seed)
    if not isinstance(splitter, Random):
        raise ConfigError(f"--split {split}: chunks have no reference position; allowed is random:0.8,0.1,0.1")
    counts = import_chunks(folder, output, normaliser=normaliser, sample_rate=sample_rate, splitter=splitter, note=note)
    write_account(account(output, counts, note), {"split": split, "seed": seed}, report)

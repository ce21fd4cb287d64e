"""`biorrn basecall`: basecall raw nanopore signal."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import ChunkBatch, Device, ModelsDir, Threads


def basecall(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="FAST5, POD5, SLOW5 or BLOW5 files, or folders of them.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of a model that `biorrn models` lists; fast or hac, of the shipped ones; or a model folder. "
            "Default: by chemistry."
        ),
    ] = None,
    models_dir: ModelsDir = None,
    chemistry: Annotated[
        str | None,
        typer.Option(help="Only reads of this chemistry, such as rna004_130bps; for folders that hold several."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File .fastq, .fastq.gz, .sam, .bam or .cram. - is stdout.")
    ] = "-",
    emit: Annotated[str | None, typer.Option(help="Format on stdout: fastq, sam, bam or cram. Default: fastq.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="FASTA to align the reads to, with minimap2's preset map-ont.")
    ] = None,
    moves: Annotated[bool, typer.Option("--moves/--no-moves", help="Write move tables in SAM, BAM and CRAM.")] = True,
    uracil: Annotated[bool, typer.Option("--uracil", help="RNA in FASTQ: write U in place of T.")] = False,
    summary: Annotated[
        str | None, typer.Option(help="Also write a table with one row per read, including skipped ones with reason.")
    ] = None,
    kit: Annotated[
        str | None,
        typer.Option(
            help="Kit, such as SQK-RBK114-24, or FILE.toml: name the barcode of each read, and cut --trim. "
            "Default: cut adapters of the kit that the metadata of a read name, and leave barcodes."
        ),
    ] = None,
    trim: Annotated[
        str | None,
        typer.Option(
            help="adapters (and, with --kit, barcodes), primers, all or none are cut off. Default: adapters; "
            "with --kit, all."
        ),
    ] = None,
    split_reads: Annotated[
        bool, typer.Option("--split-reads", help="Split reads of two molecules, at open pore or adapters between them.")
    ] = False,
    estimate_poly_a: Annotated[
        bool, typer.Option("--estimate-poly-a", help="Measure the poly(A) or poly(T) tails of cDNA and direct RNA.")
    ] = False,
    min_qscore: Annotated[float, typer.Option(min=0, help="Leave out reads with a lower mean Q-score.")] = 0.0,
    min_length: Annotated[
        int, typer.Option(min=0, help="Leave out shorter reads (bases). Empty pores give some tens of bases.")
    ] = 50,
    read_ids: Annotated[
        Path | None, typer.Option(help="Only these reads: one id per line, or a TSV with column read_id. - is stdin.")
    ] = None,
    max_reads: Annotated[int | None, typer.Option(min=1, help="Stop after this many reads.")] = None,
    files: Annotated[
        Path | None, typer.Option(help="Text file with one path per line, instead of PATHS. - is stdin.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Basecall part I of N; parts have about equal bytes.")
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Write an empty output if no read can be called. Default: an error.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run, if there is one.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="If another process writes OUTPUT, wait for it. Default: an error.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also call reads of a chemistry or sample rate the model was not trained on."),
    ] = False,
    decoder: Annotated[
        str, typer.Option(help="auto, greedy (best path) or beam. auto is greedy for a CRF and beam for CTC.")
    ] = "auto",
    batch_size: ChunkBatch = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Basecall raw nanopore signal.

    Reads are written in input order; folders are searched recursively. An unusable file or read is reported and left
    out, with a row and the reason in --summary. Faulty metadata that basecalling does not need gives a warning, and
    the read is called without that tag. Reads whose flow cell, kit, experiment type or sample rate the model was not
    trained on are refused unless --force is given.

    Without --model, the chemistry in the metadata of the reads chooses among the available models, which `biorrn
    models` lists: those in --models-dir, then those in the folders of the variable BIORRN_MODELS, then the shipped
    ones for R9.4.1 DNA. Of several in one folder it is the largest (hac before fast), on a CPU the largest up to 50
    MB (no sup); of the shipped ones it is the default that `biorrn models` names, and --model fast or hac takes
    another. Files of several chemistries that no single model is for are refused; --chemistry calls one of them.

    --model also takes a model folder of Dorado or Bonito as it is; see `biorrn models import`. The signal of RNA runs
    3' to 5': its bases and qualities are written 5' to 3', its move table in the order of the signal.

    Records carry the tags of ONT's SAM specification: qs mean Q-score, ts samples trimmed from the start, ns samples up
    to the end of the last base, du those in seconds, ch channel, mx mux, rn read number, st start time, fn file, sm, sd
    and sv scaling, RG read group, mv stride and moves (not in FASTQ), NM, AS and MD if aligned; and s0, the first
    sample. In FASTQ they follow the id. The output appears when it is complete. Until then, finished reads are kept in
    OUTPUT.partial, from which --resume continues. SAM, BAM and CRAM on stdout are written at the end.

    Adapters are cut off both ends, together with the move table, by the rules of `biorrn trim`; the tag xt and the
    summary hold what was cut. The kit is the one that the metadata of a read name; its barcodes stay, for `biorrn
    demux`, and so do reads of an unknown kit. --trim none leaves all reads whole. With --kit, each read gets the tag BC
    (KIT_barcode01) where it has a barcode, and barcodes and primers are cut off too; `biorrn demux` then sorts the
    reads by that tag.

    With --split-reads, a read is split where the signal shows open pore between two molecules, and its call at the
    adapters between them, as `biorrn split` does. A part is called as a read of its own, with an id of its own, the tag
    pi with the id of the read, and sp, its first sample there; the summary has both.

    With --estimate-poly-a, a read with a tail gets the tags pt (bases), pa (samples: anchor, start, end, and twice -1)
    and tq (share of the samples between start and end that have the current of the tail, 0 to 1); the summary has them
    too. The tail of cDNA stands beside a primer, as poly(T) near the start of a read or poly(A) near its end: ONT's
    cDNA kits are known, --kit adds the primers of another. That of direct RNA stands behind the adapter. Tails of less
    than 10 bases are not reported.

    `biorrn merge` merges the outputs of several runs, such as those of --shard.

    \b
    Examples:
      biorrn basecall reads/ -o calls.fastq.gz
      biorrn basecall reads/ -o calls.bam --summary summary.tsv --resume
      biorrn basecall reads/ -o aligned.bam --reference genome.fa --min-qscore 8
      biorrn basecall archive/ -o some.cram --read-ids ids.txt
      biorrn basecall reads/ --model dorado_models/dna_r10.4.1_e8.2_400bps_hac@v4.3.0 -o calls.bam
      biorrn basecall rna/ --models-dir dorado_models/ -o rna.bam
      biorrn basecall pool/ -o calls.bam --kit EXP-NBD104 && biorrn demux calls.bam --kit EXP-NBD104 -o demux/
      biorrn basecall reads/ -o whole.fastq.gz --trim none
      biorrn basecall cdna/ -o calls.bam --kit SQK-PCS109 --split-reads --estimate-poly-a --summary tails.tsv
      biorrn basecall mixed/ --chemistry dna_r9.4.1_e8 -o r9.fastq.gz
      biorrn basecall reads.pod5 --model runs/mine | minimap2 -ax map-ont -y reference.fa -
      biorrn basecall reads/ --emit bam | samtools sort -t st -o by_time.bam
      biorrn basecall archive/ --shard 3/8 -o part3.fastq.gz      # on eight machines; then biorrn merge part*.fastq.gz
      find archive/ -name '*.fast5' | sort | biorrn basecall --files - -o calls.fastq.gz
    """
    import math

    from biorrn.base.compute import device_name, kind_of, set_threads
    from biorrn.base.errors import InputError
    from biorrn.base.terminal import command_line, progress
    from biorrn.nanopore.alignment import Mapper
    from biorrn.nanopore.basecall.caller import Caller, default_batch_size
    from biorrn.nanopore.basecall.formats import Style, check_uracil, format_of
    from biorrn.nanopore.basecall.intake import Intake
    from biorrn.nanopore.basecall.intake import read_ids as ids_of
    from biorrn.nanopore.basecall.output import check_outputs, mapped, open_output, resume_settings
    from biorrn.nanopore.basecall.processing import Processing
    from biorrn.nanopore.basecall.summary import ABSENT, CALLED
    from biorrn.nanopore.models.catalogue import choose_model
    from biorrn.nanopore.readers.files import NoReads, choose
    from biorrn.nanopore.reads.kits import find_kit
    from biorrn.nn.store import find_model, load_model
    from biorrn.sequences.records import SignalRecord
    from biorrn.sequences.tally import Tally

    kind = format_of(output, emit)
    chosen_kit = None if kit is None else find_kit(kit)
    check_outputs(output, summary, kind, reference, resume)
    given = choose(paths or [], files, None)
    chosen = choose(given, None, shard)
    ids = None if read_ids is None else ids_of(read_ids)
    used = set_threads(threads)
    where = device_name(device)
    tally = Tally("basecall", "reads", "samples", "bases")
    intake = Intake(chosen, ids, max_reads, chemistry=chemistry)
    if model is None:
        # of all shards, so that they take the same model
        survey = intake.survey() if shard is None else Intake(given, ids, max_reads, chemistry=chemistry).survey()
        folder = choose_model(survey, models_dir or (), tally.say, device=kind_of(where), force=force)
    else:
        folder = find_model(model, models_dir or ())
    stored = load_model(folder)
    if uracil:
        check_uracil(kind, stored.facts, stored.name)
    caller = Caller(
        stored,
        device=where,
        batch_size=default_batch_size(where) if batch_size is None else batch_size,
        decoder=decoder,
        threads=used,
        force=force,
        keep_signal=estimate_poly_a,
    )
    purpose = caller.purpose
    processing = Processing(caller.rna, purpose.names, chosen_kit, trim, split_reads, estimate_poly_a)
    mapper = None if reference is None else Mapper(reference)
    rare: dict[str, object] = {"chemistry": chemistry} if chemistry else {}
    rare |= {"uracil": True} if uracil else {}
    rare |= {"kit": chosen_kit.stamp()} if chosen_kit else {}
    rare |= {"trim": processing.trim} if kit or processing.trim != "none" else {}
    rare |= {"split-reads": True} if split_reads else {}
    rare |= {"estimate-poly-a": True} if estimate_poly_a else {}
    must = resume_settings(stored, intake.files, ids, reference, engine=caller.engine, decoder=decoder,
                           device=kind_of(where), emit=kind, moves=moves, min_qscore=min_qscore,
                           min_length=min_length, max_reads=max_reads, force=force, **rare)  # fmt: skip
    style = Style(stored.name, moves, mapper, command_line(), used, purpose, uracil=uracil, engine=caller.engine,
                  kit=chosen_kit.name if chosen_kit else "", split=split_reads, tails=estimate_poly_a)  # fmt: skip
    with open_output(output, kind, style, must, resume, min_qscore, math.inf if wait else 0.0, min_length) as out:
        intake.done = out.done
        tally.keep(out.kept)

        def problem(found: InputError) -> None:
            if out.problem(intake.count, found):
                tally.skip_input(found)

        def skip(record: SignalRecord, samples: int, reason: str) -> None:
            out.skip(record, samples, reason)
            tally.skip_read(record, reason)

        with progress("basecall", "samples", intake.expected, lambda: {"bases": tally.done["bases"]}) as advance:
            records = intake.reads(problem, allow_empty)
            calls = processing.calls(caller.calls(processing.records(records), skip, advance))
            intake.check(purpose, tally.say, force=force, part=shard is not None)
            try:
                for number, (call, hits) in enumerate(mapped(calls, mapper, used)):
                    if number == 0:
                        tally.say(f"engine: {caller.engine}")
                    tally.add(samples=call.samples)
                    status = out.write(call, hits)
                    if status == CALLED:
                        tally.add(reads=1, bases=len(call.bases))
                    elif status in out.filtered:
                        tally.leave_out(status)
                    else:
                        tally.skip_read(call.record, status)
            except (InputError, NoReads) as error:
                if not out.called:
                    out.finish_empty(error, intake.count, summary)
                raise
        for line in [*intake.warnings(), *processing.lines()]:
            tally.say(line)
        if intake.others:
            tally.say(f"{intake.others} reads are not of --chemistry {chemistry}")
        tally.missing(missing := intake.missing(), ABSENT)
        out.absent = missing if shard is None else []  # another shard may hold them
        if not out.called and not allow_empty:
            out.write_summary(summary)
            tally.require("reads", "no read could be called")
        out.finish(summary)
        tally.flagged.update(out.warnings)
    tally.report()

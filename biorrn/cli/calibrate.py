"""`biorrn calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np


def calibrate(
    model: Annotated[Path, typer.Argument(help="Model or run folder; its metadata is rewritten.")],
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files of reads, or folders of them; for proteins the file of biorrn prepare protein."),
    ],
    reference: Annotated[
        Path | None, typer.Option(help="FASTA of the reads' genome, may be gzip; a basecaller needs it.")
    ] = None,
    split: Annotated[str, typer.Option(help="Proteins: the rows that the model was not fitted to.")] = "valid",
    folds: Annotated[int, typer.Option(help="Proteins: folds of the rows on which coverage is measured.")] = 5,
    novelty: Annotated[
        bool,
        typer.Option(
            "--novelty", help="Proteins: measure anew what is unlike_training; the file must be the one trained on."
        ),
    ] = False,
    region: Annotated[
        list[str] | None,
        typer.Option(help="NAME:START-END, 0-based, half-open: count only inside; repeatable; default: everywhere."),
    ] = None,
    unlike: Annotated[
        list[Path] | None,
        typer.Option(help="Files or folders of reads of another chemistry, none of whose bases is to be believed."),
    ] = None,
    min_bases: Annotated[int, typer.Option(min=1, help="Aligned bases inside the region that a read needs.")] = 100,
    decoder: Annotated[str, typer.Option(help="auto, greedy or beam: what the model will be used with.")] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(help="Chunks a forward pass; default 96 on a CPU, 256 on a GPU. Changes the speed."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
    max_reads: Annotated[int | None, typer.Option(min=1, help="Stop after this many reads.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Fit and print, and leave the model as it is.")] = False,
) -> None:
    """Make a basecaller's qualities, or the intervals of a protein model, mean what they say.

    Basecaller: calls reads, aligns them to the reference, sees which bases are wrong (mismatched, inserted, or next to
    a gap), and fits the probability of that to the model's posteriors around each base and over the read. Made noise is
    among the reads, so that a read without sequence gets a low Q; --unlike adds reads of another chemistry. biorrn
    basecall applies the fit from then on. Proteins: predicts held-out rows; the quantiles of the errors give biorrn
    predict its intervals (split-conformal). Coverage is printed as measured on each fold of the rows with the quantiles
    of the others. biorrn train has done this for its own validation rows; do it again for proteins of another kind.

    The weights stay as they are. Neither reads nor proteins may be ones that the model was trained on: it is surer of
    those.

    \b
    Examples:
      biorrn calibrate runs/mine held_out/ --reference genome.fa
      biorrn calibrate runs/mine fast5/ --reference lambda.fa --region lambda:12000-14500 --dry-run
      biorrn calibrate runs/mine held_out/ --reference genome.fa --unlike r10_reads/
      biorrn calibrate runs/stability stability.h5 --split valid
      biorrn calibrate runs/old stability.h5 --novelty
    """
    from itertools import islice

    from biorrn.cli.calibrate_proteins import calibrate_proteins
    from biorrn.device import choose_device, set_threads
    from biorrn.errors import ConfigError
    from biorrn.evaluation import calibration
    from biorrn.evaluation.alignment import Mapper, parse_region
    from biorrn.inference.defaults import default_batch_size
    from biorrn.inference.intake import check_chemistry
    from biorrn.inference.settings import model_name
    from biorrn.inference.summary import Tally
    from biorrn.models.store import load_model, shipped_models, update_facts
    from biorrn.progress import progress
    from biorrn.readers.chemistry import Purpose
    from biorrn.readers.signal import find_signal_files, read_all
    from biorrn.training.repeat import trained_reads

    if not model.is_dir() and str(model) in shipped_models():
        raise ConfigError(f"{model}: is a shipped model, which stays as it is; copy its folder and calibrate the copy")
    used = set_threads(threads)
    stored = load_model(model)
    if stored.facts.get("task") == "regression":
        return calibrate_proteins(
            model,
            stored,
            paths,
            reference,
            split=split,
            folds=folds,
            novelty=novelty,
            dry_run=dry_run,
            device=device,
            threads=used,
        )
    if stored.facts.get("task") != "basecalling":
        task = stored.facts.get("task")
        raise ConfigError(f"{model}: is a model for {task}; calibrated is one for regression or for basecalling")
    if reference is None:
        raise ConfigError("--reference is missing: qualities of a basecaller are fitted on reads of a known genome")
    mapper = Mapper(reference)
    regions = [parse_region(one, mapper.lengths) for one in region or []]
    where = choose_device(device)
    tally = Tally("calibrate", "reads")
    purpose = Purpose.of(stored.facts, model_name(stored))
    for line in check_chemistry(find_signal_files(paths, lambda problem: None)[:max_reads], purpose):
        tally.say(line)
    options: dict[str, Any] = {
        "device": where,
        "batch_size": default_batch_size(where) if batch_size is None else batch_size,
        "decoder": decoder,
        "threads": used,
        "on_skip": lambda record, samples, reason: tally.skip_read(record, reason),
    }
    like: list[np.ndarray] = []
    seen = 0
    known = trained_reads(model)
    reads, noise, unmapped = [], [], 0
    with progress("calibrate", "samples") as advance:
        records = calibration.remembering(islice(read_all(paths, tally.skip_input), max_reads), like)
        for call in calibration.own_calls(stored, records, advance=advance, **options):
            seen += call.read_id in known
            found = calibration.judge(call, mapper.align, regions, min_bases)
            unmapped += found is None
            if found is not None:
                reads.append(found)
        if seen:
            tally.say(
                f"warning: {seen} of these reads are among those that {model} was trained on; qualities promise too "
                "much unless each --region holds none of its training data"
            )
        made = calibration.noise_records(like, float(stored.facts["sample_rate"])) if like else ()
        options |= {"on_skip": lambda *_: None, "force": True}  # noise may give no base, and be of another rate
        for source in (made, read_all(unlike, tally.skip_input) if unlike else ()):
            calls = calibration.own_calls(stored, source, advance=advance, **options)
            noise += [calibration.judged(call.bases, call.quals, call.evidence) for call in calls]
        fit = calibration.fit(reads, noise, unmapped)
    tally.add(reads=fit.reads)
    for line in calibration.summary_lines(fit):
        print(line)
    if not dry_run:
        update_facts(model, **calibration.entries(fit))
    tally.report()

"""`biorrn evaluate calibrate`: calibrate Q-scores of a basecaller, or prediction intervals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biorrn.base.errors import ConfigError, InputError
from biorrn.cli.options import ChunkBatch, Device, Threads

if TYPE_CHECKING:
    import numpy as np

    from biorrn.nn.store import Stored


def calibrate(
    model: Annotated[Path, typer.Argument(help="Run folder. Its metadata is rewritten, not its weights.")],
    paths: Annotated[
        list[Path],
        typer.Argument(help="Basecaller: files or folders of reads. Proteins: the file of `biorrn prepare protein`."),
    ],
    reference: Annotated[
        Path | None, typer.Option(help="Basecaller: FASTA of the reads' genome, may be gzip. Required.")
    ] = None,
    split: Annotated[str, typer.Option(help="Proteins: rows that the model was not trained on.")] = "valid",
    folds: Annotated[int, typer.Option(help="Proteins: folds of these rows, to measure the coverage.")] = 5,
    novelty: Annotated[
        bool,
        typer.Option("--novelty", help="Proteins: recompute the flag unlike_training; needs the training file."),
    ] = False,
    region: Annotated[
        list[str] | None,
        typer.Option(help="Basecaller: NAME:START-END, 0-based, half-open; use only this. Repeatable. Default: all."),
    ] = None,
    unlike: Annotated[
        list[Path] | None,
        typer.Option(help="Basecaller: reads of another chemistry, whose bases all count as wrong. Repeatable."),
    ] = None,
    min_bases: Annotated[
        int, typer.Option(min=1, help="Basecaller: minimum aligned bases of a read inside the region.")
    ] = 100,
    decoder: Annotated[str, typer.Option(help="Basecaller: the decoder to calibrate: auto, greedy or beam.")] = "auto",
    blank: Annotated[
        bool,
        typer.Option("--blank", help="Basecaller, head crf: also fit the stay score, and write it to the recipe."),
    ] = False,
    batch_size: ChunkBatch = None,
    device: Device = "auto",
    threads: Threads = None,
    max_reads: Annotated[int | None, typer.Option(min=1, help="Basecaller: stop after this many reads.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Fit and print, but do not change the model.")] = False,
) -> None:
    """Calibrate Q-scores of a basecaller, or prediction intervals.

    Basecaller: calls reads, aligns them to the reference, marks wrong bases (mismatched, inserted, or next to a gap),
    and fits the error probability to the model's posteriors around each base and over the read. Simulated noise is
    included, so that a read without sequence gets a low Q-score; --unlike adds reads of another chemistry. `biorrn
    basecall` then uses the fit. --blank first fits the stay score of a CRF, which balances insertions and deletions:
    that of the highest mean identity, if the gain exceeds its standard error.

    Proteins: predicts held-out rows; quantiles of the errors become the intervals of `biorrn predict` (split-conformal
    prediction). The printed coverage of each fold is measured with the quantiles of the other folds. `biorrn train`
    does this with its validation rows; repeat it for proteins of another kind.

    Models of classes: the same rows give the temperature of the probabilities, the sets, and the flag of proteins of no
    known class.

    Use reads or proteins that the model was not trained on, because it is more certain about those it has seen.

    \b
    Examples:
      biorrn evaluate calibrate runs/mine held_out/ --reference genome.fa
      biorrn evaluate calibrate runs/mine fast5/ --reference lambda.fa --region lambda:12000-14500 --dry-run
      biorrn evaluate calibrate runs/mine held_out/ --reference genome.fa --blank --unlike r10_reads/
      biorrn evaluate calibrate runs/stability stability.h5 --split valid
      biorrn evaluate calibrate runs/old stability.h5 --novelty
    """
    from itertools import islice

    from biorrn.base.compute import device_name, set_threads
    from biorrn.base.terminal import progress
    from biorrn.config.recipe import change_recipe
    from biorrn.nanopore.alignment import AlignmentMapper, parse_region
    from biorrn.nanopore.basecall.caller import default_batch_size
    from biorrn.nanopore.basecall.intake import Survey
    from biorrn.nanopore.chemistry import Purpose
    from biorrn.nanopore.evaluate import calibrate as calibration
    from biorrn.nanopore.readers.files import find_signal_files, read_all
    from biorrn.nn.store import (
        FOREIGN,
        WEIGHTS,
        find_model,
        is_shipped,
        load_model,
        update_facts,
        update_recipe,
        with_recipe,
    )
    from biorrn.rerun import trained_reads
    from biorrn.sequences.tally import Tally

    model = find_model(model)
    if is_shipped(model):
        raise ConfigError(f"{model}: is a shipped model and cannot be changed; copy its folder and calibrate the copy")
    if model.is_dir() and not (model / WEIGHTS).is_file() and (model / FOREIGN).is_file() and not dry_run:
        raise ConfigError(f"{model}: is a folder of another program and is not changed; biorrn models import copies it")
    used = set_threads(threads)
    stored = load_model(model)
    if stored.facts.get("task") == "regression":
        return _calibrate_proteins(
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
    if stored.facts.get("task") == "classification":
        return _calibrate_classes(model, stored, paths, split=split, novelty=novelty, dry_run=dry_run, device=device)
    if stored.facts.get("task") != "basecalling":
        task = stored.facts.get("task")
        allowed = "regression, classification or basecalling"
        raise ConfigError(f"{model}: is a model for {task}; allowed are models for {allowed}")
    if reference is None:
        raise ConfigError("--reference is missing: a basecaller is calibrated on reads of a known genome")
    mapper = AlignmentMapper(reference)
    regions = [parse_region(one, mapper.lengths) for one in region or []]
    where = device_name(device)
    tally = Tally("calibrate", "reads")
    purpose = Purpose.of(stored.facts, stored.name)
    for line in Survey(find_signal_files(paths, lambda problem: None)[:max_reads]).check(purpose):
        tally.say(line)
    options: dict[str, Any] = {
        "device": where,
        "batch_size": default_batch_size(where) if batch_size is None else batch_size,
        "decoder": decoder,
        "threads": used,
    }
    changed = None
    if blank:
        with progress("calibrate --blank", "samples") as advance:
            held_out = islice(read_all(paths, lambda problem: None), max_reads)
            stays = calibration.fit_stay(stored, held_out, mapper.align, regions, min_bases, advance, **options)
        if stays.best != stays.own:
            changed = change_recipe(stored.recipe, [f"model.head.blank={stays.best}"])
            stored = with_recipe(stored, changed)
    options["on_skip"] = lambda record, samples, reason: tally.skip_read(record, reason)
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
                f"warning: {model} was trained on {seen} of these reads; Q-scores will be too high unless each "
                "--region excludes its training data"
            )
        made = calibration.noise_records(like, float(stored.facts["sample_rate"])) if like else ()
        options |= {"on_skip": lambda *_: None, "force": True}  # noise may give no bases, or have another sample rate
        for source in (made, read_all(unlike, tally.skip_input) if unlike else ()):
            calls = calibration.own_calls(stored, source, advance=advance, **options)
            noise += [calibration.judged(call.bases, call.quals, call.evidence) for call in calls]
        fit = calibration.fit(reads, noise, unmapped)
    tally.add(reads=fit.reads)
    for line in [*(stays.lines() if blank else ()), *calibration.summary_lines(fit)]:
        print(line)
    if not dry_run:
        if changed is not None:  # first: Q-scores are those of its stay score
            update_recipe(model, changed)
        update_facts(model, **calibration.entries(fit))
    tally.report()


def _calibrate_proteins(
    model: Path,
    stored: Stored,
    paths: list[Path],
    reference: Path | None,
    *,
    split: str,
    folds: int,
    novelty: bool,
    dry_run: bool,
    device: str,
    threads: int,
) -> None:
    """Fit prediction intervals on rows of a prepared file, and print their coverage on folds of these rows."""
    from biorrn.base.compute import choose_device
    from biorrn.nn.store import update_facts
    from biorrn.proteins.uncertainty.confidence import conformal_facts, coverage_lines, held_out, novelty_facts
    from biorrn.proteins.uncertainty.replay import chosen_without, trained_here

    if reference is not None:
        raise ConfigError(f"--reference {reference}: needs a basecaller; {model} is a model for regression")
    if len(paths) != 1:
        raise ConfigError(f"{model}: is a model for regression and needs one prepared file; found {len(paths)} paths")
    where, held = choose_device(device), None
    if trained_here(stored, paths[0]):
        fitted = stored.recipe.fitted
        if fitted is None or split in fitted.split("+"):
            raise ConfigError(f"--split {split}: these rows of {paths[0]} trained {model}; use other rows")
        if split == "valid":
            held = chosen_without(stored, paths[0], where)
            if held is None:
                print(
                    f"{model}: these rows selected the model, so the intervals are slightly too narrow; "
                    "other rows give better ones",
                    file=sys.stderr,
                )
    if held is None:
        held = held_out(stored, paths[0], split, device=where, threads=threads)
    for line in coverage_lines(held, folds):
        print(line)
    entries = conformal_facts(held) | (novelty_facts(paths[0], split) if novelty else {})
    if not dry_run:
        update_facts(model, **entries)


def _calibrate_classes(
    model: Path, stored: Stored, paths: list[Path], *, split: str, novelty: bool, dry_run: bool, device: str
) -> None:
    """Fit temperature, sets and the flag of a model of classes on rows of a prepared file."""
    from biorrn.base.compute import choose_device
    from biorrn.nn.store import update_facts
    from biorrn.proteins.classes.calibration import fit, fit_lines
    from biorrn.proteins.classes.task import scored
    from biorrn.proteins.uncertainty.confidence import novelty_facts
    from biorrn.proteins.uncertainty.replay import trained_here

    if len(paths) != 1:
        raise ConfigError(f"{model}: is a model of classes and needs one prepared file; found {len(paths)} paths")
    rows: str | None = split
    if trained_here(stored, paths[0]):
        fitted = stored.recipe.fitted
        if fitted is None or split in fitted.split("+"):
            raise ConfigError(f"--split {split}: these rows of {paths[0]} trained {model}; use other rows")
        rows = None if split == "valid" else split  # of those that chose the model, the half that did not
    found = scored(stored, paths[0], rows, choose_device(device))
    entry = fit(*found)
    if entry is None:
        raise InputError(paths[0], f"has {len(found[1])} rows of known classes in split '{split}'; expected 10 or more")
    for line in fit_lines(entry, *found):
        print(line)
    if not dry_run:
        more = novelty_facts(paths[0], split) if novelty else {}
        update_facts(model, class_calibration=entry, **more)

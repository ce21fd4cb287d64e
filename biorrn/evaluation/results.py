"""The JSON file of an evaluation: what `biorrn evaluate` writes and `biorrn report` reads.

Every evaluation has
  kind       one of `KINDS`
  name       what the reader calls it
  split      the split of the prepared file, or for basecalls the region or "all reads"
  note       said where the data is simulated; "" otherwise
  cautions   list of sentences on what the numbers do not show
  inputs     {role: {"path", "sha256"}}
  command, biorrn, seed, resamples
             how it was made
  metrics    estimates {"n", "value", "low", "high"}: the value and its 95 % bootstrap interval; null where undefined
  baselines  see below; {} for basecalls
  figures    list of {"path", "caption"}: SVG, relative to the JSON; a PNG of the same stem lies beside it

A regression has besides
  targets    list of {"name", "unit"}; metrics is {target: {metric: estimate}}
  baselines  {target: {baseline: {"description", "metrics", "difference": {metric: estimate}, "beats", "sentence"}}},
             difference is model - baseline, beats is true if the whole interval of the Spearman difference is above 0;
             the highest Spearman coefficient stands first
  flags      {flag: rows of the split that carry it}
  coverage   {target: what `evaluation.coverage.coverage_of` gives}; {} where the predictions have no intervals

Basecalls have besides
  region     "NAME:START-END" or null; min_bases
  metrics    {metric: estimate}: median_identity, and pooled identity, mismatch, insertion, deletion; aligned_fraction
  counts     reads, bases, mapped, scored, short, outside, unmapped, mapped_with_short_seeds, scored_columns,
             within_region, reverse_strand
  within     estimate: median identity of the reads whose alignment lies inside the region as a whole
  lengths    table by read length
  quality    {"calibration_error", "q_gap", "read_calibration_error", "spearman", "pearson", "bases": table, "reads":
             table}: see `evaluation.quality` and `evaluation.tables`
  homopolymers
             {"longest": rows of this length hold longer runs too, "all": table, "by_base": table with "base"}: runs of
             one base by "length": runs, right (share, with its Wilson interval right_low to right_high), mean_length,
             mean_called, mixed (runs with another letter within), called (list: runs called as 0, 1, ... bases; the
             last number is of that many and more); see `evaluation.homopolymers`
  contexts   {"kmers": 64 rows by "context": bases, mismatches, insertions, deletions and their rates for each base,
             error (the sum of the rates), "worst": up to three 3-mers, "substitutions": 4 rows of counts by "true"};
             see `evaluation.contexts`
  squiggle   list of what is drawn: read, read_id, identity, placed_by, from_sample, to_sample, called, reference; []
             without signal

Tags, one a residue, have besides
  tags       name of what is tagged; states, state_names: of states; targets: list of {"name", "unit"} of values
  metrics    {name of the tags, or a target: {metric: estimate}}: accuracy_residue, accuracy_protein, sov of states;
             spearman, pearson, rmse of values; n counts proteins, which are what is resampled
  baselines  as of a regression, difference and verdict being of the first metric
  counts     proteins, residues, labelled; flags as of a regression
  by_state   {state: {"residues", "predicted", precision, recall, f1, sov}}; {} of values, as the three below
  confusion  {true state: {predicted state: residues}}
  lengths    table by residues of a protein
  confidence {"calibration_error", "bins": table} by the probability of the state that was called

A language model has besides
  metrics    {"residues" or "bases": {metric: estimate}}: perplexity and log2_likelihood (bits) of a letter; n counts
             sequences, which are what is resampled
  baselines  as of a regression, difference and verdict being of log2_likelihood
  tokeniser  {"name", "symbols", "k"}
  counts     sequences, residues or bases, those that are not known, symbols
  positions  table by the position of a letter in its sequence: perplexity of the model and of the baselines

A translation has besides
  metrics    {model: {metric: estimate}}: symbol_error_rate and exact; of signal also the pooled rates of basecalls
  rows       {"pairs"} or {"chunks", "samples"}; beam
  models     {model: recipe, head, parameters, symbols, length_limit (rows that found no end), seconds}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.config import load_recipe
from biorrn.errors import InputError
from biorrn.evaluation.baselines import choose, compare
from biorrn.evaluation.bootstrap import RESAMPLES
from biorrn.evaluation.coverage import coverage_of, nearest_identity
from biorrn.evaluation.described import described
from biorrn.evaluation.described import write_result as write_result
from biorrn.evaluation.predictions import Predictions, Proteins, in_split, join, predicted_names, read_measured
from biorrn.evaluation.regression import evaluate
from biorrn.evaluation.terminal import summary_lines as summary_lines
from biorrn.files import read_json
from biorrn.inference.conformal import LEVEL
from biorrn.models.store import RECIPE, load_facts
from biorrn.readers.tables import is_table

KINDS = ("regression", "basecalls", "tagging", "language", "translation")

NOTHING_FITTED = "The prepared file has no training rows, so no baseline was fitted."  # a caution


def common(kind: str, name: str, split: str, note: str, seed: int, inputs: dict[str, Path]) -> dict[str, Any]:
    """Return the keys that every evaluation has."""
    return {
        **described(kind, name, inputs, note),
        "split": split,
        "seed": seed,
        "resamples": RESAMPLES,
        "metrics": {},
        "baselines": {},
    }


def trained_on(split: str) -> list[str]:
    """Return the caution that is due where a split holds rows that trained or chose the model."""
    if split == "valid":
        return [
            "Split 'valid' holds the rows that chose the model (its epoch, the weights of its members): on new rows "
            "expect somewhat less."
        ]
    if split not in ("train", "all"):
        return []
    return [f"Split '{split}' holds rows that were trained on: these numbers do not show skill on new ones."]


def fitted_whole(run: Path, rows: Proteins) -> list[str]:
    """Return the caution that is due where the model of a run folder was fitted to held-out rows in the end."""
    from biorrn.evaluation.compare_models import trained_on

    if not (run / RECIPE).is_file() or load_recipe(run / RECIPE).fitted == "train":
        return []
    caution, seen = trained_on(run, rows)
    return [f"{caution}: these numbers do not show skill on new ones."] if seen else []


def evaluate_regression(
    predictions: Path,
    prepared: Path,
    *,
    name: str,
    split: str | None = None,
    target: Sequence[str] = (),
    wild_type: str | None = None,
    offset: int = 0,
    baselines: str = "all",
    note: str = "",
    seed: int = 0,
    threads: int = 1,
    level: float = LEVEL,
    model: str | None = None,
) -> tuple[dict[str, Any], np.ndarray, Predictions]:
    """Return the evaluation of a table of predictions, and the measured values (N, K) and predictions behind it.

    Parameters
    ----------
    split : of the rows; None is valid, of a table all.
    target, wild_type, offset : of a table, see `evaluation.predictions.read_measured`.
    baselines : which to fit beside the model: a name of `evaluation.baselines.SETS`, or names separated by commas.
    level : float: what the intervals in the table were made for.
    model : str, optional: the model that made them; what it carries gives the coverage at all other levels.

    Raises
    ------
    InputError: a file cannot be used, or the two do not fit together; see `evaluation.predictions`.
    ConfigError: the split's name, or a baseline's, is unknown.
    """
    names = choose(baselines)
    predicted = predicted_names(predictions)
    data = read_measured(prepared, predicted, target, wild_type=wild_type, offset=offset)
    split = split or ("all" if is_table(prepared) else "valid")
    mask = in_split(data, split, prepared)
    rows, train = data.rows.select(mask), data.rows.select(data.split == 0)
    given = join(predictions, rows, data.targets, prepared)
    content = common(
        "regression", name, split, note or data.note, seed, {"predictions": predictions, "prepared": prepared}
    )
    content |= {"targets": data.targets, "flags": given.flags, "coverage": {}}
    bounded = given.lower is not None
    likeness = nearest_identity(rows, train, seed) if bounded else None
    fits = load_facts(model).get("conformal") or {} if model is not None and bounded else {}
    content["cautions"] += trained_on(split) if len(train) else []
    if model is not None:
        content["cautions"] += fitted_whole(Path(model), rows)
    if bounded and split == "valid":
        content["cautions"].append(
            "Intervals are calibrated on validation rows unless `biorrn calibrate` was given others: on these rows "
            "they hold as often as they should. `biorrn calibrate` measures them on folds that were left out."
        )
    if names and not len(train):
        content["cautions"].append(NOTHING_FITTED)
    for column, entry in enumerate(data.targets):
        measured, values = rows.targets[:, column], given.values[:, column]
        content["metrics"][entry["name"]] = evaluate(measured, values, seed=seed)
        if bounded:
            content["coverage"][entry["name"]] = coverage_of(
                rows, given, column, level=level, entry=fits.get(entry["name"]), likeness=likeness
            )
        if names and len(train):
            content["baselines"][entry["name"]] = compare(train, rows, values, column, seed, threads, names)
    return content, rows.targets, given


def read_result(path: str | Path) -> dict[str, Any]:
    """Read an evaluation.

    Raises
    ------
    InputError: not an evaluation that `biorrn evaluate` wrote.
    """
    content = read_json(path)
    if content.get("kind") not in KINDS:
        raise InputError(path, f"key 'kind': found {content.get('kind')!r}; allowed is {' or '.join(KINDS)}")
    for key in ("metrics", "baselines", "inputs"):
        if not isinstance(content.get(key, {}), dict):
            raise InputError(path, f"key '{key}': found {type(content[key]).__name__}; needed is a mapping")
    missing = [key for key in ("name", "split", "metrics", "baselines", "figures", "inputs") if key not in content]
    if missing:
        raise InputError(path, f"key '{missing[0]}' is missing; `biorrn evaluate` writes it")
    return content

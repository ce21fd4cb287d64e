"""JSON result files: their common keys, writing and reading them, numbers as text.

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
             table}: see `evaluation.quality` and `evaluation.basecalls`
  homopolymers
             {"longest": rows of this length hold longer runs too, "all": table, "by_base": table with "base"}: runs of
             one base by "length": runs, right (share, with its Wilson interval right_low to right_high), mean_length,
             mean_called, mixed (runs with another letter within), called (list: runs called as 0, 1, ... bases; the
             last number is of that many and more); see `evaluation.contexts`
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

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biorrn import __version__
from biorrn.command import command_line
from biorrn.errors import InputError
from biorrn.evaluation.bootstrap import RESAMPLES
from biorrn.files import read_json, sha256, write_text

KINDS = ("regression", "basecalls", "tagging", "language", "translation")

NOTHING_FITTED = "The prepared file has no training rows, so no baseline was fitted."  # a caution


def described(kind: str, name: str, inputs: Mapping[str, str | Path], note: str = "") -> dict[str, Any]:
    """Return kind, name, note, cautions, inputs {role: {"path", "sha256"}}, command, version and an empty figures.

    An input that is no file, such as standard input, has no checksum.
    """
    return {
        "kind": kind,
        "name": name,
        "note": note,
        "cautions": [],
        "inputs": {
            role: {"path": str(path), "sha256": sha256(path) if Path(path).is_file() else ""}
            for role, path in inputs.items()
        },
        "command": command_line(),
        "biorrn": __version__,
        "figures": [],
    }


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


def _plain(value: Any) -> Any:
    """Return the value with numpy numbers as Python's, and None for numbers that are not finite (JSON has none)."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_result(path: str | Path, content: dict[str, Any]) -> None:
    """Write numbers as JSON: numpy's as Python's, null for what is not finite."""
    with write_text(path) as stream:
        json.dump(_plain(content), stream, indent=1, ensure_ascii=False, allow_nan=False)
        stream.write("\n")


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
            raise InputError(path, f"key '{key}': found {type(content[key]).__name__}; expected a mapping")
    missing = [key for key in ("name", "split", "metrics", "baselines", "figures", "inputs") if key not in content]
    if missing:
        raise InputError(path, f"key '{missing[0]}' is missing; `biorrn evaluate` writes it")
    return content


def aligned_rows(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return the cells of rows as lines of aligned columns: those of `left` to the left, the others to the right.

    >>> aligned_rows([("reads", "8"), ("bases", "9,120")])
    ['reads      8', 'bases  9,120']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def bases_label(value: float, _: object = None) -> str:
    """Return a number of bases in the unit that fits.

    >>> bases_label(48_500), bases_label(2e6), bases_label(120)
    ('48.5 kb', '2 Mb', '120 b')
    """
    for size, unit in ((1e12, "Tb"), (1e9, "Gb"), (1e6, "Mb"), (1e3, "kb")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} b"

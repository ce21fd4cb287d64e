"""Result files of evaluations (JSON): reader, writer, and summary for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import InputError
from biorrn.base.files import read_json, sha256, write_text
from biorrn.base.terminal import command_line, plural
from biorrn.stats.baselines import BEATEN, beaten, headline
from biorrn.stats.bootstrap import RESAMPLES
from biorrn.stats.metrics import BESIDE, NAMES, RATES, deciding
from biorrn.version import __version__

KINDS = ("regression", "classification", "basecalls", "tagging", "language", "translation")

NO_BASELINE = "A table does not say which rows train, so no baseline was fitted; a prepared file does."  # a caution
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
    """Return a caution if the rows of a split trained or chose the model."""
    if split == "valid":
        return [
            "Split 'valid' holds the rows that chose the model (its epoch, the weights of its members): "
            "performance on new rows is slightly lower."
        ]
    if split not in ("train", "all"):
        return []
    return [f"Split '{split}' holds rows that were trained on: these numbers do not measure performance on new rows."]


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
    """Align the cells of rows into lines: columns of `left` to the left, the others to the right.

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
    """Return a number of bases with a unit: b, kb, Mb, Gb or Tb.

    >>> bases_label(48_500), bases_label(2e6), bases_label(120)
    ('48.5 kb', '2 Mb', '120 b')
    """
    for size, unit in ((1e12, "Tb"), (1e9, "Gb"), (1e6, "Mb"), (1e3, "kb")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} b"


COLUMNS = ("95 % interval", "model - baseline", "95 % interval", "beaten")


def _number(value: Any, form: str) -> str:
    return "-" if value is None or not np.isfinite(value) else format(value, form)


def _span(estimate: dict[str, Any], form: str) -> str:
    low, high = (_number(estimate[key], form) for key in ("low", "high"))
    return "-" if "-" in (low, high) else f"{low} to {high}"


def comparison_lines(metrics: dict[str, Any], compared: dict[str, dict[str, Any]]) -> list[str]:
    """Return an aligned table of the model and its baselines, and the headline.

    Parameters
    ----------
    metrics : {metric: estimate} of the model.
    compared : what `proteins.baselines.fit.compare` returned.
    """
    first = deciding(next(iter(compared.values())))
    other = BESIDE[first]
    rows: list[tuple[str, ...]] = [("", NAMES[first], COLUMNS[0], NAMES[other], *COLUMNS[1:])]
    form = ".3f" if other in RATES else ".4g"
    for name, entry in {"model": {"metrics": metrics}, **compared}.items():
        chief, second = entry["metrics"][first], entry["metrics"][other]
        cells = [name, _number(chief["value"], ".3f"), _span(chief, ".3f"), _number(second["value"], form)]
        if name == "model":
            cells += ["", "", ""]
        else:
            gap = entry["difference"][first]
            cells += [_number(gap["value"], "+.3f"), _span(gap, "+.3f"), BEATEN[beaten(entry)]]
        rows.append(tuple(cells))
    lines = aligned_rows(rows, left=(0, len(rows[0]) - 1))  # names and verdicts
    return [*lines, headline(compared)]


def _shown(estimate: dict[str, Any]) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None or not np.isfinite(value):
        few = "fewer than two rows have a value" if estimate["n"] < 2 else "all measured or all predicted are equal"
        return f"undefined, as {few} (n {estimate['n']:,})"
    if low is None or not np.isfinite(low):
        return f"{value:.4f} (too few for an interval, n {estimate['n']:,})"
    return f"{value:.4f} ({low:.4f} to {high:.4f}, n {estimate['n']:,})"


def summary_lines(content: dict[str, Any]) -> list[str]:
    """Return the lines to print of an evaluation: metrics, then baselines, coverage and cautions."""
    lines = []
    tables = {content["split"]: content["metrics"]} if content["kind"] == "basecalls" else content["metrics"]
    for name, metrics in tables.items():
        lines += [f"{name}\t{metric}\t{_shown(estimate)}" for metric, estimate in metrics.items()]
        compared = content["baselines"].get(name, {})
        if compared:
            lines += comparison_lines(metrics, compared)
    return [*lines, *coverage_lines(content), *class_lines(content), *content["cautions"]]


def class_lines(content: Mapping[str, Any]) -> list[str]:
    """Return what an evaluation of classes says of its sets, probabilities and flags, one line each."""
    if content["kind"] != "classification":
        return []
    lines, sets, sure = [], content.get("sets"), content.get("confidence")
    if sets:
        span = f"{100 * sets['value']:.1f} % ({100 * sets['low']:.1f} to {100 * sets['high']:.1f})"
        held = f"hold on average {span} of the classes of" if sets.get("several") else f"hold the class of {span} of"
        lines.append(
            f"sets for {100 * sets['level']:.0f} % {held} {sets['n']:,} proteins; mean size "
            f"{sets['size']:.2f} classes, {sets['empty']:,} empty"
        )
    if sure:
        lines.append(f"calibration error of the probabilities: {sure['calibration_error']:.3f}")
    return lines + [
        f"flagged as unlike training: {100 * part['value']:.1f} % ({100 * part['low']:.1f} to "
        f"{100 * part['high']:.1f}) of {part['n']:,} proteins of {which}"
        for which, part in content["flagged"].items()
    ]


def coverage_lines(content: Mapping[str, Any]) -> list[str]:
    """Return the coverage of the intervals of an evaluation, one line per target."""
    lines = []
    for name, entry in content.get("coverage", {}).items():
        overall = entry["overall"]
        every = content["metrics"][name]["spearman"]["n"]
        without = every - overall["n"]
        rest = f"{plural(without, 'row')} outside the training data {'has' if without == 1 else 'have'} no interval"
        rest = rest if without > 0 else ""
        if not overall["n"]:
            lines.append(f"{name}: coverage of the intervals is unknown: {rest or 'no row has one'}")
            continue
        lines.append(
            f"{name}: intervals for {100 * entry['level']:.0f} % hold {100 * overall['value']:.1f} % "
            f"({100 * overall['low']:.1f} to {100 * overall['high']:.1f}) of {overall['n']:,} measured values; "
            f"mean width {overall['width']:.4g}{rest and '; ' + rest}"
        )
    return lines

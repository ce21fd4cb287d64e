"""Evaluations, training runs and data reports on one HTML page that needs nothing but itself.

Figures are embedded as images (`data:` addresses): an SVG in an image cannot run a script, so that a figure from a file
is as harmless as the escaped text around it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from biorrn import __version__
from biorrn.errors import InputError
from biorrn.evaluation.baselines import BEATEN, beaten, headline
from biorrn.evaluation.blocks import blocks, text
from biorrn.evaluation.figures import as_bytes, training_figures
from biorrn.evaluation.results import read_json, read_result
from biorrn.evaluation.runs import Run, read_run
from biorrn.files import write_text

BIG = 200_000  # bytes of an SVG above which the PNG beside it is embedded instead
TYPES = {"svg": "image/svg+xml", "png": "image/png"}
HEADLINE = {"regression": "spearman", "basecalls": "median_identity"}  # the metric of the overview
NAMES = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "median_identity": "median identity",
    "identity": "pooled identity",
    "aligned_fraction": "median aligned part of a read",
}
RATES = ("median_identity", "identity", "mismatch", "insertion", "deletion", "aligned_fraction")  # shown in per cent


def image(data: bytes, format: str) -> str:
    """Return a picture as a `data:` address."""
    return f"data:{TYPES[format]};base64,{base64.b64encode(data).decode()}"


def figure_images(content: dict[str, Any], path: Path) -> list[dict[str, str]]:
    """Return {"source", "caption"} of the figures of an evaluation file.

    Raises
    ------
    InputError: a figure is missing, or is neither SVG nor PNG.
    """
    found = []
    for entry in content["figures"]:
        try:
            figure, caption = path.parent / entry["path"], str(entry.get("caption", ""))
        except (TypeError, KeyError) as error:
            raise InputError(path, "key 'figures': each entry needs 'path' and 'caption'") from error
        other = figure.with_suffix(".png")
        if figure.suffix == ".svg" and other.is_file() and figure.is_file() and figure.stat().st_size > BIG:
            figure = other
        if figure.suffix[1:] not in TYPES:
            raise InputError(path, f"figure '{entry['path']}': found suffix '{figure.suffix}'; allowed is .svg or .png")
        try:
            found.append({"source": image(figure.read_bytes(), figure.suffix[1:]), "caption": caption})
        except OSError as error:
            raise InputError(figure, f"cannot be read: {error.strerror}; {path.name} names it") from error
    return found


def number(name: str, value: Any) -> str:
    """Return the value of a metric: three decimals, or per cent for a rate."""
    if not isinstance(value, int | float):
        return "–"
    return f"{100 * value:.2f} %" if name in RATES else f"{value:.3f}"


def estimate(name: str, entry: dict[str, Any]) -> dict[str, str]:
    """Return an estimate as the cells of a row: metric, value, interval, n."""
    low, high = number(name, entry.get("low")), number(name, entry.get("high"))
    return {
        "metric": NAMES.get(name, name),
        "value": number(name, entry.get("value")),
        "interval": "–" if low == "–" else f"{low.removesuffix(' %')} to {high}",
        "n": text(entry.get("n")),
    }


def _baseline_rows(metrics: dict[str, Any], baselines: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for the model and one for each baseline: every metric, the difference in Spearman, the verdict."""
    ours = [estimate(name, metrics[name]) for name in metrics]
    rows: list[dict[str, Any]] = [{"name": "model", "cells": ours, "difference": None, "beaten": "", "good": True}]
    for key, entry in baselines.items():
        rows.append(
            {
                "name": key,
                "cells": [estimate(name, entry["metrics"].get(name, {})) for name in metrics],
                "difference": estimate("spearman", entry["difference"]["spearman"]),
                "beaten": BEATEN[beaten(entry)],
                "good": entry["beats"],
            }
        )
    return rows


def _tables(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the result tables of an evaluation: one a target, or one for basecalls."""
    if content["kind"] == "basecalls":
        return [{"title": "", "rows": [estimate(name, entry) for name, entry in content["metrics"].items()]}]
    units = {target.get("name"): target.get("unit", "") for target in content.get("targets", [])}
    tables = []
    for target, metrics in content["metrics"].items():
        baselines = content["baselines"].get(target, {})
        tables.append(
            {
                "title": f"{target} ({units[target]})" if units.get(target) else target,
                "rows": [estimate(name, entry) for name, entry in metrics.items()],
                "columns": [NAMES.get(name, name) for name in metrics],
                "compared": _baseline_rows(metrics, baselines) if baselines else [],
                "headline": headline(baselines),
                "good": all(entry["beats"] for entry in baselines.values()),
                "sentences": [{"text": entry["sentence"], "good": entry["beats"]} for entry in baselines.values()],
                "fits": [f"{key}: {entry['description']}." for key, entry in baselines.items()],
            }
        )
    return tables


def _overview(name: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    metric = HEADLINE[content["kind"]]
    single = content["kind"] == "basecalls"
    rows = []
    for target, metrics in ({"": content["metrics"]} if single else content["metrics"]).items():
        baselines = content["baselines"].get(target, {})
        lost = [key for key, entry in baselines.items() if not entry["beats"]]
        verdict = "–"
        if baselines:
            verdict = f"does not beat {', '.join(lost)}" if lost else "beats every baseline"
        best = {"verdict": verdict, "good": bool(baselines) and not lost, "bad": bool(lost)}
        best |= {"headline": headline(baselines) if lost else ""}
        shown = estimate(metric, metrics.get(metric, {}))
        rows.append({"name": name, "target": target, "split": content["split"], **shown, **best})
    return rows


def _evaluation(path: Path) -> dict[str, Any]:
    content = read_result(path)
    try:
        parts: list[dict[str, Any]] = []
        if content["kind"] == "basecalls":
            for key in ("counts", "lengths", "quality"):
                parts += blocks({key: content.get(key, {})})
        elif content.get("coverage"):
            parts += blocks({"intervals": content["coverage"]})
        return {
            "name": str(content["name"]),
            "kind": content["kind"],
            "split": str(content["split"]),
            "note": str(content.get("note") or ""),
            "cautions": [str(entry) for entry in content.get("cautions", [])],
            "flags": {str(flag): text(rows) for flag, rows in dict(content.get("flags", {})).items()},
            "overview": _overview(str(content["name"]), content),
            "tables": _tables(content),
            "within": estimate("median_identity", content["within"]) if content.get("region") else None,
            "blocks": parts,
            "figures": figure_images(content, path),
            "provenance": {key: content.get(key, "") for key in ("command", "biorrn", "seed", "resamples")},
            "inputs": [
                {"role": role, "path": entry["path"], "sha256": entry["sha256"]}
                for role, entry in content["inputs"].items()
            ],
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(path, f"is not as `biorrn evaluate` writes it ({type(error).__name__}: {error})") from error


def _run(folder: Path) -> dict[str, Any]:
    try:
        return _run_parts(read_run(folder))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(folder, f"is not as `biorrn train` leaves it ({type(error).__name__}: {error})") from error


def _run_parts(run: Run) -> dict[str, Any]:
    known = run.provenance
    rate, best = known.get("rate") or {}, known.get("best") or {}
    data = known.get("data") or {}
    return {
        "name": run.name,
        "finished": bool(known),
        "epochs": len(run.history.get("epoch", ())),
        "figures": [
            {"source": image(as_bytes(drawing.figure, "svg"), "svg"), "caption": drawing.caption}
            for drawing in training_figures(run.history)
        ],
        "recipe": run.recipe,
        "facts": {key: value for key, value in known.items() if key not in ("data", "versions", "rate", "best")},
        "best": f"{text(best.get('value'))} {best.get('metric', '')} after epoch {best['epoch'] + 1}"
        if isinstance(best.get("epoch"), int)
        else "–",
        "rate": f"{text(rate.get('value'))} {rate.get('unit', '')}" if rate else "–",
        "versions": dict(known.get("versions") or {}),
        "inputs": [{"path": path, "sha256": sum} for path, sum in data.items()],
    }


def _prepared(path: Path) -> dict[str, Any]:
    content = read_json(path)
    note = content.get("note") or ""
    return {"name": path.name, "note": str(note), "blocks": blocks({k: v for k, v in content.items() if k != "note"})}


def render(
    evaluations: Sequence[Path], runs: Sequence[Path] = (), prepared: Sequence[Path] = (), title: str = "biorrn report"
) -> str:
    """Return the page.

    Parameters
    ----------
    evaluations : JSON files of `biorrn evaluate`, with the figures that they name.
    runs : folders of `biorrn train`.
    prepared : JSON reports of `biorrn prepare`.

    Raises
    ------
    InputError: a file cannot be read or is not what it should be.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["text"] = text
    template = environment.from_string((resources.files("biorrn.evaluation") / "report.html").read_text("utf-8"))
    results = [_evaluation(Path(path)) for path in evaluations]
    return template.render(
        title=title,
        version=__version__,
        results=results,
        runs=[_run(Path(path)) for path in runs],
        prepared=[_prepared(Path(path)) for path in prepared],
    )


def write_report(
    path: str | Path, evaluations: Sequence[Path], runs: Sequence[Path], prepared: Sequence[Path], title: str
) -> None:
    """Write the page of `render` to a file."""
    page = render(evaluations, runs, prepared, title)
    with write_text(path) as stream:
        stream.write(page)

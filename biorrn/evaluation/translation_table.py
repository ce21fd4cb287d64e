"""An evaluation of translations as a table, and the attention of its decoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biorrn.evaluation.figures import Drawing, slug
from biorrn.evaluation.figures_translation import signal_drawing
from biorrn.evaluation.translation import Told
from biorrn.inference.writers.tables import open_table
from biorrn.models.store import load_facts


def rows(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and a row of cells a model; a metric with its 95 % interval."""
    names = list(dict.fromkeys(name for metrics in content["metrics"].values() for name in metrics))
    body = []
    for model, entry in content["models"].items():
        estimates = content["metrics"][model].values()
        cells = [f"{found['value']:.4f} ({found['low']:.4f}-{found['high']:.4f})" for found in estimates]
        facts = [f"{entry['parameters']:,}", str(entry["length_limit"]), f"{entry['seconds']:.1f}"]
        body.append([model, entry["head"], *cells, *facts])
    return ["model", "head", *names, "parameters", "length_limit", "seconds"], body


def write_table(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the table as TSV."""
    header, body = rows(content)
    with open_table(path, dict.fromkeys(header, str)) as write:
        for cells in body:
            write(cells)


def table_lines(content: Mapping[str, Any]) -> list[str]:
    """Return the table for a terminal: a block of lines a model."""
    header, body = rows(content)
    counts = ", ".join(f"{number:,} {what}" for what, number in content["rows"].items())
    lines = [f"{content['name']}: split {content['split']}, {counts}, beam {content['beam']}"]
    for cells in body:
        lines.append(f"  {cells[0]}")
        lines += [f"    {name:<18}{cell}" for name, cell in zip(header[1:], cells[1:], strict=True)]
    return lines


def sample_drawings(content: Mapping[str, Any], told: Mapping[str, Told]) -> list[Drawing]:
    """Return a drawing for each decoder of signal: its median chunk, and where each base looked."""
    drawings: list[Drawing] = []
    for model, found in told.items():
        if found.sample is None:
            continue
        signal, attention, bases, identity = found.sample
        facts, recipe = load_facts(model), content["models"][model]["recipe"]
        title = f"{recipe}: a chunk, identity {identity:.2f}"
        drawings.append(
            signal_drawing(
                signal, attention, bases, facts["stride"], facts["sample_rate"], title,
                f"attention_{slug(recipe)}_{len(drawings) + 1}",
            )
        )  # fmt: skip
    return drawings

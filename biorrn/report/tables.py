"""JSON mappings as tables, lists and histograms, for files whose keys the report does not know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from biorrn.report.wording import label, text

ROWS = 60  # of a table, shown at most
WIDE = 8  # columns; a table with more is turned where that helps
BARS = 40  # of a histogram; more bins are added up
DEPTH = 4  # of mappings in mappings

Block = dict[str, Any]


def scalar(value: Any) -> bool:
    """Tell whether a value fits one cell: a number, a text, or a list of such."""
    if isinstance(value, list):
        return all(not isinstance(item, dict | list) for item in value)
    return not isinstance(value, dict)


def histogram(value: Any) -> tuple[list[float], list[float]] | None:
    """Return edges and counts where a mapping is a histogram: two lists, counts one shorter or of equal length."""
    if not isinstance(value, dict):
        return None
    edges, counts = (
        next((value[name] for name in names if isinstance(value.get(name), list)), None)
        for names in (("edges", "bins", "from", "start", "x"), ("counts", "count", "n", "y"))
    )
    if not edges or not counts or len(edges) not in (len(counts), len(counts) + 1):
        return None
    if not all(isinstance(item, int | float) and math.isfinite(item) for item in [*edges, *counts]):
        return None
    return [float(item) for item in edges], [float(item) for item in counts]


def bars(title: str, edges: list[float], counts: list[float]) -> Block:
    """Return a block of at most `BARS` bars: each has a label, a count, and its width in per cent of the page."""
    first = next((place for place, n in enumerate(counts) if n), len(counts))
    last = len(counts) - next((place for place, n in enumerate(reversed(counts)) if n), 0)
    step = max(1, math.ceil((last - first) / BARS))
    summed = [(edges[place], sum(counts[place : min(place + step, last)])) for place in range(first, last, step)]
    top = max([n for _, n in summed] + [1e-12])
    rows = [
        {"label": text(low if low % 1 else int(low)), "count": text(int(n)), "width": round(60 * n / top, 2)}
        for low, n in summed
    ]
    return {"kind": "bars", "title": title, "rows": rows}


def table(title: str, rows: list[tuple[str, dict[str, Any]]]) -> Block:
    """Return a block of rows with names ("" for none) and cells by column; a wide one is turned where that helps."""
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    named = all(name for name, _ in rows)
    if named and len(columns) > max(WIDE, len(rows)):
        # easier to read on a narrow screen
        turned = [(column, {name: row.get(column, "") for name, row in rows}) for column in columns]
        rows, columns = turned, [name for name, _ in rows]
    return {
        "kind": "table",
        "title": title,
        "columns": [""] * named + [label(column) for column in columns],
        "rows": [
            [label(name)] * named + [text(row.get(column, "")) for column in columns] for name, row in rows[:ROWS]
        ],
        "more": max(0, len(rows) - ROWS),
    }


def _row(value: Any) -> bool:
    return isinstance(value, dict) and histogram(value) is None and all(map(scalar, value.values()))


def blocks(content: Mapping[str, Any], title: str = "", depth: int = DEPTH) -> list[Block]:
    """Return a mapping as blocks (facts, tables, bars) for the template.

    Scalars become one list of facts; a mapping of mappings of scalars, or a list of them, a table; two lists of edges
    and counts bars; anything deeper blocks of its own, down to `depth`.
    """
    facts = [(label(key), text(value)) for key, value in content.items() if scalar(value)]
    found: list[Block] = [{"kind": "facts", "title": title, "rows": facts}] if facts else []
    for key, value in content.items():
        name = f"{title}: {label(key)}" if title else label(key)
        if scalar(value):
            continue
        counted = histogram(value)
        if counted is not None:
            found.append(bars(name, *counted))
        elif isinstance(value, list):
            rows = [("", item) for item in value if isinstance(item, dict)]
            found.append(table(name, rows))
        elif value and all(map(_row, value.values())):
            found.append(table(name, list(value.items())))
        elif depth > 1:
            found.extend(blocks(value, name, depth - 1))
        else:
            found.append({"kind": "facts", "title": name, "rows": [(label(key), text(value))]})
    return found

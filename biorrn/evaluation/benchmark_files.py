"""The table of a benchmark as TSV, for programs, and as Markdown, for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from biorrn.evaluation.benchmark_table import Entry, Published
from biorrn.files import write_text
from biorrn.inference.writers.tables import open_table

NAMES = {"spearman": "Spearman", "pearson": "Pearson", "r2": "R²"}
ABOUT = """\
Score: mean over seeds. Over seeds: 95 % interval of that mean (Student's t; none for one seed). Over rows: 95 %
bootstrap interval of the judged rows, its ends averaged over seeds. Minutes: of one training. Baselines are fitted on
the same training rows and judged on the same rows, by `biorrn evaluate regression`.
"""


def _cell(value: float, digits: int = 4) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _published(entry: Entry, language_model: bool) -> list[Published]:
    return [figure for figure in entry.published if figure.language_model is language_model]


def _figures(figures: Iterable[Published]) -> str:
    return "; ".join(f"{one.score:g}" + (f" ({one.what})" if one.what else "") for one in figures)


def _sources(entry: Entry) -> str:
    return "; ".join(dict.fromkeys(one.source for one in entry.published))


def _rows(entries: Sequence[Entry]) -> list[dict[str, str]]:
    names = list(dict.fromkeys(name for entry in entries for name in entry.baselines))
    rows = []
    for entry in entries:
        best = next(iter(entry.baselines), "")
        rows.append(
            {
                "set": entry.set,
                "target": entry.target,
                "recipe": entry.recipe,
                "split": entry.split,
                "note": entry.note,
                "n": str(entry.n),
                "metric": entry.metric,
                "score": _cell(entry.score),
                "seeds": str(len(entry.scores)),
                "seeds_low": _cell(entry.over_seeds[0]),
                "seeds_high": _cell(entry.over_seeds[1]),
                "rows_low": _cell(entry.over_rows[0]),
                "rows_high": _cell(entry.over_rows[1]),
                "best_baseline": best,
                "best_baseline_score": _cell(entry.baselines[best]) if best else "",
                "baselines_not_beaten": ",".join(entry.unbeaten),
                **{f"baseline_{name}": _cell(entry.baselines.get(name, math.nan)) for name in names},
                "published": _figures(_published(entry, False)),
                "published_language_model": _figures(_published(entry, True)),
                "published_split": ",".join(dict.fromkeys(one.split for one in entry.published)),
                "published_source": _sources(entry),
                "remark": entry.remark,
                "minutes": _cell(entry.minutes, 2),
            }
        )
    return rows


def write_tsv(path: str | Path, entries: Sequence[Entry]) -> None:
    """Write one line a set and target; empty cells are what is not known. Baselines have a column each."""
    rows = _rows(entries)
    with open_table(path, dict.fromkeys(rows[0] if rows else (), str)) as write:
        for row in rows:
            write(list(row.values()))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> list[str]:
    """Return a Markdown table whose last `numbers` columns are set to the right."""
    marks = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    lines = [header, marks, *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _between(ends: tuple[float, float]) -> str:
    return "–" if math.isnan(ends[0]) else f"{ends[0]:.3f} to {ends[1]:.3f}"


def _judged(entry: Entry) -> str:
    return entry.split + (" *" if entry.remark else "")


def _verdict(entry: Entry) -> str:
    if not entry.baselines:
        return "–"
    return ", ".join(entry.unbeaten) or "none"


def _scores(entry: Entry) -> dict[str, str]:
    """Return the cells of a row of the first table, by heading."""
    return {
        "set": entry.set,
        "recipe": entry.recipe,
        "judged on": _judged(entry),
        "metric": NAMES[entry.metric],
        "n": f"{entry.n:,}",
        "score": f"{entry.score:.3f}",
        "seeds": str(len(entry.scores)),
        "over seeds": _between(entry.over_seeds),
        "over rows": _between(entry.over_rows),
        "published without a language model": _figures(_published(entry, False)) or "–",
        "with one": _figures(_published(entry, True)) or "–",
        "minutes": _cell(entry.minutes, 1) or "–",
    }


def _beside(entry: Entry, names: Sequence[str]) -> list[str]:
    """Return our score, and those of the baselines of these names."""
    return [f"{entry.score:.3f}", *(_cell(entry.baselines.get(name, math.nan), 3) or "–" for name in names)]


def markdown(entries: Sequence[Entry], title: str = "Protein benchmark") -> str:
    """Return the table as Markdown: scores beside published figures, baselines, then remarks and sources.

    A star marks a set where the published figures are of other rows than ours.
    """
    scores = _table(list(_scores(entries[0])), [list(_scores(entry).values()) for entry in entries], 8)
    names = list(dict.fromkeys(name for entry in entries for name in entry.baselines))
    baselines = _table(
        ["set", "metric", "not shown to be beaten", "ours", *names],
        [[entry.set, NAMES[entry.metric], _verdict(entry), *_beside(entry, names)] for entry in entries],
        len(names) + 1,
    )
    apart = [entry for entry in entries if entry.remark]
    remarks = [f"- {entry.set} (*): {entry.remark}; the scores are not directly comparable." for entry in apart]
    notes = [f"- {entry.set}: {entry.note}." for entry in entries if entry.note]
    sources = [f"- {entry.set}: {_sources(entry)}." for entry in entries if entry.published]
    parts = [[f"# {title}"], scores, [ABOUT.rstrip()]]
    parts += [remarks + notes] if remarks + notes else []
    parts += [["## Baselines"], baselines] if names else []
    parts += [["## Sources of the published figures"], sources] if sources else []
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def write_markdown(path: str | Path, entries: Sequence[Entry]) -> None:
    """Write `markdown`."""
    with write_text(path) as stream:
        stream.write(markdown(entries))

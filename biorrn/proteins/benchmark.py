"""Benchmark table: scores over data sets and seeds, beside baselines and published figures.

The evaluations of one name are the seeds of one set. A score has two intervals: over seeds, the result of another
training (Student's t on the mean, none for one seed); over rows, the result on other proteins (the bootstrap interval
of the evaluation, its ends averaged over seeds).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import write_text
from biorrn.base.lookup import lookup
from biorrn.sequences.tables.reader import read_cells
from biorrn.sequences.tables.targets import text_of
from biorrn.sequences.tables.writer import open_table
from biorrn.stats.bootstrap import LEVEL
from biorrn.stats.figures import BLUE, GREY, INK, ORANGE, PALE, PURPLE, WIDTH, Drawing, draw, plain
from biorrn.stats.metrics import METRICS, NAMES
from biorrn.stats.results import read_result
from biorrn.training.runs import Run, read_run

NAN = float("nan")
COLUMNS = ("set", "language_model", "metric", "score", "split", "what", "source")  # of the published figures
LANGUAGE_MODEL = {"no": False, "yes": True}
HIGHER_IS_BETTER = {name: METRICS[name] for name in ("spearman", "pearson", "r2")}  # what a table can be of


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that others have published, of the rows of `split`; `language_model`: with a protein language model."""

    set: str
    language_model: bool
    metric: str
    score: float
    split: str
    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: a target of a set.

    Attributes
    ----------
    set, target, recipe, metric : str.
    split, note : str: the evaluated rows, and the note on them.
    n : int: rows, of the first seed.
    scores : float64 array (S,): one a seed.
    over_rows : (float, float): 95 % interval, NaN where there is none.
    baselines : {name: mean score over the seeds that have it}, the best first.
    unbeaten : list of str: baselines whose Spearman coefficient the first seed's model is not shown to exceed.
    minutes : float: of one training, mean over seeds; NaN where no run was given.
    published : list of Published.
    """

    set: str
    target: str
    recipe: str
    metric: str
    split: str
    note: str
    n: int
    scores: np.ndarray
    over_rows: tuple[float, float]
    baselines: dict[str, float] = field(default_factory=dict)
    unbeaten: list[str] = field(default_factory=list)
    minutes: float = NAN
    published: list[Published] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The mean over seeds."""
        return float(self.scores.mean())

    @property
    def over_seeds(self) -> tuple[float, float]:
        """95 % interval of the mean over seeds; NaN for one seed."""
        return seed_interval(self.scores)

    @property
    def remark(self) -> str:
        """Why the score and the published figures are not comparable; "" if they are."""
        others = sorted({figure.split for figure in self.published} - {self.split})
        if not others:
            return ""
        named = (split.replace("valid", "validation") for split in (self.split, " and ".join(others)))
        ours, theirs = (f"{split} rows" for split in named)
        return f"our score is of {ours}, the published ones are of {theirs}"


def seed_interval(scores: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of scores (S,) by Student's t; NaN, NaN for fewer than two.

    >>> low, high = seed_interval(np.array([0.7, 0.7, 0.7]))
    >>> round(low, 6), round(high, 6)
    (0.7, 0.7)
    """
    if len(scores) < 2:
        return NAN, NAN
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores)))
    return float(scores.mean()) - half, float(scores.mean()) + half


def read_published(path: str | Path) -> list[Published]:
    """Read published figures: a table with the columns `COLUMNS`.

    Raises
    ------
    InputError: a column is missing, a score is no number, or a cell holds what is not allowed there.
    """
    figures = []
    for number, cells in enumerate(read_cells(path, COLUMNS), 1):
        row = {name: text_of(cell) for name, cell in cells.items()}
        if row["language_model"] not in LANGUAGE_MODEL:
            raise InputError(
                path, f"row {number}: language_model: found '{row['language_model']}'; allowed is no or yes"
            )
        try:
            score = float(row["score"])
        except (TypeError, ValueError):
            raise InputError(path, f"row {number}: score: found '{row['score']}'; allowed is a number") from None
        text = {name: row[name] for name in ("set", "metric", "split", "what", "source")}
        figures.append(Published(language_model=LANGUAGE_MODEL[row["language_model"]], score=score, **text))
    return figures


def parse_metrics(words: Sequence[str]) -> dict[str, str]:
    """Return {set: metric} of words SET=METRIC.

    Raises
    ------
    ConfigError: another form, or an unknown metric.
    """
    chosen = {}
    for word in words:
        name, sign, metric = word.partition("=")
        if not (name and sign):
            raise ConfigError(f"--metric: found '{word}'; allowed is SET=METRIC, as solubility=r2")
        lookup(HIGHER_IS_BETTER, metric, "--metric: metric")
        chosen[name] = metric
    return chosen


def collect(
    evaluations: Sequence[str | Path],
    runs: Sequence[str | Path] = (),
    metrics: Mapping[str, str] | None = None,
    published: Sequence[Published] = (),
) -> list[Entry]:
    """Return the rows of the table, in the order in which the sets come.

    Parameters
    ----------
    evaluations : JSON files of `biorrn evaluate regression`; those of one name are seeds of one set.
    runs : run folders, one for each evaluation in its order, for recipe and minutes; or none.
    metrics : {set: metric}; spearman where a set has no entry.
    published : figures; those of a set and its metric stand in its row.

    Raises
    ------
    InputError: a file is no evaluation of a regression, or its split or targets are not those of the other seeds.
    ConfigError: the number of runs differs from that of evaluations, or `metrics` names a set that is not there.
    """
    if runs and len(runs) != len(evaluations):
        raise ConfigError(f"--run: found {len(runs)} for {len(evaluations)} evaluations; give one for each, or none")
    folders = [read_run(folder) for folder in runs] or [Run("")] * len(evaluations)
    groups: dict[str, list[tuple[dict[str, Any], Run]]] = {}
    for path, run in zip(evaluations, folders, strict=True):
        content = read_result(path)
        if content["kind"] != "regression":
            raise InputError(path, f"an evaluation of kind '{content['kind']}'; expected regression")
        group = groups.setdefault(content["name"], [])
        for key in ("split", "targets") if group else ():
            if content.get(key) != group[0][0].get(key):
                raise InputError(path, f"key '{key}' is not what the first evaluation of '{content['name']}' has")
        group.append((content, run))
    for name in metrics or {}:
        lookup(groups, name, "--metric: set")
    return [
        _entry(name, target, (metrics or {}).get(name, "spearman"), seeds, published)
        for name, seeds in groups.items()
        for target in seeds[0][0]["metrics"]
    ]


def _number(value: Any) -> float:
    return NAN if value is None else float(value)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else NAN


def _entry(
    name: str, target: str, metric: str, seeds: list[tuple[dict[str, Any], Run]], published: Sequence[Published]
) -> Entry:
    contents = [content for content, _ in seeds]
    found = [content["metrics"][target][metric] for content in contents]
    gathered: dict[str, list[float]] = {}
    for content in contents:
        for baseline, result in content["baselines"].get(target, {}).items():
            gathered.setdefault(baseline, []).append(_number(result["metrics"][metric]["value"]))
    means = {baseline: _mean(values) for baseline, values in gathered.items()}
    fitted = [content["baselines"][target] for content in contents if content["baselines"].get(target)]
    first: dict[str, Any] = fitted[0] if fitted else {}
    seconds = [_number(run.provenance.get("seconds")) for _, run in seeds if run.provenance]
    return Entry(
        set=name,
        target=target,
        recipe=", ".join(dict.fromkeys(str(run.provenance.get("recipe", "")) for _, run in seeds)),
        metric=metric,
        split=contents[0]["split"],
        note=contents[0].get("note", ""),
        n=int(found[0]["n"]),
        scores=np.array([_number(estimate["value"]) for estimate in found]),
        over_rows=(
            _mean([_number(estimate["low"]) for estimate in found]),
            _mean([_number(estimate["high"]) for estimate in found]),
        ),
        baselines=dict(sorted(means.items(), key=lambda item: -item[1] if np.isfinite(item[1]) else np.inf)),
        unbeaten=[baseline for baseline, result in first.items() if not result["beats"]],
        minutes=_mean(seconds) / 60,
        published=[figure for figure in published if figure.set == name and figure.metric == metric],
    )


ABOUT = """\
Score: mean over seeds. Over seeds: 95 % interval of that mean (Student's t; none for one seed). Over rows: 95 %
bootstrap interval of the evaluated rows, its ends averaged over seeds. Minutes: of one training. Baselines are fitted
on the same training rows and evaluated on the same rows, by `biorrn evaluate regression`.
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


def _scores(entry: Entry) -> dict[str, str]:
    """Return the cells of a row of the first table, by heading."""
    return {
        "set": entry.set,
        "recipe": entry.recipe,
        "split": entry.split + (" *" if entry.remark else ""),
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


def markdown(entries: Sequence[Entry], title: str = "Protein benchmark") -> str:
    """Return the table as Markdown: scores beside published figures, baselines, then remarks and sources.

    A star marks a set where the published figures are of other rows than ours.
    """
    scores = _table(list(_scores(entries[0])), [list(_scores(entry).values()) for entry in entries], 8)
    names = list(dict.fromkeys(name for entry in entries for name in entry.baselines))
    baselines = _table(
        ["set", "metric", "not shown to be beaten", "ours", *names],
        [
            [
                *(entry.set, NAMES[entry.metric], ", ".join(entry.unbeaten) or ("none" if entry.baselines else "–")),
                *(f"{entry.score:.3f}", *(_cell(entry.baselines.get(name, math.nan), 3) or "–" for name in names)),
            ]
            for entry in entries
        ],
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
    """Write `markdown` to a file."""
    with write_text(path) as stream:
        stream.write(markdown(entries))


ROW = 0.46  # inches a set
LOWEST = -0.1  # leftmost end; lower values (R2 has no bound) are drawn there


def benchmark_figure(entries: Sequence[Entry]) -> Drawing:
    """Draw a row a set: our score, thick its interval over seeds, thin over rows; baselines and published figures.

    Published figures of other rows than ours are hollow.
    """

    def paint(figure: Figure) -> None:
        figure.set_figwidth(1.5 * WIDTH)
        axes = figure.add_subplot()
        for place, entry in enumerate(entries):
            _row(axes, place, entry)
        axes.set_yticks(range(len(entries)), [_label(entry) for entry in entries], fontsize=8.5)
        axes.set_ylim(len(entries) - 0.4, -0.6)
        axes.set_xlim(LOWEST - 0.02, 1.0)
        axes.grid(axis="y", visible=False)
        metrics = list(dict.fromkeys(NAMES[entry.metric] for entry in entries))
        axes.set_xlabel(" or ".join(metrics) + (", as named" if len(metrics) > 1 else ""))
        _legend(figure, axes)

    caption = (
        "Scores on the published sets, mean over seeds; baselines are fitted on the same rows. Hollow: the published "
        "figure is of other rows than ours (a test set beside our validation rows)."
    )
    return draw("benchmark", caption, paint, 1.35 + ROW * max(1, len(entries)))


def _label(entry: Entry) -> str:
    metric = "" if entry.metric == "spearman" else f", {NAMES[entry.metric]}"
    return plain(f"{entry.set.replace('_', ' ')}\n{entry.split}, n = {entry.n:,}{metric}")


def _row(axes: Axes, place: int, entry: Entry) -> None:
    axes.axhline(place, color="#EFEFEF", linewidth=0.8, zorder=0)
    others = np.array([value for value in entry.baselines.values() if math.isfinite(value)])
    axes.plot(np.clip(others, LOWEST, 1), np.full(len(others), place), "|", color=GREY, markersize=8)
    for figure in entry.published:
        colour, marker = (PURPLE, "s") if figure.language_model else (ORANGE, "D")
        filled = colour if figure.split == entry.split else "white"
        axes.plot(
            figure.score, place + 0.17, marker, markersize=5.5, markerfacecolor=filled, markeredgecolor=colour, zorder=4
        )
    for ends, width in ((entry.over_rows, 1.2), (entry.over_seeds, 3.6)):
        if not math.isnan(ends[0]):
            axes.plot(np.clip(ends, LOWEST, 1), [place - 0.17] * 2, color=BLUE, linewidth=width, alpha=0.75, zorder=3)
    axes.plot(entry.score, place - 0.17, "o", color=BLUE, markersize=6, zorder=5)


def _legend(figure: Figure, axes: Axes) -> None:
    shown = [
        axes.plot([], [], "o", color=BLUE, label="biorrn")[0],
        axes.plot([], [], color=BLUE, linewidth=1.2, label="95 %, over rows")[0],
        axes.plot([], [], color=BLUE, linewidth=3.6, alpha=0.75, label="95 %, over seeds")[0],
        axes.plot([], [], "|", color=GREY, markersize=8, label="baselines")[0],
        axes.plot([], [], "D", color=ORANGE, markersize=5.5, label="published, no language model")[0],
        axes.plot([], [], "s", color=PURPLE, markersize=5.5, label="published, language model")[0],
        axes.plot([], [], "D", markerfacecolor="white", markeredgecolor=INK, label="hollow: of other rows")[0],
    ]
    figure.legend(handles=shown, loc="outside upper left", ncols=3, fontsize=7.5, edgecolor=PALE)

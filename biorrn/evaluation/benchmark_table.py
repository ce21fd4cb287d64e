"""Several evaluations as one table: a row a set, over seeds, beside baselines and what others have published.

The evaluations of one name are the seeds of one set. Two intervals stand beside a score, because they answer two
questions: over seeds, what another training would give (Student's t on the mean, none for one seed); over rows, what
other proteins would give (the bootstrap of the evaluation, its ends averaged over seeds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.errors import ConfigError, InputError
from biorrn.evaluation.bootstrap import LEVEL
from biorrn.evaluation.described import read_result
from biorrn.evaluation.regression import METRICS
from biorrn.evaluation.runs import Run, read_run
from biorrn.lookup import lookup
from biorrn.readers.tables import read_cells
from biorrn.readers.targets import text_of

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
    split, note : str: which rows were judged, and what is said of them.
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
        """What keeps the score and the published figures apart; "" where nothing does."""
        others = sorted({figure.split for figure in self.published} - {self.split})
        if not others:
            return ""
        ours, theirs = (_rows_of(split) for split in (self.split, " and ".join(others)))
        return f"our score is of {ours}, the published ones are of {theirs}"


def _rows_of(split: str) -> str:
    return f"{split.replace('valid', 'validation')} rows"


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

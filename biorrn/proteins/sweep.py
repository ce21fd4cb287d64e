"""Table and figure of a parameter sweep: changed keys, score with interval, minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.tables.writer import open_table
from biorrn.stats.figures import BLUE, GREY, WIDTH, Drawing, draw, plain
from biorrn.stats.metrics import NAMES, headline_metric
from biorrn.stats.results import read_result
from biorrn.training.runs import read_run

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """One run of a sweep, or one target of it.

    Attributes
    ----------
    run, target, metric : str; the target of basecalls is "".
    point : {key: value} that this run has in place of the recipe's.
    score, low, high : float: the metric and its 95 % interval over rows or reads, NaN where there is none.
    n : int: rows or reads.
    minutes : float: of training; NaN where no run was given.
    """

    run: str
    target: str
    metric: str
    point: dict[str, str]
    score: float
    low: float
    high: float
    n: int
    minutes: float = NAN


def parse_point(text: str) -> dict[str, str]:
    """Return {key: value} of a text such as training.lr=0.001,seed=1.

    Raises
    ------
    ConfigError: a part of it has no =.
    """
    parts = [part.partition("=") for part in text.split(",")]
    for key, sign, _ in parts:
        if not key or not sign:
            raise ConfigError(f"--point: found '{text}'; allowed is KEY=VALUE, several with a comma between")
    return {key: value for key, _, value in parts}


def collect_sweep(evaluations: Sequence[Path], points: Sequence[str], runs: Sequence[Path] = ()) -> list[Row]:
    """Return a row a run and target, the best score first.

    Parameters
    ----------
    evaluations : JSON files of `biorrn evaluate`.
    points : of each evaluation, see `parse_point`.
    runs : run folder of each evaluation, or none at all.

    Raises
    ------
    ConfigError: there are not as many points, or runs, as evaluations; or the evaluations are not of one kind.
    InputError: a file cannot be read or is not what it should be.
    """
    for option, given in (("--point", points), ("--run", runs)):
        if (given or option == "--point") and len(given) != len(evaluations):
            raise ConfigError(f"{option}: found {len(given)} for {len(evaluations)} evaluations; allowed is one each")
    rows: list[Row] = []
    kinds = set()
    for number, path in enumerate(evaluations):
        content = read_result(path)
        kinds.add(content["kind"])
        minutes = read_run(runs[number]).provenance.get("seconds", NAN) / 60 if runs else NAN
        rows += _rows(path, content, parse_point(points[number]), minutes)
    if len(kinds) > 1:
        raise ConfigError(f"a sweep is of one task; found evaluations of {' and '.join(sorted(kinds))}")
    # NaN, a score that is not defined, goes last
    return sorted(rows, key=lambda row: (row.target, row.score != row.score, -row.score, row.run))


def _rows(path: Path, content: Mapping[str, Any], point: dict[str, str], minutes: float) -> list[Row]:
    targets = {"": content["metrics"]} if content["kind"] == "basecalls" else content["metrics"]
    rows = []
    for target, metrics in targets.items():
        metric = headline_metric(content["kind"], metrics if isinstance(metrics, dict) else {})
        try:
            entry = metrics[metric]
            score, low, high = (NAN if entry[key] is None else float(entry[key]) for key in ("value", "low", "high"))
            rows.append(Row(str(content["name"]), target, metric, point, score, low, high, int(entry["n"]), minutes))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(path, f"has no {metric} with value, low, high and n ({error})") from error
    return rows


def write_sweep(path: str | Path, rows: Sequence[Row]) -> None:
    """Write the rows as TSV: run, the keys that were changed, target, metric, score, low, high, n, minutes."""
    keys = list(dict.fromkeys(key for row in rows for key in row.point))
    names = ["run", *keys, "target", "metric", "score", "low", "high", "n", "minutes"]
    with open_table(path, dict.fromkeys(names, str)) as write:
        for row in rows:
            numbers = [f"{value:.4f}" if value == value else "." for value in (row.score, row.low, row.high)]
            took = f"{row.minutes:.1f}" if row.minutes == row.minutes else "."
            point = [row.point.get(key, ".") for key in keys]
            write([row.run, *point, row.target or ".", row.metric, *numbers, str(row.n), took])


LABELS = NAMES | {"spearman": "Spearman's rho"}
MOST = 40  # runs that are drawn; the table has them all


def sweep_figure(rows: Sequence[Row]) -> Drawing:
    """Draw a line a run, of each target the best `MOST`, in the order of the rows."""
    targets = list(dict.fromkeys(row.target for row in rows))
    shown = {target: [row for row in rows if row.target == target][:MOST] for target in targets}

    def paint(figure: Figure) -> None:
        panels = figure.subplots(
            len(targets), 1, squeeze=False, height_ratios=[len(entries) + 1 for entries in shown.values()]
        )
        for axes, (target, entries) in zip(panels[:, 0], shown.items(), strict=True):
            for place, row in enumerate(entries):
                if row.low == row.low:
                    axes.plot([row.low, row.high], [place, place], color=GREY, linewidth=1.4)
                axes.plot(row.score, place, "o", color=BLUE, markersize=5)
            labels = [
                ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in row.point.items()) for row in entries
            ]
            axes.set_yticks(range(len(entries)), [plain(label) for label in labels], fontsize=8)
            axes.set_ylim(len(entries) - 0.4, -0.6)
            axes.set_xlabel(LABELS[entries[0].metric] + (f" of {plain(target)}" if target else ""))

    caption = "Runs of the sweep, the best first, each with its 95 % interval over rows or reads."
    if any(len(entries) < sum(row.target == target for row in rows) for target, entries in shown.items()):
        caption += f" The best {MOST} are drawn."
    lines = sum(len(entries) for entries in shown.values())
    figure_height = 0.8 * len(targets) + 0.24 * lines
    return draw("sweep", caption, paint, max(1.6, min(figure_height, 3 * WIDTH)))

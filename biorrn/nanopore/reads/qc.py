"""Quality control of a sequencing run from its summary: yield, lengths, qualities, speed, channels.

Counts are exact and streamed, in memory that does not grow with the number of reads: lengths by base, qualities in
steps of 0.01, times in seconds. N50 is the length such that reads of that length or longer hold half of all bases. A
mean quality is the mean over reads, not over bases.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import open_text
from biorrn.base.lookup import lookup
from biorrn.nanopore.basecall.summary import (
    ALIGNMENT,
    BARCODE,
    CALLED,
    CHEMISTRY,
    CUT,
    STATUS,
    UNCLASSIFIED,
    WARNING,
)
from biorrn.stats.counts import Counts
from biorrn.stats.figures import BLUE, GREEN, INK, ORANGE, Drawing, count_bars, count_height, draw, say
from biorrn.stats.results import aligned_rows, bases_label, described


def flongle_plan() -> np.ndarray:
    """Return the channels of a Flongle in order of their numbers, int64 (10, 13); 4 places are empty."""
    return np.concatenate([np.arange(1, 127), np.zeros(4, np.int64)]).reshape(10, 13)


def minion_plan() -> np.ndarray:
    """Return the channel layout of a MinION or GridION flow cell, int64 (16, 32).

    Eight blocks of 64 channels in four columns. In a column, eight channels count up, and the eight below, of the lower
    half of the block, count down.
    """
    columns = []
    for start in (33, 481, 417, 353, 289, 225, 161, 97):
        below = start - 25 if start > 33 else 8  # the last channel of the first column's lower half
        for column in range(4):
            upper = start + 8 * column
            lower = below + 8 * column
            columns.append([*range(upper, upper + 8), *range(lower, lower - 8, -1)])
    return np.array(columns, np.int64).T


def promethion_plan() -> np.ndarray:
    """Return the channel layout of a PromethION flow cell, int64 (25, 120): twelve blocks of ten columns."""
    block = np.arange(1, 251).reshape(25, 10)
    return np.concatenate([block + 250 * number for number in range(12)], axis=1)


def plan_of(largest: int, name: str = "auto") -> tuple[str, np.ndarray]:
    """Return the name of a flow cell and its channel layout, 0 for empty places.

    The true layout of a Flongle is not public; its channels are in order of their numbers.

    Parameters
    ----------
    largest : int: the largest channel with a read.
    name : str: entry of `FLOW_CELLS`; "auto": the smallest that has the channel.

    Raises
    ------
    ConfigError: the name is unknown, or the flow cell has fewer channels.

    >>> plan_of(500)[0], plan_of(2000)[1].shape, plan_of(90, "minion")[0]
    ('MinION', (25, 120), 'MinION')
    """
    if name != "auto":
        most, title, plan = lookup(FLOW_CELLS, name.lower(), "--flow-cell:")
        if largest > most:
            raise ConfigError(f"--flow-cell: found {name}, which has {most} channels; there are reads of {largest}")
        return title, plan()
    for most, title, plan in FLOW_CELLS.values():
        if largest <= most:
            return title, plan()
    rows = -(-largest // 100)
    numbers = np.arange(1, 100 * rows + 1)
    return "unknown", np.where(numbers <= largest, numbers, 0).reshape(rows, 100)


# name -> channels, title, layout; the smallest first
FLOW_CELLS: dict[str, tuple[int, str, Callable[[], np.ndarray]]] = {
    "flongle": (126, "Flongle", flongle_plan),
    "minion": (512, "MinION", minion_plan),
    "promethion": (3000, "PromethION", promethion_plan),
}


ROWS = 100_000  # held at once
LENGTH, QUALITY = "sequence_length_template", "mean_qscore_template"
NEEDED = (LENGTH, QUALITY)
NUMBERS = (LENGTH, QUALITY, "channel", "start_time", "duration", "num_samples", "template_duration",
           "alignment_identity", *CUT)  # fmt: skip
NAMES = ("filename", "read_id", "run_id", STATUS, "passes_filtering", ALIGNMENT[0], CHEMISTRY, WARNING,
         *BARCODE)  # fmt: skip
LONGEST = 20_000_000  # bases of a read; the longest reported has about 4 million


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows of a summary.

    Attributes
    ----------
    table : DataFrame with those columns of `NUMBERS` (float64) and `NAMES` (str) that the file has.
    called : bool array (n,).
    status : str array (n,): "called", or why the read was skipped.
    """

    table: pd.DataFrame
    called: np.ndarray
    status: np.ndarray

    @property
    def files(self) -> np.ndarray:
        """Return bool (n,): rows of a file that was skipped as a whole; they have no read id."""
        if "read_id" not in self.table:
            return np.zeros(len(self.table), bool)
        return ~self.called & (self.table["read_id"] == "").to_numpy()

    def of(self, rows: np.ndarray) -> Rows:
        """Return the rows selected by a bool array (n,)."""
        return Rows(self.table[rows].reset_index(drop=True), self.called[rows], self.status[rows])

    def number(self, name: str) -> np.ndarray:
        """Return a column as float64 (n,); NaN if the file does not have it."""
        if name not in self.table:
            return np.full(len(self.table), np.nan)
        return self.table[name].to_numpy(np.float64)


def read_rows(path: str | Path) -> Iterator[Rows]:
    """Yield the rows of a summary of `biorrn basecall` or another basecaller; may be gzipped, `-` is standard input.

    Without a column `status`, reads with bases count as called.

    Raises
    ------
    InputError: a column is missing, a row has too many or too few cells, or a cell is invalid or out of range.
    """
    with open_text(path) as stream:
        header = stream.readline().rstrip("\r\n").split("\t")
        for name in NEEDED:
            if name not in header:
                shown = "the file is empty" if header == [""] else f"column '{name}' is missing"
                raise InputError(path, f"{shown}; expected {', '.join(NEEDED)}, as biorrn basecall --summary writes")
        used = [name for name in (*NUMBERS, *NAMES) if name in header]
        first = 2
        while lines := list(itertools.islice(stream, ROWS)):
            for number, line in enumerate(lines, first):  # pandas pads or truncates rows
                if line.count("\t") != len(header) - 1 or not line.endswith("\n"):
                    found = line.count("\t") + 1
                    raise InputError(path, f"line {number} has {found} cells, the header {len(header)}, or is cut off")
            try:
                table = pd.read_csv(
                    io.StringIO("".join(lines)), sep="\t", names=header, usecols=used, quoting=csv.QUOTE_NONE,
                    dtype={name: np.float64 if name in NUMBERS else str for name in header}, skip_blank_lines=False,
                    keep_default_na=False, na_values={name: ["nan", "NaN", ""] for name in used if name in NUMBERS},
                )  # fmt: skip
            except ValueError as error:
                raise InputError(path, f"lines {first} to {first + len(lines) - 1}: {error}") from error
            yield _checked(path, table, first)
            first += len(lines)


def _checked(path: str | Path, table: pd.DataFrame, first: int) -> Rows:
    for name, most in ((LENGTH, LONGEST), (QUALITY, 100.0), ("channel", 1e6)):
        if name in table:
            cells = table[name].fillna(0).to_numpy()
            wrong = np.flatnonzero(~((cells >= 0) & (cells <= most)))
            if len(wrong):
                raise InputError(
                    path, f"line {first + wrong[0]}: {name} is {cells[wrong[0]]:g}; allowed is 0 to {most:g}"
                )
    for name in NUMBERS:
        if name in table and np.isinf(table[name].to_numpy()).any():
            wrong = np.flatnonzero(np.isinf(table[name].to_numpy()))
            raise InputError(path, f"line {first + wrong[0]}: {name} is infinite; allowed is a finite number")
    length = table[LENGTH].fillna(0).to_numpy()
    status = table[STATUS].to_numpy(dtype=str) if STATUS in table else np.where(length > 0, CALLED, "no bases")
    return Rows(table, status == CALLED, status)


Q_UNIT = 100  # qualities are counted in hundredths
Q_STEP, Q_TOP = 0.5, 60.0  # quality bins of the joint histogram
LENGTH_EDGES = np.logspace(1, 7, 121)  # length bins of the joint histogram: 20 per decade, from 10 bases
THRESHOLDS = (7, 8, 9, 10, 12, 15, 20)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LONGEST_RUN = 30 * 24 * 3600  # seconds; later start times are wrong
MANY = 1500  # reads drawn as points; more are drawn as a histogram
POINTS = 120  # of the yield curve
MOST = 1000  # files and reasons listed by name; the rest are summed


class ReadQc:
    """Counts over the rows of a summary; see `content`.

    `sheet` is barcode -> alias: reads of any other barcode are unclassified, as `demux` sorts them.
    """

    def __init__(self, flow_cell: str = "auto", sheet: Mapping[str, str] | None = None) -> None:
        self.flow_cell, self.sheet = flow_cell, sheet
        self.rows = self.called = self.samples = self.mapped = self.unread = 0
        self.aligned = False
        self.seconds = 0.0
        self.lengths, self.qualities, self.speeds, self.identities = Counts(), Counts(), Counts(), Counts()
        self.times, self.bases_at = Counts(), Counts()
        self.channels, self.channel_bases, self.channel_ms = Counts(), Counts(), Counts()
        self.untimed = 0
        self.error = 0.0  # sum of the reads' error probabilities
        self.good = dict.fromkeys(THRESHOLDS, (0, 0))  # reads, bases
        self.points: list[np.ndarray] = []  # length and quality of the first reads
        self.joint = np.zeros((len(LENGTH_EDGES) - 1, int(Q_TOP / Q_STEP)))
        self.reasons: Counter[str] = Counter()
        self.chemistries: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()  # of called reads
        self.barcodes: dict[str, np.ndarray] | None = None  # name, "" for none -> called reads, their bases
        self.unclassified: Counter[str] = Counter()  # why called reads have no barcode
        self.cut = {column: Counts() for column in CUT}  # bases cut off the reads that were cut
        self.files: dict[str, np.ndarray] = {}  # name -> rows, called, bases
        self.runs: dict[str, float] = {}  # run -> seconds to the end of its last read

    def add(self, rows: Rows) -> None:
        """Count some rows."""
        files = rows.files
        if files.any():
            self.unread += int(files.sum())
            _count_names(self.reasons, rows.status[files])
            rows = rows.of(~files)
        self.rows += len(rows.called)
        self.called += int(rows.called.sum())
        _count_names(self.reasons, rows.status[~rows.called])
        for counter, column in ((self.chemistries, CHEMISTRY), (self.warnings, WARNING)):
            if column in rows.table:
                named = rows.table[column].to_numpy(dtype=str)[rows.called]
                _count_names(counter, named[named != ""])
        self.samples += int(np.nansum(rows.number("num_samples")))
        self.seconds += float(np.nansum(rows.number("duration")))
        length = np.nan_to_num(rows.number(LENGTH)).astype(np.int64) * rows.called
        self._add_files(rows, length)
        self._add_times(rows, length)
        self._add_channels(rows, length)
        self._add_barcodes(rows, length)
        self._add_cut(rows)
        quality = np.nan_to_num(rows.number(QUALITY))[rows.called]
        duration = rows.number("template_duration")[rows.called]
        length = length[rows.called]
        self.lengths.add(length)
        self.qualities.add(np.rint(Q_UNIT * quality))
        self.error += float((10 ** (-quality / 10)).sum())
        for least, (reads, bases) in self.good.items():
            passed = quality >= least
            self.good[least] = reads + int(passed.sum()), bases + int(length[passed].sum())
        if sum(len(some) for some in self.points) < MANY:
            self.points.append(np.stack([length, quality], axis=1)[:MANY])
        known = duration > 0
        self.speeds.add(np.minimum(np.rint(length[known] / duration[known]), 10_000))
        places = np.clip(np.searchsorted(LENGTH_EDGES, length, side="right") - 1, 0, self.joint.shape[0] - 1)
        columns = np.minimum((quality / Q_STEP).astype(np.int64), self.joint.shape[1] - 1)
        np.add.at(self.joint, (places, columns), 1)
        if "alignment_genome" in rows.table:
            self.aligned = True
            on = (~rows.table["alignment_genome"].isin(["*", ""])).to_numpy()[rows.called]
            self.mapped += int(on.sum())
            identity = rows.number("alignment_identity")[rows.called][on]
            self.identities.add(np.rint(10_000 * identity[np.isfinite(identity)]))

    def _add_files(self, rows: Rows, length: np.ndarray) -> None:
        if "filename" not in rows.table:
            return
        names, places = np.unique(rows.table["filename"].to_numpy(dtype=str), return_inverse=True)
        counts = [np.bincount(places, weights) for weights in (None, rows.called, length)]
        for place, name in enumerate(names):
            if not name:  # of ids that no file holds
                continue
            key = str(name) if name in self.files or len(self.files) < MOST else "(other files)"
            self.files[key] = self.files.get(key, np.zeros(3, np.int64)) + [int(count[place]) for count in counts]

    def _add_barcodes(self, rows: Rows, length: np.ndarray) -> None:
        if BARCODE[0] not in rows.table:
            return
        self.barcodes = self.barcodes or {}
        names, places = np.unique(rows.table[BARCODE[0]].to_numpy(dtype=str), return_inverse=True)
        counts = [np.bincount(places, weights) for weights in (rows.called, length)]
        for place, name in enumerate(names):
            new, known = [int(count[place]) for count in counts], str(name)
            if new[0] and known and self.sheet is not None and (barcode := _barcode(known)) not in self.sheet:
                known = ""
                self.unclassified[f"{barcode} is not in the sample sheet"] += new[0]
            if new[0]:
                self.barcodes[known] = self.barcodes.get(known, np.zeros(2, np.int64)) + new
        if BARCODE[1] in rows.table:
            why = rows.table[BARCODE[1]].to_numpy(dtype=str)[rows.called]
            _count_names(self.unclassified, why[why != ""])

    def _add_cut(self, rows: Rows) -> None:
        for column, counts in self.cut.items():
            bases = np.nan_to_num(rows.number(column))[rows.called]
            counts.add(np.minimum(bases[bases > 0], 10_000))

    def _add_times(self, rows: Rows, length: np.ndarray) -> None:
        start = rows.number("start_time")
        end = start + np.nan_to_num(rows.number("duration"))
        known = (start >= 0) & (end <= LONGEST_RUN)
        self.untimed += int((~known & rows.called).sum())
        names = rows.table["run_id"].to_numpy(dtype=str) if "run_id" in rows.table else np.full(len(start), "")
        for name in np.unique(names):
            last = end[known & (names == name)].max(initial=0.0)
            self.runs[str(name)] = max(self.runs.get(str(name), 0.0), float(last))
        known &= rows.called
        self.times.add(start[known])
        self.bases_at.add(start[known], length[known])

    def _add_channels(self, rows: Rows, length: np.ndarray) -> None:
        channel = np.nan_to_num(rows.number("channel")).astype(np.int64)
        on = channel > 0
        self.channels.add(channel[on])
        self.channel_bases.add(channel[on], length[on])
        self.channel_ms.add(channel[on], np.rint(1000 * np.nan_to_num(rows.number("duration"))[on]))

    def content(self) -> dict[str, Any]:
        """Return the results for JSON. Quantiles are {"5": ..., "95": ...}, keys in percent."""
        bases = self.lengths.sum
        shortest, longest = self.lengths.ends()
        quality = {name: value / Q_UNIT for name, value in _quantiles(self.qualities).items()}
        return {
            "counts": {
                "rows": self.rows,
                "called": self.called,
                "left_out": self.rows - self.called,
                "files_left_out": self.unread,
                "bases": bases,
                "samples": self.samples,
                "signal_hours": self.seconds / 3600,
                "runs": len([name for name in self.runs if name]),
                "files": len(self.files),
            },
            "reasons": dict(self.reasons.most_common()),
            "chemistry": dict(self.chemistries.most_common()),
            "length": {
                "mean": self.lengths.mean(),
                "n50": self.lengths.n50(),
                "n90": self.lengths.n50(0.9),
                "shortest": shortest,
                "longest": longest,
                "quantiles": _quantiles(self.lengths),
            },
            "quality": {
                "mean": self.qualities.mean() / Q_UNIT,
                "promised_identity": 1 - self.error / self.called if self.called else float("nan"),
                "quantiles": quality,
                "at_least": [
                    {"q": least, "reads": reads, "bases": held} for least, (reads, held) in self.good.items()
                ],
            },
            "speed": {"mean": self.speeds.mean(), "quantiles": _quantiles(self.speeds)},
            "time": {"hours": max(self.runs.values(), default=0.0) / 3600, "without_time": self.untimed,
                     "curve": self.curve()},
            "channels": self.occupancy(),
            "alignment": {"mapped": self.mapped, "median_identity": self.identities.quantile(0.5) / 10_000}
            if self.aligned else None,
            "barcodes": None if self.barcodes is None else [
                {"name": name or UNCLASSIFIED, **self._alias(name), "reads": int(reads), "bases": int(held)}
                for name, (reads, held) in sorted(
                    (self._without_reads() | self.barcodes).items(), key=lambda entry: (not entry[0], entry[0])
                )
            ],
            "unclassified": dict(self.unclassified.most_common()),
            "cut": {
                column.removeprefix("bases_cut_"): {"reads": counts.total, "bases": counts.sum, "mean": counts.mean(),
                                                    "quantiles": _quantiles(counts)}
                for column, counts in self.cut.items() if counts.total
            },
            "files": [
                {"name": name, "rows": int(row[0]), "called": int(row[1]), "bases": int(row[2])}
                for name, row in self.files.items()
            ],
        }  # fmt: skip

    def _alias(self, name: str) -> dict[str, str]:
        return {} if self.sheet is None else {"alias": self.sheet.get(_barcode(name), "")}

    def _without_reads(self) -> dict[str, np.ndarray]:
        """Return the barcodes of the sheet, with the kit that reads name."""
        kit = next((name.removesuffix(_barcode(name)) for name in self.barcodes or () if name), "")
        return {kit + barcode: np.zeros(2, np.int64) for barcode in self.sheet or ()}

    def curve(self) -> list[dict[str, float]]:
        """Return cumulative {"hours", "reads", "bases"} at evenly spaced times of the run."""
        last = len(self.times.table)
        if not last:
            return []
        reads, bases = np.cumsum(self.times.table), np.cumsum(self.bases_at.table)
        places = np.unique(np.linspace(0, last - 1, min(POINTS, last)).astype(int))
        return [
            {"hours": (place + 1) / 3600, "reads": int(reads[place]), "bases": int(bases[place])} for place in places
        ]

    def occupancy(self) -> dict[str, Any]:
        """Return the flow cell, the channels with a read, and the share of the time with a read in each."""
        used = np.flatnonzero(self.channels.table)
        name, _ = plan_of(int(used[-1]) if len(used) else 0, self.flow_cell)
        run = sum(self.runs.values())
        share = self.channel_ms.table[used] / 1000 / run if run else np.full(len(used), np.nan)
        return {
            "flow_cell": name,
            "used": len(used),
            "occupancy": float(np.mean(share)) if len(used) else float("nan"),
            "table": [
                {"channel": int(c), "reads": int(self.channels.table[c]), "bases": int(self.channel_bases.table[c]),
                 "occupancy": float(part)}
                for c, part in zip(used, share, strict=True)
            ],
        }  # fmt: skip


def _barcode(label: str) -> str:
    """Return barcode01 of KIT_barcode01."""
    return label.rpartition("_")[2]


def _shown(row: Mapping[str, Any]) -> str:
    """Return a barcode with its alias, where it has one."""
    return f"{row['alias']} ({row['name']})" if row.get("alias") else str(row["name"])


def _quantiles(counts: Counts) -> dict[str, float]:
    return {f"{100 * part:g}": counts.quantile(part) for part in QUANTILES}


def _count_names(counter: Counter[str], names: np.ndarray) -> None:
    found, counts = np.unique(names, return_counts=True)
    for name, count in zip(found, counts, strict=True):
        key = str(name) if name in counter or len(counter) < MOST else "(other reasons)"
        counter[key] += int(count)


def read_qc(
    path: str | Path, *, name: str, note: str = "", flow_cell: str = "auto", sheet: str | Path | None = None
) -> tuple[dict[str, Any], ReadQc]:
    """Return the results of `biorrn qc` for a summary, and the counts behind them.

    Parameters
    ----------
    flow_cell : str: entry of `FLOW_CELLS`; "auto" takes the smallest that has all channels.
    sheet : sample sheet with the aliases of barcodes, see `demux.read_sheet`.

    Raises
    ------
    InputError: see `read_rows` and `read_sheet`; or there is a sheet, but the summary has no barcodes.
    ConfigError: the flow cell is unknown, or has fewer channels.
    """
    plan_of(0, flow_cell)  # an unknown name fails before the table is read
    inputs, aliases = {"summary": path}, None
    if sheet is not None:
        from biorrn.nanopore.reads.demux import read_sheet

        inputs["sample_sheet"], aliases = sheet, read_sheet(sheet)
    counted = ReadQc(flow_cell, aliases)
    for some in read_rows(path):
        counted.add(some)
    if sheet is not None and counted.barcodes is None:
        raise InputError(path, "column 'barcode' is missing, which --sample-sheet needs; biorrn basecall --kit has it")
    content = described("qc", name, inputs, note) | counted.content()
    if content["counts"]["runs"] > 1:
        content["cautions"].append(f"{content['counts']['runs']} runs: times are since the start of each.")
    content["cautions"] += [f"{count:,} of {counted.called:,} called reads: {warning}."
                            for warning, count in counted.warnings.most_common()]  # fmt: skip
    return content, counted


def qc_lines(content: dict[str, Any]) -> list[str]:
    """Return the results of `read_qc` as lines of text."""
    counts, length, quality = content["counts"], content["length"], content["quality"]

    def number(value: float, form: str = ",.0f") -> str:
        return "-" if not np.isfinite(value) else format(value, form)

    percent = 100 / max(1, counts["bases"])
    rows = [
        ("reads called", f"{counts['called']:,}"),
        ("reads left out", f"{counts['left_out']:,}"),
        *([("files left out", f"{counts['files_left_out']:,}")] if counts["files_left_out"] else []),
        ("bases", f"{counts['bases']:,}"),
        ("length, median", number(length["quantiles"]["50"])),
        ("length, N50", f"{length['n50']:,}"),
        ("length, longest", f"{length['longest']:,}"),
        ("quality, median", number(quality["quantiles"]["50"], ".2f")),
        *((f"bases in reads of Q{row['q']} and above", number(percent * row["bases"], ".1f") + "%")
          for row in quality["at_least"] if row["q"] in (10, 20)),
        ("bases a second, median", number(content["speed"]["quantiles"]["50"])),
        ("hours of the run", number(content["time"]["hours"], ".2f")),
        ("channels with a read", f"{content['channels']['used']:,}"),
    ]  # fmt: skip
    if content["alignment"]:
        rows.append(("reads mapped", f"{content['alignment']['mapped']:,}"))
    rows += [(f"reads of {_shown(row)}", f"{row['reads']:,}") for row in content["barcodes"] or ()]
    rows += [(f"unclassified: {reason}", f"{count:,}") for reason, count in content["unclassified"].items()]
    rows += [(f"cut at the {end}: reads; bases, median", f"{row['reads']:,}; {number(row['quantiles']['50'])}")
             for end, row in content["cut"].items()]  # fmt: skip
    rows += [(f"chemistry {name}", f"{count:,}") for name, count in content["chemistry"].items()]
    rows += [(f"left out: {reason}", f"{count:,}") for reason, count in list(content["reasons"].items())[:10]]
    return [*aligned_rows(rows), *(f"caution: {caution}" for caution in content["cautions"])]


NOTHING = "no called reads"
BINS = 50
Q_BINS = (0.1, 0.25, 0.5, 1.0, 2.0)  # widths


def _edges(counts: Counts, logarithmic: bool) -> np.ndarray:
    low, high = counts.ends()
    bins = min(BINS, max(8, int(2 * counts.total**0.5)))
    if logarithmic:
        low = max(1, low)
        return np.logspace(np.log10(low), np.log10(max(high, 1.1 * low)), bins + 1)
    return np.linspace(low, max(high, low + 1), min(bins, max(1, high - low)) + 1)


def _lengths(lengths: Counts, n50: int) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not lengths.total:
            return say(figure.add_subplot(), NOTHING)
        reads, bases = figure.subplots(2, 1, sharex=True)
        low, high = lengths.ends()
        wide = high >= 10 * max(1, low)
        edges = _edges(lengths, wide)
        reads.stairs(lengths.binned(edges), edges, fill=True, color=BLUE, alpha=0.85)
        bases.stairs(lengths.binned(edges, weighted=True), edges, fill=True, color=GREEN, alpha=0.85)
        for axes, value, label in ((reads, lengths.quantile(0.5), "median"), (bases, n50, "N50")):
            axes.axvline(value, color=ORANGE, linewidth=2, label=f"{label} {value:,.0f}")
            axes.legend(loc="best")
        if wide:
            bases.set_xscale("log")
        bases.xaxis.set_major_formatter(FuncFormatter(bases_label))
        bases.yaxis.set_major_formatter(FuncFormatter(bases_label))
        reads.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        bases.yaxis.set_major_locator(MaxNLocator(4))
        reads.set_ylabel("reads")
        bases.set(xlabel="length of the read", ylabel="bases")
        return None

    return paint


def _qualities(qualities: Counts) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not qualities.total:
            return say(axes, NOTHING)
        low, high = qualities.ends()
        step = next((step for step in Q_BINS if (high - low) / Q_UNIT <= 30 * step), Q_BINS[-1]) * Q_UNIT
        edges = step * np.arange(np.floor(low / step), np.floor(high / step) + 2)
        axes.stairs(qualities.binned(edges), edges / Q_UNIT, fill=True, color=BLUE, alpha=0.85)
        middle = qualities.quantile(0.5) / Q_UNIT
        axes.axvline(middle, color=ORANGE, linewidth=2, label=f"median Q{middle:.1f}")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="mean quality of the read (Q)", ylabel="reads")
        axes.legend(loc="best")
        return None

    return paint


def _joint(counted: ReadQc) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        joint = counted.joint
        if not counted.called:
            return say(axes, NOTHING)
        if counted.called <= MANY:
            length, quality = np.concatenate(counted.points).T
            axes.scatter(length, quality, s=14, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
        else:
            rows, columns = (np.flatnonzero(joint.any(axis=axis)) for axis in (1, 0))
            first, last, low, high = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
            shown = joint[first:last, low:high].T
            drawn = axes.pcolormesh(LENGTH_EDGES[first : last + 1], Q_STEP * np.arange(low, high + 1),
                                    np.where(shown > 0, shown, np.nan), norm=LogNorm(1, max(10.0, shown.max())),
                                    cmap="viridis", rasterized=True)  # fmt: skip
            figure.colorbar(drawn, ax=axes, label="reads", pad=0.02, shrink=0.85)
        low, high = counted.lengths.ends()
        if high >= 10 * max(1, low):
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.xaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(xlabel="length of the read", ylabel="mean quality (Q)")
        return None

    return paint


def _yield(curve: list[dict[str, float]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not curve:
            return say(axes, "no times in the summary")
        hours = np.array([0.0, *(point["hours"] for point in curve)])
        bases = np.array([0.0, *(point["bases"] for point in curve)])
        scale, unit = (1, "hours") if hours[-1] >= 2 else (60, "minutes")
        axes.plot(scale * hours, bases, color=BLUE, linewidth=1.8)
        axes.fill_between(scale * hours, bases, color=BLUE, alpha=0.15, linewidth=0)
        axes.yaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(xlabel=f"{unit} since the run began", ylabel="bases so far", ylim=(0, None), xlim=(0, None))
        return None

    return paint


def _speed(speeds: Counts) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not speeds.total:
            return say(axes, "no durations in the summary")
        edges = _edges(speeds, logarithmic=False)
        axes.stairs(speeds.binned(edges), edges, fill=True, color=BLUE, alpha=0.85)
        middle = speeds.quantile(0.5)
        axes.axvline(middle, color=ORANGE, linewidth=2, label=f"median {middle:.0f} bases/s")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="bases called a second of signal", ylabel="reads")
        axes.legend(loc="best")
        return None

    return paint


def _channels(content: Mapping[str, Any], flow_cell: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        table = content["table"]
        if not table:
            return say(axes, "no channels in the summary")
        _, plan = plan_of(table[-1]["channel"], flow_cell)
        share = np.zeros(int(plan.max()) + 1)
        share[[row["channel"] for row in table]] = [100 * (row["occupancy"] or 0.0) for row in table]
        shown = np.where(plan > 0, share[plan], np.nan)
        drawn = axes.imshow(shown, cmap="viridis", vmin=0, aspect="auto", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_title(f"channels with a read: {len(table):,}", fontsize=10, color=INK)
        figure.colorbar(drawn, ax=axes, label="time with a read (%)", pad=0.02, shrink=0.9)
        return None

    return paint


def _barcodes(table: list[dict[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not table:
            return say(figure.add_subplot(), NOTHING)
        count_bars(figure, {_shown(row): row["reads"] for row in table}, UNCLASSIFIED, "reads")
        return None

    return paint


def _cut(cut: Mapping[str, Counts]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        top = max(counts.ends()[1] for counts in cut.values() if counts.total)
        edges = np.linspace(0, top + 1, min(BINS, top + 1) + 1)
        for (column, counts), color in zip(cut.items(), (BLUE, ORANGE), strict=True):
            end = column.removeprefix("bases_cut_")
            if counts.total:
                axes.stairs(
                    counts.binned(edges), edges, color=color, linewidth=2, label=f"{end}: {counts.total:,} reads"
                )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="bases cut off", ylabel="reads", ylim=(0, None))
        axes.legend(loc="best")

    return paint


def qc_figures(content: Mapping[str, Any], counted: ReadQc) -> list[Drawing]:
    """Return the figures of the results of `read_qc`."""
    name = content["channels"]["flow_cell"]
    where = "in order of their numbers" if name in ("Flongle", "unknown") else "in the layout of the flow cell"
    if counted.flow_cell == "auto":
        where += f"; {'a' if name != 'unknown' else 'an'} {name} flow cell is assumed, as no channel is higher"
    barcodes = content["barcodes"]
    return [
        draw("lengths", "Read lengths: number of reads (above) and of bases (below) in each bin.",
             _lengths(counted.lengths, content["length"]["n50"]), 4.2),
        draw("qualities", "Mean quality of the reads as given by the basecaller.", _qualities(counted.qualities)),
        draw("length_quality", "Length and mean quality of the reads.", _joint(counted)),
        draw("yield", "Cumulative bases of reads by their start time.", _yield(content["time"]["curve"])),
        draw("speed", "Bases called per second of signal, by read.", _speed(counted.speeds)),
        draw("channels", f"Share of the time of the run with a read in each channel, skipped reads included; channels "
             f"{where}.", _channels(content["channels"], counted.flow_cell)),
        *([] if barcodes is None else [
            draw("barcodes", "Called reads by barcode.", _barcodes(barcodes), count_height(len(barcodes)))
        ]),
        *([] if not content["cut"] else [
            draw("cut", "Bases of adapters, primers and barcodes cut off reads.", _cut(counted.cut))
        ]),
    ]  # fmt: skip

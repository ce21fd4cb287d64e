"""Table of signal reads: a row per read, counts over many reads, repeated ids, and reported problems."""

from array import array
from collections import Counter
from pathlib import Path
from typing import IO

from biorrn.base.errors import InputError, LeftOut
from biorrn.nanopore.chemistry import chemistry_of
from biorrn.sequences.fasta import Ids
from biorrn.sequences.records import SignalRecord

SHOWN = 5  # problems printed per file
COLUMNS = (
    "read_id",
    "samples",
    "seconds",
    "sample_rate",
    "offset",
    "scale",
    "channel",
    "mux",
    "read_number",
    "start_time",
    "end_reason",
    "run_id",
    "flow_cell",
    "kit",
    "chemistry",
    "file",
)


def row(record: SignalRecord) -> list[str]:
    """Return one read as the cells of `COLUMNS`; unknown values are empty."""
    known = record.calibrated
    return [
        record.read_id,
        str(len(record.raw)),
        f"{len(record.raw) / record.sample_rate:.3f}" if known else "",
        f"{record.sample_rate:g}" if known else "",
        f"{record.offset:g}" if known else "",
        f"{record.scale:.9g}" if known else "",
        *map(cell, (record.channel, record.mux, record.read_number, record.start_time)),
        record.end_reason,
        record.run_id,
        record.flow_cell,
        record.kit,
        chemistry_of(record).name,
        str(record.source),
    ]


def cell(number: int | None) -> str:
    """Return a number as a cell; "" for None."""
    return "" if number is None else str(number)


class Repeats:
    """Counts reads whose id occurred before, in the same file or another."""

    def __init__(self) -> None:
        self.count = 0
        self._ids = Ids()
        self._first = ""

    def add(self, record: SignalRecord) -> None:
        """Count a read."""
        if self._ids.seen(str(record.read_id), 1):
            self.count += 1
            self._first = self._first or f"'{record.read_id:.60}' in {record.source.name}"

    def line(self) -> str:
        """Return a warning; "" where each id occurs once."""
        what = "a read has an id" if self.count == 1 else f"{self.count} reads have ids"
        return f"{what} that another read had before; the first is {self._first}" if self.count else ""


class Summary:
    """Counts over many reads; uses about 50 bytes per read.

    >>> summary = Summary()
    >>> summary.rows()[1]
    ('reads', '0')
    """

    def __init__(self) -> None:
        self.lengths = array("q")
        self.seconds = 0.0
        self.files: set[Path] = set()
        self.uncalibrated = 0
        self.repeats = Repeats()
        self.kinds: Counter[tuple[str, str, str, str]] = Counter()
        self.chemistries: Counter[str] = Counter()

    def add(self, record: SignalRecord) -> None:
        """Count one read."""
        self.lengths.append(len(record.raw))
        self.files.add(record.source)
        self.repeats.add(record)
        if record.calibrated:
            self.seconds += len(record.raw) / record.sample_rate
        else:
            self.uncalibrated += 1
        rate = f"{record.sample_rate:g}" if record.calibrated else "unknown"
        self.chemistries[chemistry_of(record).name] += 1
        self.kinds[(record.run_id, record.flow_cell, record.kit, rate)] += 1

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values: counts, lengths in samples, hours of signal, and reads by run and chemistry."""
        lengths = sorted(self.lengths)
        total = sum(lengths)
        rows = [("files", len(self.files)), ("reads", len(lengths)), ("samples", total)]
        if lengths:
            rows += [
                ("samples_shortest", lengths[0]),
                ("samples_median", lengths[len(lengths) // 2]),
                ("samples_longest", lengths[-1]),
                ("samples_n50", _n50(lengths, total)),
            ]
        named = [(name, str(value)) for name, value in rows]
        named.append(("hours_of_signal", f"{self.seconds / 3600:.4f}"))
        if self.uncalibrated:
            named.append(("reads_without_calibration", str(self.uncalibrated)))
        for (run, flow_cell, kit, rate), count in self.kinds.most_common():
            about = f"run {run or 'unknown'}, flow cell {flow_cell or 'unknown'}, kit {kit or 'unknown'}, {rate} Hz"
            named.append((f"reads of {about}", str(count)))
        named += [(f"reads of chemistry {name}", str(count)) for name, count in self.chemistries.most_common()]
        return named


class Problems:
    """Prints problems of files and reads, one line each: the first `SHOWN` of a file, then their number."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.counts: Counter[str] = Counter()

    def __call__(self, problem: InputError) -> None:
        """Print one problem; archives are only a warning, since they may hold no reads."""
        if isinstance(problem, LeftOut) and problem.kind == "archive" and not problem.alone:
            print(f"biorrn: warning: {problem}", file=self.stream)
            return
        self.counts[problem.source] += 1
        if self.counts[problem.source] <= SHOWN:
            print(f"biorrn: error: {problem}", file=self.stream)

    def close(self) -> int:
        """Print the numbers of further problems; return the number of files with problems."""
        for source, count in self.counts.items():
            if count > SHOWN:
                print(f"biorrn: error: {source}: and {count - SHOWN} further reads like these", file=self.stream)
        return len(self.counts)


def _n50(lengths: list[int], total: int) -> int:
    """Return the N50: reads of at least this length hold half of all samples."""
    held = 0
    for length in reversed(lengths):
        held += length
        if 2 * held >= total:
            return length
    return 0

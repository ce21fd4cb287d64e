"""Reads with the bases that made their signal: from Tombo's events in FAST5, or from a table of a simulator."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from biorrn.encoders.bases import encode_bases
from biorrn.errors import BiorrnError, ConfigError, InputError
from biorrn.files import open_text
from biorrn.lookup import lookup
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.records import ReadLabels, SignalRecord
from biorrn.readers.signal import find_signal_files, read_all, read_labels

LabelledReads = Iterator[tuple[SignalRecord, ReadLabels]]

TRUTH_COLUMNS = ("read_id", "reference", "ref_start", "ref_end", "strand", "bases", "starts", "end")


def labelled_reads(
    paths: Sequence[str | Path],
    labels: str,
    truth: str | Path | None,
    counts: Counter[str],
    on_problem: OnProblem = stop,
) -> LabelledReads:
    """Return an iterator over the reads of files and folders with their labels, one read in memory at a time.

    Parameters
    ----------
    paths : signal files and folders.
    labels : str: entry of `LABELS`.
    truth : the table of labels, for those that need one.
    counts : takes the reads left out, by reason.
    on_problem : called with the `InputError` of each file or read that cannot be used.

    Raises
    ------
    ConfigError: unknown labels, or a table where none is needed or none where one is.
    InputError: the table is damaged.
    """
    return lookup(LABELS, labels, "--labels")(paths, truth, counts, on_problem)


def _events(
    paths: Sequence[str | Path], truth: str | Path | None, counts: Counter[str], on_problem: OnProblem
) -> LabelledReads:
    """Labels that `tombo resquiggle` wrote into FAST5; a file of another format has none."""
    if truth is not None:
        raise ConfigError(f"--truth {truth}: is for --labels truth; events are in the FAST5 files")
    files = find_signal_files(paths, on_problem)
    for file in [file for file in files if file.suffix.lower() != ".fast5"]:
        on_problem(InputError(file, "holds no events; --labels events needs FAST5"))
    return read_all([file for file in files if file.suffix.lower() == ".fast5"], on_problem, read=read_labels)


def _truth(
    paths: Sequence[str | Path], truth: str | Path | None, counts: Counter[str], on_problem: OnProblem
) -> LabelledReads:
    """Labels from a table with one row a read."""
    if truth is None:
        raise ConfigError("--labels truth: needs the table of labels; name it with --truth")
    return _joined(paths, truth, counts, on_problem)


def _joined(
    paths: Sequence[str | Path], truth: str | Path, counts: Counter[str], on_problem: OnProblem
) -> LabelledReads:
    rows = read_truth(truth)
    waiting: dict[str, ReadLabels] = {}  # rows that came before their read; none where both have one order
    used: set[str] = set()
    for record in read_all(paths, on_problem):
        if record.read_id in used:
            counts["reads dropped: read id came before"] += 1
            continue
        while record.read_id not in waiting:
            read_id, labels = next(rows, (None, None))
            if read_id is None or labels is None:
                break
            if read_id in waiting or read_id in used:
                raise InputError(truth, "the read is given twice; allowed is once", read_id)
            waiting[read_id] = labels
        if record.read_id not in waiting:
            counts["reads dropped: no row in the truth table"] += 1
            continue
        used.add(record.read_id)
        yield record, waiting.pop(record.read_id)
    counts["truth rows without a read"] += len(waiting) + sum(1 for _ in rows)


def read_truth(path: str | Path) -> Iterator[tuple[str, ReadLabels]]:
    """Yield read id and labels of each row of a TSV with the columns `TRUTH_COLUMNS`.

    bases are letters in the order of the signal, starts their first samples in the raw signal, separated by commas,
    end one past the last labelled sample; ref_start and ref_end are 0-based and half-open on the forward strand.

    Raises
    ------
    InputError: a column is missing or a cell cannot be used.
    """
    with open_text(path) as file:
        names = file.readline().rstrip("\r\n").split("\t")
        missing = [name for name in TRUTH_COLUMNS if name not in names]
        if missing:
            raise InputError(path, f"column '{missing[0]}' is missing; found {', '.join(names)[:200]}")
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) != len(names):
                raise InputError(path, f"row {number} has {len(cells)} cells; the header names {len(names)} columns")
            row = dict(zip(names, cells, strict=True))
            yield row["read_id"], _labels(path, row)


def _labels(path: str | Path, row: dict[str, str]) -> ReadLabels:
    try:
        bases = encode_bases(row["bases"])
        starts = np.array(row["starts"].split(","), np.int64)
        numbers = [int(row[name]) for name in ("end", "ref_start", "ref_end")]
    except (ValueError, OverflowError, BiorrnError) as error:
        raise InputError(path, str(error), row["read_id"]) from error
    if len(starts) != len(bases):
        raise InputError(path, f"found {len(bases)} bases and {len(starts)} starts", row["read_id"])
    if row["strand"] not in ("+", "-", ""):
        raise InputError(path, f"column 'strand': found '{row['strand'][:20]}'; allowed is + or -", row["read_id"])
    return ReadLabels(bases, starts, numbers[0], row["reference"], numbers[1], numbers[2], row["strand"])


Source = Callable[[Sequence[str | Path], str | Path | None, Counter[str], OnProblem], LabelledReads]
LABELS: dict[str, Source] = {"events": _events, "truth": _truth}

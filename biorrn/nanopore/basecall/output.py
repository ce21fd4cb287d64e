"""Output of basecalling: finished reads go to a journal, and from it to the output file and the summary."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, InputError, LeftOut
from biorrn.base.files import tsv_line, write_text
from biorrn.base.journal import SUFFIX, Journal, open_journal, stamp
from biorrn.nanopore.alignment import in_order
from biorrn.nanopore.basecall.formats import FORMATS, Style
from biorrn.nanopore.basecall.sam import WARNED, counted_warning, read_group
from biorrn.nanopore.basecall.summary import ABSENT, CALLED, WARNING, columns, row, unread
from biorrn.nn.store import Stored
from biorrn.sequences.records import SignalRecord

if TYPE_CHECKING:
    from biorrn.nanopore.alignment import Mapper
    from biorrn.nanopore.basecall.caller import Call


class CallOutput:
    """Takes called and skipped reads, and writes the output at the end.

    Parameters
    ----------
    path : str: the output; `-` is standard output.
    kind : str: entry of `formats.FORMATS`.
    style : Style.
    journal : Journal: new, or of an earlier run.
    min_qscore : float: reads with a lower mean quality are left out of the output.
    min_length : int: reads of fewer bases are left out of the output.

    Attributes
    ----------
    done : set of int: numbers of the reads that the journal held at the start.
    kept : dict of str to int: their number by status.
    called : int: reads called so far, including filtered ones and those of the journal.
    warnings : Counter: reads called by --force, by the reason against it.
    filtered : tuple of str: statuses of reads that the user's filters leave out.
    absent : list of str: selected ids that do not occur; they have rows at the end of the summary.
    """

    def __init__(self, path: str, kind: str, style: Style, journal: Journal, min_qscore: float = 0.0,
                 min_length: int = 0) -> None:  # fmt: skip
        self.path = path
        self.format = FORMATS[kind]
        self.style = style
        self.journal = journal
        self.min_qscore = min_qscore
        self.min_length = min_length
        self.filtered = (f"shorter than {min_length} bases", f"mean quality below {min_qscore:g}")
        self.direct = path == "-" and self.format.streams  # written immediately
        self.done: set[int] = set()
        self.kept: dict[str, int] = {}
        self.called = 0
        self.warnings: Counter[str] = Counter()
        self.absent: list[str] = []
        self._groups: dict[str, dict[str, str]] = {}
        self._number = 0
        self._parts: set[tuple[int, int]] = set()  # of reads of the journal that were split; they are called again
        self._warned = columns(*style.tables).index(WARNING)
        self._files: set[tuple[str, str]] = set()  # unusable files, with the reason
        for _, entry, _ in journal.entries():
            self._note(entry)
            if "part" in entry:  # others of the read may be missing
                self._parts.add((entry["number"], entry["part"]))
                continue
            if "file" not in entry:
                self.done.add(entry["number"])
            self.kept[entry["status"]] = self.kept.get(entry["status"], 0) + 1
            self.called += entry["called"]
        self.whole = sum(self.kept.values())  # reads that a resumed run does not call again

    def write(self, call: Call, hits: Sequence[Any] | None = None) -> str:
        """Take a call and its alignments; return `CALLED`, or the reason why it is left out of the output."""
        short, low = len(call.bases) < self.min_length, call.mean_q < self.min_qscore
        status = self.filtered[0] if short else self.filtered[1] if low else self.format.fault(call.read_id) or CALLED
        self.called += 1
        warning = self._warning(call.record)
        aligned, *others = self.style.tables
        cells = row(call.record, call.samples, status, call, hits, aligned, warning, *others)
        text = "" if status != CALLED else self.format.record(call, hits, self.style)
        group = None
        if self.style.model and status == CALLED:
            made = read_group(call.record, self.style.model, bool(warning), call.barcode)
            group = made if self._is_new(made) else None
        if self.direct:
            sys.stdout.write(text)
            text = ""
        self._append(call.record.number, status, cells, text, group, called=True, part=_part(call.record))
        return status

    def skip(self, record: SignalRecord, samples: int, reason: str) -> None:
        """Take a read that could not be called."""
        aligned, *others = self.style.tables
        cells = row(record, samples, reason, None, None, aligned, "", *others)
        self._append(record.number, reason, cells, part=_part(record))

    def problem(self, number: int, problem: InputError) -> bool:
        """Take an unusable read or unusable files; return whether it is new, not in the journal.

        Parameters
        ----------
        number : int: of the read; for a file, the number of the next read.
        """
        reason = problem.problem
        if problem.record is not None:
            if number in self.done:
                return False
            cells = unread(Path(problem.source).name, problem.record, reason, *self.style.tables)
            self._append(number, "unusable read", cells)
            return True
        kind = problem.kind if isinstance(problem, LeftOut) else "unusable file"
        new = False
        left_out = problem.files if isinstance(problem, LeftOut) else [problem.source]
        why = problem.reason if isinstance(problem, LeftOut) else reason
        for file in map(str, left_out):
            if (file, why) not in self._files:
                new = True
                self._append(number, kind, unread(Path(file).name, "", why, *self.style.tables), file=file)
        return new

    def finish(self, summary: str | None = None) -> None:
        """Write the output and the summary, in input order. Raises `BiorrnError` if one cannot be written."""
        if self.path != "-":
            self.journal.sync()
        if self.direct:
            sys.stdout.flush()
        else:
            texts = (text for _, entry, text in self.journal.entries() if entry["status"] == CALLED)
            comments = tuple(counted_warning(reason, count) for reason, count in self.warnings.items())
            style = dataclasses.replace(self.style, comments=comments)
            self.format.write(self.path, texts, self._groups.values(), style)
        self.write_summary(summary)

    def write_summary(self, summary: str | None) -> None:
        """Write the summary, unless it is None: a row for each read and each unusable file."""
        if summary is not None:
            with write_text(summary) as stream:
                stream.write("\t".join(columns(*self.style.tables)) + "\n")
                stream.writelines(tsv_line(*cells) for cells in self._rows())

    def _warning(self, record: SignalRecord) -> str:
        """Return the warning of a read that was called by force, of a chemistry that the model is not for; else ""."""
        reason = self.style.purpose.misfit(record) if self.style.purpose is not None else ""
        return f"{reason}, called by --force" if reason else ""

    def _is_new(self, group: dict[str, str]) -> bool:
        """Return whether a read group has a new id, or has a warning that the known one of its id lacks."""
        known = self._groups.get(group["ID"])
        return known is None or (WARNED in group["DS"] and WARNED not in known["DS"])

    def finish_empty(self, error: BiorrnError, number: int, summary: str | None) -> None:
        """Write the summary of a run without a usable read; `number` is as for `problem`."""
        if isinstance(error, InputError):
            self.problem(number, error)
        self.write_summary(summary)

    def _rows(self) -> Iterator[list[str]]:
        numbers, starts, places = array("q"), array("q"), array("q")
        for place, entry, _ in self.journal.entries():
            numbers.append(entry["number"])
            starts.append(entry.get("part", 0))
            places.append(place)
        for index in np.lexsort((np.array(starts, np.int64), np.array(numbers, np.int64))):
            yield self.journal.entry(places[index])[0]["row"]
        for read_id in self.absent:
            yield unread("", read_id, ABSENT, *self.style.tables)

    def _append(
        self,
        number: int,
        status: str,
        cells: list[str],
        text: str = "",
        group: dict[str, str] | None = None,
        called: bool = False,
        file: str | None = None,
        part: int | None = None,
    ) -> None:
        """Write an entry to the journal; a read without a number (-1) follows the others.

        `part` is the first sample of a part of a read; one that the journal has is left out.
        """
        number = self._number if number < 0 else number
        if part is not None and (number, part) in self._parts:
            return
        entry: dict[str, Any] = {"number": number, "status": status, "row": cells, "called": called}
        if part is not None:
            entry["part"] = part
        if group:
            entry["group"] = group
        if file is not None:
            entry["file"] = file
        self._note(entry)
        self.journal.append(entry, text)
        self.whole += part is None

    def _note(self, entry: dict[str, Any]) -> None:
        if "file" in entry:
            self._files.add((entry["file"], entry["row"][-1]))
        else:
            self._number = max(self._number, entry["number"] + 1)
        if entry["called"] and (warning := entry["row"][self._warned]):
            self.warnings[warning] += 1
        if "group" in entry and self._is_new(entry["group"]):
            self._groups[entry["group"]["ID"]] = entry["group"]


def _part(record: SignalRecord) -> int | None:
    """Return the first sample of a part of a read; None of a whole one."""
    return record.parent_start if record.parent else None


@contextlib.contextmanager
def open_output(path: str, kind: str, style: Style, must: dict[str, Any], resume: bool = False,
                min_qscore: float = 0.0, wait: float = 0.0, min_length: int = 0) -> Iterator[CallOutput]:  # fmt: skip
    """Open an output with its journal, `PATH.partial`; for standard output the journal is an unnamed file.

    The journal is removed when the block succeeds. Otherwise it is kept if it holds a call.

    Parameters
    ----------
    path, kind, style, min_qscore, min_length : see `CallOutput`. A resumed run takes the command line of the journal.
    must : settings that decide the output, from `resume_settings`.
    resume : bool: continue the journal of an earlier run.
    wait : float: seconds to wait for another process that writes the output.

    Raises
    ------
    BiorrnError: see `base.journal.open_journal`.
    """
    place = None if path == "-" else Path(path + SUFFIX)
    journal = open_journal(place, {"must": must, "command": style.command}, resume, wait)
    output = None
    finished = False
    try:
        style = dataclasses.replace(style, command=journal.head["command"])
        output = CallOutput(path, kind, style, journal, min_qscore, min_length)
        yield output
        finished = True
    finally:
        worth = output is not None and output.called > 0 and journal.count > 0
        journal.close(remove=finished or not worth)
        if output is not None and worth and not finished and place is not None:
            print(f"biorrn: {place}: keeps {output.whole} reads; add --resume to continue", file=sys.stderr)


def mapped(calls: Iterable[Call], mapper: Mapper | None, threads: int = 1) -> Iterator[tuple[Call, list[Any] | None]]:
    """Yield calls in order with their alignments, mapped on `threads` threads; None without a mapper."""
    if mapper is None:
        return ((call, None) for call in calls)
    found = mapper.hits
    return in_order(lambda call: (call, found(call.bases)), calls, threads, 4 * threads)


def resume_settings(
    stored: Stored,
    files: Iterable[Path],
    ids: Collection[str] | None = None,
    reference: Path | None = None,
    *,
    engine: str,
    **others: Any,
) -> dict[str, Any]:
    """Return the settings that decide the output; a run is resumed only with the same. See `open_output`.

    Batch size and threads are not among them. Files are identified by path, size and modification time.

    Parameters
    ----------
    stored : Stored: identified by the checksum of weights and recipe, and by its name, which is in the read groups.
    files : Path of each signal file, in order.
    ids : selected read ids.
    reference : FASTA file.
    engine : str: `Caller.engine`; other kernels round differently, and now and then call another base.
    others : further options; `min_qscore` stands for `--min-qscore`.
    """
    listed = None if ids is None else hashlib.sha256("\n".join(sorted(ids)).encode())
    return {
        **stored.settings(**others),
        "engine": engine,
        "--read-ids": f"{len(ids)} ids ({listed.hexdigest()[:12]})" if ids is not None and listed else None,
        "--reference": None if reference is None else {str(reference): stamp(reference)},
        "input": {str(path): stamp(path) for path in files},
    }


def check_outputs(output: str, summary: str | None, kind: str, reference: Path | None, resume: bool) -> None:
    """Refuse contradictory settings before any work is done.

    Raises
    ------
    ConfigError: alignments that no output holds, standard output resumed, or two outputs with one name.
    BiorrnError: an output cannot be written.
    """
    if resume and output == "-":
        raise ConfigError("--resume: standard output cannot be resumed; name a file with -o")
    if reference is not None and kind == "fastq" and summary is None:
        raise ConfigError("--reference: FASTQ holds no alignments; write SAM, BAM or CRAM, or ask for --summary too")
    if summary is not None and _key(output) == _key(summary):
        raise ConfigError(f"--summary: found {summary}, which is also the output")
    for path in (output, summary):
        if path not in (None, "-") and Path(path).is_dir():
            raise BiorrnError(f"{path}: cannot be written: it is a folder")
    if summary not in (None, "-"):
        folder = Path(summary).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BiorrnError(f"{summary}: cannot be written: {error.strerror}") from error
        if not os.access(folder, os.W_OK):
            raise BiorrnError(f"{summary}: cannot be written: the folder is not writable")


def _key(path: str) -> str:
    return path if path == "-" else str(Path(path).resolve())

"""Reads to be called: selection by id, numbering, check of their chemistry, and skipping of finished reads."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from biorrn.base.errors import BiorrnError, ConfigError, InputError, OnProblem
from biorrn.base.files import open_text
from biorrn.base.lookup import lookup
from biorrn.base.terminal import progress
from biorrn.nanopore.chemistry import CHEMISTRIES, CONTRADICTORY, UNKNOWN, Found, Purpose, chemistry_of, same_rate
from biorrn.nanopore.readers.files import NoReads, find_signal_files, read_all, read_runs
from biorrn.nanopore.readers.summary import Repeats
from biorrn.sequences.records import SignalRecord

BYTES_A_SAMPLE = 1.2  # of compressed signal; used until the first file is done
COLUMN = "read_id"
MANY = 500  # files; from this number on the check shows its progress
UNSURE = "the metadata leave the chemistry open"
Kind = tuple[Found, float]  # chemistry and sample rate (Hz, 0 where unknown)


def is_of(found: Found, chemistry: str) -> bool:
    """Return whether reads are of a chemistry, or may be; `chemistry` as for `Intake`."""
    return chemistry in found.names or chemistry == found.name


class Intake:
    """The reads of files and folders, in a fixed order.

    Parameters
    ----------
    paths : files and folders.
    ids : read ids to select; None selects all.
    limit : int or None: most reads to select.
    done : numbers of reads that an earlier run has finished; they are skipped.
    chemistry : an entry of `CHEMISTRIES`, "unknown" or "contradictory": selects the reads that are of it by their
        metadata, or may be.

    Attributes
    ----------
    files : signal files among `paths`.
    found : ids of `ids` that occurred so far.
    count : reads read so far, unusable ones included.
    known : samples of reads that are not called: not selected, or done.
    others : reads of another chemistry than the one selected, so far.

    Raises
    ------
    ConfigError: `chemistry` is unknown.
    """

    def __init__(self, paths: Iterable[str | Path], ids: Collection[str] | None = None, limit: int | None = None,
                 done: Collection[int] = (), chemistry: str | None = None) -> None:  # fmt: skip
        if chemistry is not None:
            lookup(dict.fromkeys([*CHEMISTRIES, UNKNOWN, CONTRADICTORY]), chemistry, "--chemistry")
        self.paths = list(paths)
        self.files = find_signal_files(self.paths, lambda problem: None)  # reported when they are read
        self.ids = None if ids is None else set(ids)
        self.limit = limit
        self.done = done
        self.chemistry = chemistry
        self.found: set[str] = set()
        self.count = self.taken = self.known = self.others = 0
        self._samples = 0  # of all reads met
        self._left = {str(path): path.stat().st_size for path in self.files}
        self._bytes = sum(self._left.values())
        self._finished = (0, 0)  # bytes and samples of the files that are done
        self._file = ""
        self._repeats = Repeats()
        self._faults: dict[str, tuple[int, str]] = {}  # kind -> how many reads, and the first
        self._purpose: Purpose | None = None
        self._say: Callable[[str], None] = lambda line: None
        self._force = self._unsure = False
        self._survey: Survey | None = None

    def survey(self, part: bool = False) -> Survey:
        """Return the chemistries of the reads, by the metadata of their files.

        Where reads are selected by id and their files are of several chemistries, it is that of the first one. `part`
        as for `check`.

        Raises
        ------
        ConfigError: no read is of the chemistry selected.
        """
        if self._survey is None:
            files = self.files if self.chemistry else self.files[: self.limit]
            self._survey = Survey(files, self.chemistry, part)
            if self.ids is not None and len(self._survey.chemistries()) > 1:
                self._survey.runs = self._first_selected() or self._survey.runs
        return self._survey

    def _first_selected(self) -> list[SignalRecord]:
        """Return the first read selected by id, in a list; none where there is none."""
        ids = self.ids or set()
        with contextlib.suppress(BiorrnError):
            for record in read_all(self.paths, lambda problem: None):
                if record.read_id in ids:
                    return [record]
        return []

    def check(
        self,
        purpose: Purpose,
        say: Callable[[str], None] = lambda line: None,
        *,
        force: bool = False,
        part: bool = False,
    ) -> None:
        """Refuse reads of a chemistry that the model is not for, by the run metadata of the files.

        Where reads are selected by id, their files may hold others, so the first selected read is checked instead.
        Reads that turn out later to be unfit are skipped one by one; see `caller.unfit`.

        Parameters
        ----------
        purpose : Purpose of the model.
        say : called with warnings: reads called by `force`, and, once, an unknown chemistry.
        force : bool: accept them.
        part : bool: the files are a shard of a run, so that another sample rate in all of them is no error, nor that
            none is of the chemistry selected.

        Raises
        ------
        InputError: see `Survey.check`.
        """
        self._purpose, self._say, self._force = purpose, say, force
        if not purpose.names:
            say(f"warning: {purpose.model} has no known chemistry, so reads are not checked")
        if self.ids is None:
            warnings = self.survey(part).check(purpose, force=force, part=part)
            self._unsure = bool(purpose.names) and any(UNSURE in line for line in warnings)
            for line in warnings:
                say(line)

    def _check_selected(self, record: SignalRecord) -> None:
        """Check the first read selected by id, and warn of the first read of unknown chemistry."""
        purpose = self._purpose
        if purpose is None or not purpose.names:
            return
        fits = purpose.fits(chemistry_of(record))
        if fits is None and not self._unsure:
            self._unsure = True
            found = chemistry_of(record).evidence or "no flow cell, no kit"
            self._say(f"warning: {record.source}: {UNSURE} (first: {found}); called as {purpose}")
        if self.ids is not None and len(self.found) == 1 and fits is False and not self._force:
            raise InputError(record.source, purpose.refusal(record), record.read_id)

    def reads(self, on_problem: OnProblem, allow_empty: bool = False) -> Iterator[SignalRecord]:
        """Yield the reads to be called, with their `number`.

        Parameters
        ----------
        on_problem : called with each unusable file or read; meanwhile `count` is the number of the read.
        allow_empty : bool: yield nothing where no read can be used. By default this is an error.

        Raises
        ------
        BiorrnError: no read could be used.
        """

        def report(problem: InputError) -> None:
            on_problem(problem)
            self.count += problem.record is not None

        for record in read_all(self.paths, report) if not allow_empty else _any(self.paths, report):
            number, self.count = self.count, self.count + 1
            self._count_samples(record)
            if self.ids is not None and record.read_id not in self.ids:
                self.known += len(record.raw)
                continue
            if self.chemistry is not None and not is_of(chemistry_of(record), self.chemistry):
                self.known += len(record.raw)
                self.others += 1
                continue
            self._count_faults(record)
            self.found.add(record.read_id)
            self.taken += 1
            self._check_selected(record)
            if number in self.done:
                self.known += len(record.raw)
            else:
                yield replace(record, number=number)
            if self.taken == self.limit:
                return

    def missing(self) -> list[str]:
        """Return the selected ids that did not occur; none where `limit` ended the search."""
        if self.ids is None or self.taken == self.limit:
            return []
        return sorted(self.ids - self.found)

    def warnings(self) -> list[str]:
        """Return a line for each kind of metadata fault of the selected reads, and one for repeated ids."""
        lines = [
            f"warning: {count} read{'s' if count > 1 else ''} with a fault in what calling does not need, the first: "
            f"{first}" for count, first in self._faults.values()
        ]  # fmt: skip
        return lines + ([f"warning: {self._repeats.line()}"] if self._repeats.count else [])

    def _count_faults(self, record: SignalRecord) -> None:
        self._repeats.add(record)
        kinds = {fault.partition(": ")[0]: fault for fault in reversed(record.faults)}  # the first fault of each field
        for kind, fault in reversed(kinds.items()):
            count, first = self._faults.get(kind, (0, f"{record.source}: record '{record.read_id:.60}': {fault}"))
            self._faults[kind] = (count + 1, first)

    def expected(self) -> float | None:
        """Return an estimate of all samples to be called; None while it is unknown."""
        goal = [self.limit] if self.limit else []
        goal += [len(self.ids)] if self.ids is not None else []
        if goal:
            called = self._samples - self.known
            return called / self.taken * max(min(goal), self.taken) if self.taken and not self.done else None
        size, samples = self._finished
        rate = samples / size if samples and size else 1 / BYTES_A_SAMPLE
        return max(samples + (self._bytes - size) * rate, self._samples) - self.known

    def _count_samples(self, record: SignalRecord) -> None:
        file = str(record.source)
        if file != self._file:
            self._finished = (self._finished[0] + self._left.pop(self._file, 0), self._samples)
            self._file = file
        self._samples += len(record.raw)


class Survey:
    """The chemistries and sample rates in signal files, by the metadata of their runs; no read is decoded.

    Attributes
    ----------
    files : int: readable files; unreadable ones are reported when their reads are read.
    runs : one SignalRecord without samples for each chemistry, evidence and sample rate, in the order of the files.
    """

    def __init__(self, files: Sequence[Path], chemistry: str | None = None, part: bool = False) -> None:
        """Read the metadata of files; `chemistry` as for `Intake`, `part` as for its `check`.

        Raises
        ------
        ConfigError: no run is of the chemistry asked for, in files that are not a part.
        """
        self._total = len(files)
        self._kinds: Counter[frozenset[Kind]] = Counter()  # files by the kinds of their runs
        first: dict[Kind, SignalRecord] = {}
        shown = len(files) >= MANY
        with progress("chemistry", "files", len(files)) if shown else contextlib.nullcontext(lambda n: None) as advance:
            for file in files:
                kinds: set[Kind] = set()
                with contextlib.suppress(InputError):
                    for run in read_runs(file):
                        kind = chemistry_of(run), run.sample_rate if run.sample_rate > 0 else 0.0
                        kinds.add(kind)
                        first.setdefault(kind, run)
                self._kinds[frozenset(kinds)] += 1
                advance(1)
        if chemistry is not None:
            all_of = self.chemistries()
            kept = {kind for kind in first if is_of(kind[0], chemistry)}
            if first and not kept and not part:
                known = ", ".join(f"{name} {count}" for name, count in all_of.most_common())
                raise ConfigError(f"--chemistry {chemistry}: no read is of it; the files are of {known}")
            first = {kind: run for kind, run in first.items() if kind in kept}
            left: Counter[frozenset[Kind]] = Counter()
            for kinds_of_file, count in self._kinds.items():
                if kinds_of_file & kept or not kinds_of_file:
                    left[kinds_of_file & kept] += count
            self._kinds, self._total = left, sum(left.values())
        self.runs = list(first.values())

    def chemistries(self) -> Counter[str]:
        """Return the number of files with runs of each chemistry, by its name."""
        counts: Counter[str] = Counter()
        for kinds, count in self._kinds.items():
            counts.update(dict.fromkeys({found.name for found, _ in kinds}, count))
        return counts

    def check(self, purpose: Purpose, *, force: bool = False, part: bool = False) -> list[str]:
        """Compare the runs with the purpose of a model; return warnings.

        Parameters
        ----------
        force, part : see `Intake.check`.

        Raises
        ------
        InputError: the chemistry of a file, or the sample rate of all, is not the model's, and `force` is False.
        """
        verdicts: dict[Kind, set[str]] = {}  # misfit, another sample rate, unknown chemistry
        first: dict[str, SignalRecord] = {}
        for run in self.runs:
            found = chemistry_of(run)
            fits = purpose.fits(found)
            kind = "misfit" if fits is False else "unknown" if fits is None else "fits"
            rate = "rate" if run.sample_rate > 0 and not same_rate(run.sample_rate, purpose.rate) else "usual"
            verdicts[found, run.sample_rate if run.sample_rate > 0 else 0.0] = {kind, rate}
            for name in (kind, rate):
                first.setdefault(name, run)
        apart: Counter[str] = Counter()  # files by verdict
        for kinds, count in self._kinds.items():
            apart.update(dict.fromkeys(set().union(*(verdicts[kind] for kind in kinds)), count))
        counts = self.chemistries()
        of_chemistry = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        why = "misfit" if apart["misfit"] else "rate" if apart["rate"] and not apart["usual"] and not part else ""
        if why and not force:
            mixed = f" (among all files: {of_chemistry})" if len(counts) > 1 else ""
            raise InputError(first[why].source, purpose.refusal(first[why], mixed))
        warnings = []
        if why:
            share = f"{apart[why]} of {self._total} files"
            does = "do" if apart[why] > 1 else "does"
            warnings.append(f"warning: {share} {does} not fit {purpose.model}, which is for {purpose}; called by "
                            f"--force (files: {of_chemistry})")  # fmt: skip
        if apart["unknown"] and purpose.names:
            run = first["unknown"]
            stated = chemistry_of(run).evidence or "no flow cell, no kit"
            warnings.append(f"warning: {apart['unknown']} of {self._total} files: {UNSURE} (first: {run.source}: "
                            f"{stated}); called as {purpose}")  # fmt: skip
        return warnings


def _any(paths: Iterable[str | Path], report: OnProblem) -> Iterator[SignalRecord]:
    """Yield the reads of `read_all`; nothing where there are none."""
    try:
        yield from read_all(paths, report)
    except NoReads:
        pass  # each reason was reported
    except InputError as problem:  # the only one
        report(problem)


def read_ids(path: str | Path) -> set[str]:
    """Return the ids of a text file: one per line, or the column `read_id` of a tab-separated table; `-` is stdin.

    Raises
    ------
    InputError: the file has no id, a line has more than one, or a row of the table is too short.
    """
    found: set[str] = set()
    place: int | None = None  # of the column; None: no table
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            cells = line.rstrip("\r\n").split("\t")
            if number == 1 and COLUMN in cells:
                place = cells.index(COLUMN)
            elif not line.strip():
                continue
            elif place is not None:
                if len(cells) <= place or not cells[place].strip():
                    raise InputError(path, f"line {number} has no cell in the column {COLUMN}")
                found.add(cells[place].strip())
            elif len(line.split()) > 1:
                raise InputError(
                    path, f"line {number}: found '{line.strip()[:60]}'; allowed is one id a line, or a table with tabs "
                    f"and a column {COLUMN}"
                )  # fmt: skip
            else:
                found.add(line.strip())
    if not found:
        raise InputError(path, "holds no read id")
    return found

"""Counts and messages of a streaming command on standard error: skipped records, flags, a final line."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from biorrn.base.errors import BiorrnError, InputError, LeftOut
from biorrn.base.terminal import human, plural
from biorrn.sequences.records import ProteinRecord, SignalRecord

if TYPE_CHECKING:
    from biorrn.sequences.tables.reader import Reading

# `ProteinRecord.changes` -> start of the message about it
CHANGES = {"gaps_removed": "gaps removed from", "modifications_removed": "modifications of residues removed from"}
NAMED = 3  # proteins that the model does not know, of one line
SHOWN = 10  # of each reason, this many are reported one by one; all are counted


class Tally:
    """Counts of results, skipped records by reason, and flags.

    Parameters
    ----------
    what : str: the command.
    units : str: units that `add` counts, in the order of the final line.
    """

    def __init__(self, what: str, *units: str) -> None:
        self.what = what
        self.done = dict.fromkeys(units, 0)
        self.skipped: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()
        self.marked = 0  # results with a flag or more
        self.left_out: Counter[str] = Counter()  # records of a sequence file, by flag
        self.changed: Counter[str] = Counter()
        self.repeated = 0
        self.unknown: Counter[str] = Counter()  # flags of proteins that the model does not know
        self.strangers, self.first = 0, list[str]()
        self.start = time.monotonic()

    def add(self, **counts: int) -> None:
        """Count what was done, by unit."""
        for unit, count in counts.items():
            self.done[unit] += count

    def flag(self, flags: Iterable[str], results: int = 1) -> None:
        """Count results with these flags."""
        self.flagged.update(dict.fromkeys(flags, results))
        self.marked += results * bool(flags)

    def outside(self, names: Sequence[str], reasons: Iterable[str] | Mapping[str, int]) -> None:
        """Note proteins unlike the training data, with the flags of the reasons or how often each comes."""
        self.unknown.update(reasons)
        self.strangers += len(names)
        for name in names:
            if len(self.first) == NAMED:
                break
            if name not in self.first:
                self.first.append(name)

    def say_outside(self, model: str, inputs: str, widened: bool | None, unit: str) -> None:
        """Report in one line the proteins unlike the training data, and their intervals.

        Parameters
        ----------
        inputs : the proteins that the model is for; "" where unknown.
        widened : whether their intervals were measured on such proteins; None for a model without intervals.
        """
        if not self.strangers:
            return
        shown = ", ".join(self.first) + (", ..." if self.strangers > len(self.first) else "")
        why = ", ".join(f"{reason}: {count}" for reason, count in self.unknown.most_common())
        known = f" ({inputs})" if inputs else ""
        gets = {True: "; their intervals are those measured for such proteins", False: "; they have no interval"}
        self.say(
            f"{self.strangers} of {self.done[unit]} {unit} are unlike what {model} knows{known}: {shown} ({why}): "
            f"their values are extrapolations{gets.get(widened, '') if widened is not None else ''}"
        )

    def skip_read(self, record: SignalRecord, reason: str) -> None:
        """Report and count a read that was left out."""
        self._skip(f"{record.source}: record '{record.read_id:.80}': {reason}", reason)

    def skip_input(self, problem: InputError) -> None:
        """Report and count a file or read that its reader skipped."""
        if isinstance(problem, LeftOut):
            self.say(str(problem))
            self.skipped[problem.kind] += len(problem.files)
            return
        self._skip(str(problem), "unusable read" if problem.record else "unusable file")

    def skip_record(self, problem: InputError) -> None:
        """Report and count a record of a file that cannot be used."""
        self.left_out[problem.flag] += 1
        self._skip(str(problem), problem.flag)

    def skip_call(self, problem: InputError, source: object) -> None:
        """Report and count a called read that cannot be used, of a file as the user named it; there is no --strict."""
        self._skip(str(InputError(str(source), problem.problem, problem.record)), problem.flag)

    def repeat(self, name: str) -> None:
        """Count a record whose id came before."""
        self.repeated += 1

    def watched(
        self, records: Iterable[ProteinRecord], left_out: Callable[[ProteinRecord], None] | None = None
    ) -> Iterator[ProteinRecord]:
        """Yield the records and count their changes; records with a problem go to `left_out`, where given."""
        for record in records:
            self.changed.update(record.changes)
            if record.problem and left_out is not None:
                left_out(record)
                continue
            yield record

    def took(self, reading: Reading) -> None:
        """Report what was found in a table or sequence file, and the rows left out."""
        for line in reading.lines():
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line on standard error."""
        print(f"biorrn {self.what}: {line}", file=sys.stderr)

    def keep(self, kept: dict[str, int], done: str = "called") -> None:
        """Count what an earlier run skipped, and report the results kept from it.

        Parameters
        ----------
        kept : status -> how many; `done` is the status of what was not left out.
        """
        if kept:
            self.say(f"resumed: {sum(kept.values())} reads already done, {kept.get(done, 0)} of them called")
        self.skipped.update({reason: count for reason, count in kept.items() if reason != done})

    def leave_out(self, reason: str) -> None:
        """Count a record that was left out on request, without a message."""
        self.skipped[reason] += 1

    def missing(self, names: list[str], reason: str) -> None:
        """Count and report requested names that are absent, in one line."""
        if names:
            shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            self.say(f"{reason}: {len(names)} ({shown})")
            self.skipped[reason] += len(names)

    def _skip(self, line: str, reason: str) -> None:
        self.skipped[reason] += 1
        if self.skipped[reason] <= SHOWN:
            more = "" if self.skipped[reason] < SHOWN else " (further ones are only counted)"
            print(f"biorrn {self.what}: skipped: {line}{more}", file=sys.stderr)

    def require(self, unit: str, problem: str) -> None:
        """Raise when nothing at all was done.

        Raises
        ------
        BiorrnError: the count of `unit` is 0; names what was skipped.
        """
        if not self.done[unit]:
            raise BiorrnError(problem + (f"; skipped {_listed(self.skipped)}" if self.skipped else ""))

    def line(self, seconds: float) -> str:
        """Return the final line: counts, time, rates, flags and skipped records.

        >>> tally = Tally("basecall", "reads", "samples")
        >>> tally.add(reads=2, samples=40_000)
        >>> tally.line(4.0)
        'basecall: 2 reads, 40 ksamples in 4.0 s (0.5 reads/s, 10 ksamples/s)'
        """
        counts = ", ".join(
            f"{human(count)}{unit.removesuffix('s') if count == 1 else unit}" for unit, count in self.done.items()
        )
        rates = ", ".join(f"{human(count / max(seconds, 1e-9))}{unit}/s" for unit, count in self.done.items())
        text = f"{self.what}: {counts} in {seconds:.1f} s ({rates})"
        for name, counter, total in (("flagged", self.flagged, self.marked), ("skipped", self.skipped, 0)):
            if counter:
                text += f"; {name} {_listed(counter, total)}"
        return text

    def report(self) -> None:
        """Print the changes, repeated ids and skipped records of the input, then the final line."""
        for change, what in CHANGES.items():
            if self.changed[change]:
                self.say(f"{what} {plural(self.changed[change], 'sequence')}")
        if self.repeated:
            ids = "id was" if self.repeated == 1 else "ids were"
            self.say(f"warning: {self.repeated:,} {ids} given before; each record is kept")
        if self.left_out:
            records = "record was" if self.left_out.total() == 1 else "records were"
            self.say(f"warning: {self.left_out.total():,} {records} left out; with --strict the first ends the run")
        print(self.line(time.monotonic() - self.start), file=sys.stderr)


def _listed(counts: Counter[str], total: int = 0) -> str:
    """Return the sum of the counts (or `total`), and each reason with its count."""
    return f"{total or counts.total()} ({', '.join(f'{reason}: {count}' for reason, count in counts.most_common())})"

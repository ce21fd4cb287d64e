"""What a streaming command says on standard error: each thing it left out, and one line at the end."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from biorrn.base.errors import BiorrnError, InputError, LeftOut
from biorrn.base.terminal import human
from biorrn.sequences.records import ProteinRecord, SignalRecord
from biorrn.sequences.tables.reader import Reading

# what was removed from a sequence, see `ProteinRecord.changes` -> how a line begins that tells of it
CHANGES = {"gaps_removed": "gaps removed from", "modifications_removed": "modifications of residues removed from"}
NAMED = 3  # proteins that the model does not know, of one line
SHOWN = 10  # of each reason, this many are reported one by one; all are counted


class Tally:
    """Counts what was done, what was left out and why, and what was flagged.

    Parameters
    ----------
    what : str: the command.
    units : str: what `add` counts, in the order in which the last line names them.
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

    def flag(self, flags: list[str]) -> None:
        """Count the flags of one result."""
        self.flagged.update(flags)
        self.marked += bool(flags)

    def outside(self, name: str, reasons: list[str]) -> None:
        """Note a protein that the model does not know, with the flags that say why."""
        self.unknown.update(reasons)
        self.strangers += 1
        if len(self.first) < NAMED and name not in self.first:
            self.first.append(name)

    def say_outside(self, model: str, inputs: str, widened: bool | None, unit: str) -> None:
        """Say in one line how many proteins the model does not know, the first of them, why, and what they get.

        Parameters
        ----------
        inputs : which proteins the model is for; "" where that is not said.
        widened : whether their intervals are those measured for such proteins; None of a model without intervals.
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
        """Report and count a file, or a read in it, that its reader left out."""
        if isinstance(problem, LeftOut):
            self.say(str(problem))
            self.skipped[problem.kind] += len(problem.files)
            return
        self._skip(str(problem), "unusable read" if problem.record else "unusable file")

    def skip_record(self, problem: InputError) -> None:
        """Report and count a record of a file that cannot be used."""
        self.left_out[problem.flag] += 1
        self._skip(str(problem), problem.flag)

    def repeat(self, name: str) -> None:
        """Count a record whose id came before."""
        self.repeated += 1

    def watched(
        self, records: Iterable[ProteinRecord], left_out: Callable[[ProteinRecord], None] | None = None
    ) -> Iterator[ProteinRecord]:
        """Yield the records, and count what was removed from their sequences; `left_out` takes those with a problem."""
        for record in records:
            self.changed.update(record.changes)
            if record.problem and left_out is not None:
                left_out(record)
                continue
            yield record

    def took(self, reading: Reading) -> None:
        """Say what was made of a table or a sequence file, and what was left out of it."""
        for line in reading.lines():
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line on standard error."""
        print(f"biorrn {self.what}: {line}", file=sys.stderr)

    def keep(self, kept: dict[str, int], done: str = "called") -> None:
        """Count what an earlier run has left out, and say how much of its work is kept; nothing, if it kept none.

        Parameters
        ----------
        kept : status -> how many; `done` is the status of what was not left out.
        """
        if kept:
            self.say(f"resumed: {sum(kept.values())} reads already done, {kept.get(done, 0)} of them called")
        self.skipped.update({reason: count for reason, count in kept.items() if reason != done})

    def leave_out(self, reason: str) -> None:
        """Count something that was left out as its user wished, without a line of its own."""
        self.skipped[reason] += 1

    def missing(self, names: list[str], reason: str) -> None:
        """Count and report what was asked for and is not there; all in one line."""
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
        """Return the last line: what was done, in what time, at what rates, and what was left out.

        >>> tally = Tally("basecall", "reads", "samples")
        >>> tally.add(reads=2, samples=40_000)
        >>> tally.line(4.0)
        'basecall: 2 reads, 40 ksamples in 4.0 s (0.5 reads/s, 10 ksamples/s)'
        """
        counts = ", ".join(f"{human(count)}{unit}" for unit, count in self.done.items())
        rates = ", ".join(f"{human(count / max(seconds, 1e-9))}{unit}/s" for unit, count in self.done.items())
        text = f"{self.what}: {counts} in {seconds:.1f} s ({rates})"
        for name, counter, total in (("flagged", self.flagged, self.marked), ("skipped", self.skipped, 0)):
            if counter:
                text += f"; {name} {_listed(counter, total)}"
        return text

    def report(self) -> None:
        """Print what was found in the input, in a line a kind, then the last line."""
        for change, what in CHANGES.items():
            if self.changed[change]:
                self.say(f"{what} {self.changed[change]:,} sequence{'s' * (self.changed[change] > 1)}")
        if self.repeated:
            ids = "id was" if self.repeated == 1 else "ids were"
            self.say(f"warning: {self.repeated:,} {ids} given before; each record is kept")
        if self.left_out:
            records = "record was" if self.left_out.total() == 1 else "records were"
            self.say(f"warning: {self.left_out.total():,} {records} left out; with --strict the first ends the run")
        print(self.line(time.monotonic() - self.start), file=sys.stderr)


def _listed(counts: Counter[str], total: int = 0) -> str:
    """Return how many there are (`total`, where one may count for several reasons), and each reason with its count."""
    return f"{total or counts.total()} ({', '.join(f'{reason}: {count}' for reason, count in counts.most_common())})"

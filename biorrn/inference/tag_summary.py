"""What `biorrn predict` says of the proteins that a model has tagged: a line for each, and one for all."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from biorrn.inference.summary import SHOWN, Tally
from biorrn.inference.tagging import Tagging
from biorrn.inference.writers.tables import open_table


class TagTally(Tally):
    """Counts proteins, residues and states; says a line a protein, of the first `SHOWN`.

    Parameters
    ----------
    states : str: of the model; "" where it gives values.
    names : what the states, or the columns of values, are called.
    """

    def __init__(self, states: str, names: Sequence[str]) -> None:
        super().__init__("predict", "sequences", "residues")
        self.states, self.names = states, names
        self.called: Counter[str] = Counter()
        self.sure = 0.0  # sum of the confidence over residues

    def take(self, found: Tagging) -> None:
        """Count a result and say what it is."""
        self.add(sequences=1, residues=len(found.sequence))
        self.flag(found.flags)
        self.called.update(found.states)
        if self.states:
            self.sure += float(found.confidence.sum())
        if self.done["sequences"] <= SHOWN:
            self.say(self.describe(found))
        elif self.done["sequences"] == SHOWN + 1:
            self.say("further sequences are only counted; --summary has a line for each")

    def describe(self, found: Tagging) -> str:
        """Return a result in one line."""
        length = len(found.sequence)
        parts = [f"{found.id}: {length:,} residues"]
        if self.states:
            parts.append(self._composition(Counter(found.states), length))
            parts.append(f"mean confidence {float(found.confidence.mean()) if length else 0.0:.2f}")
        else:
            means = found.scores.mean(axis=0).tolist() if length else []
            parts += [f"mean {name} {mean:.3g}" for name, mean in zip(self.names, means, strict=False)]
        return ", ".join([*parts, *found.flags])

    def _composition(self, counts: Counter[str], total: int) -> str:
        named = zip(self.states, self.names, strict=True)
        return ", ".join(f"{name} {100 * counts[state] / max(total, 1):.0f} %" for state, name in named)

    def close(self) -> None:
        """Say the composition of all residues, and the last line."""
        total = self.done["residues"]
        if self.states and total:
            self.say(f"all residues: {self._composition(self.called, total)}, mean confidence {self.sure / total:.2f}")
        self.report()


@contextlib.contextmanager
def summary_table(path: str | Path | None, states: str, columns: Sequence[str]) -> Iterator[Callable[[Tagging], None]]:
    """Yield the function that writes a row a protein: id, length, share of each state, mean confidence, flags.

    Of a model of values the row has the mean of each. With None nothing is written.
    """
    if path is None:
        yield lambda found: None
        return
    middle = [*columns, "confidence"] if states else list(columns)
    kinds: dict[str, type] = {"id": str, "length": int, **dict.fromkeys(middle, float), "flags": str}
    with open_table(path, kinds) as write:

        def add(found: Tagging) -> None:
            if found.left_out:
                write([found.id, *[None] * (len(kinds) - 2), ",".join(found.flags)])
                return
            length = max(len(found.sequence), 1)
            if states:
                values = [found.states.count(state) / length for state in states]
                values.append(float(found.confidence.sum()) / length)
            else:
                values = (found.scores.sum(axis=0) / length).tolist()
            write([found.id, len(found.sequence), *values, ",".join(found.flags) or "."])

        yield add

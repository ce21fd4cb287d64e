"""Which reads became training data and why the others did not: counts, a table, and the limits that decide."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from biorrn.files import tsv_line, write_text

COLUMNS = ("read_id", "status", "reason", "identity", "coverage", "mean_q", "bases", "reference")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a read must reach.

    Attributes
    ----------
    identity : float: equal bases over columns of its alignment.
    coverage : float: part of its bases that is aligned.
    mean_q : float: Phred score of its mean error probability; a read without qualities passes.
    dwell : (float, float): samples a base, least and most.
    """

    identity: float = 0.0
    coverage: float = 0.0
    mean_q: float = 0.0
    dwell: tuple[float, float] = (3.0, 60.0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a read; NaN where it is not."""

    identity: float = math.nan
    coverage: float = math.nan
    mean_q: float = math.nan
    dwell: float = math.nan
    reference: str = ""


def below(facts: Facts, limits: Limits) -> str | None:
    """Return why a read does not reach the limits, or None; what is not known is not held against it.

    >>> below(Facts(identity=0.8), Limits(identity=0.9))
    'identity below 0.9'
    """
    if facts.mean_q < limits.mean_q:
        return f"mean quality below {limits.mean_q:g}"
    if facts.coverage < limits.coverage:
        return f"coverage below {limits.coverage:g}"
    if facts.identity < limits.identity:
        return f"identity below {limits.identity:g}"
    if facts.dwell < limits.dwell[0] or facts.dwell > limits.dwell[1]:
        return f"dwell beyond {limits.dwell[0]:g} to {limits.dwell[1]:g} samples a base"
    return None


class ReadReport:
    """Takes the fate of each read; writes it as a row of a table where there is a stream.

    A source of labels calls `drop` or `keep`; `prepare_signal` then says by `done` what came of a kept one.

    Attributes
    ----------
    counts : Counter: reads and bases by what became of them.
    """

    def __init__(self, counts: Counter[str] | None = None, stream: IO[str] | None = None) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._stream = stream
        self._kept: dict[str, Facts] = {}
        self._identities: dict[str, list[float]] = {"kept": [], "dropped": []}
        if stream is not None:
            stream.write("\t".join(COLUMNS) + "\n")

    def drop(self, read_id: str, reason: str, facts: Facts | None = None) -> None:
        """Count a read that gives no labels."""
        self.counts[f"reads dropped: {reason}"] += 1
        self._row(read_id, "dropped", reason, facts or Facts(), 0)

    def keep(self, read_id: str, facts: Facts) -> None:
        """Take the facts of a read whose labels go on to be prepared."""
        self._kept[read_id] = facts

    def done(self, read_id: str, fault: str | None, bases: int) -> None:
        """Take what became of a read's labels: why they could not be used, or how many bases were written."""
        facts = self._kept.pop(read_id, None) or Facts()
        reason = (fault or "").removeprefix("reads dropped: ")
        self._row(read_id, "dropped" if fault else "kept", reason, facts, bases)

    def summary(self) -> dict[str, Any]:
        """Return the identities of the reads kept and dropped, quartiles; {} where none is known."""
        found = {}
        for status, values in self._identities.items():
            if values:
                low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
                found[status] = {
                    "reads": len(values),
                    "lower_quartile": float(low),
                    "median": float(middle),
                    "upper_quartile": float(high),
                }
        return found

    def _row(self, read_id: str, status: str, reason: str, facts: Facts, bases: int) -> None:
        if not math.isnan(facts.identity):
            self._identities[status].append(facts.identity)
        if self._stream is not None:
            numbers = [_number(value) for value in (facts.identity, facts.coverage, facts.mean_q)]
            cells = [read_id, status, reason or ".", *numbers, str(bases), facts.reference or "."]
            self._stream.write(tsv_line(*cells))


@contextlib.contextmanager
def open_report(path: str | Path | None) -> Iterator[ReadReport]:
    """Open a report that is written as a table to `path`, if there is one; it appears whole or not at all."""
    if path is None:
        yield ReadReport()
        return
    with write_text(path) as stream:
        yield ReadReport(stream=stream)


def _number(value: float) -> str:
    return "." if math.isnan(value) else f"{value:.4f}"

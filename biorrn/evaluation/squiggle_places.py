"""Where in its signal each base of a call begins: by the caller's own move table, or by a model that reads it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from biorrn.errors import BiorrnError
from biorrn.evaluation.sequences import BaseCall, has_moves
from biorrn.readers.bam import BamCalls
from biorrn.readers.calls import parse_bases
from biorrn.readers.records import SignalRecord

if TYPE_CHECKING:
    from biorrn.inference.basecall import Caller

MOVES = "move table"


@dataclass(frozen=True, slots=True)
class Placed:
    """Bases of a call with their samples.

    Attributes
    ----------
    by : str: "move table" or the name of a model.
    first : int: base of the call to which the first start belongs.
    starts : int64 array (n,): first sample of each base, counted in the raw signal.
    end : int: one past the last sample of the last base.
    """

    by: str
    first: int
    starts: np.ndarray
    end: int


class Places:
    """Finds the bases of reads, in a `with` statement; the model is loaded when a read first needs it."""

    def __init__(self, reads: Path, reference: Path, model: str | None = None) -> None:
        """Take the file of the calls, the reference (which CRAM needs), and a model, by default the shipped one.

        Raises
        ------
        InputError: the file cannot be read, or holds RNA.
        """
        given = reference if reads.suffix.lower() == ".cram" else None
        self._file = BamCalls(reads, given) if has_moves(reads) else None
        self._model = model
        self._loaded: tuple[Caller, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.__exit__(None, None, None)

    def of(self, record: SignalRecord, call: BaseCall) -> Placed:
        """Return the bases of a call by its move table, and where it has none by the model.

        Raises
        ------
        BiorrnError: the move table contradicts the read, or the model cannot score it or calls another sequence.
        """
        for known, _ in () if self._file is None else self._file.calls(call.id):
            if known.starts is not None and np.array_equal(known.bases, parse_bases(call.bases)):
                return Placed(MOVES, 0, known.starts, known.end)
        return self._by_model(record, call)

    def _by_model(self, record: SignalRecord, call: BaseCall) -> Placed:
        from biorrn.datasets.label_alignment import align_to, carry
        from biorrn.inference.settle import settle

        self._loaded = self._loaded or _load(self._model)
        scorer, name = self._loaded
        fault = scorer.fault(record)
        if fault:
            raise BiorrnError(f"no move table, and model {name} cannot replace it: {fault}")
        scored = scorer.score(record)
        own, given = scorer.call(scored), parse_bases(call.bases)
        found = align_to(own, given)
        carried = None if found is None else carry(own, found, given[found.ref_start : found.ref_end])
        if found is None or carried is None:
            raise BiorrnError(f"no move table, and model {name} calls another sequence")
        labels = settle(carried, scored).labels
        return Placed(name, found.ref_start, labels.starts, labels.end)


def _load(model: str | None) -> tuple[Caller, str]:
    from biorrn.device import set_threads
    from biorrn.inference.basecall import Caller
    from biorrn.inference.defaults import default_model
    from biorrn.inference.settings import model_name
    from biorrn.models.store import load_model

    set_threads(1)  # a read or three: not worth the cores that a workflow gave to others
    stored = load_model(model or default_model())
    return Caller(stored), model_name(stored)

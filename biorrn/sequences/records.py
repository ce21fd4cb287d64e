"""Records that readers yield: proteins, rows of measured values, nanopore reads, labels and calls."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class ProteinRecord:
    """One protein.

    Attributes
    ----------
    id : str: the first word of the FASTA header, or the id column of a table.
    sequence : str: upper-case residues of ACDEFGHIKLMNPQRSTVWYX; see `sequences.fasta` for what was mapped to X.
    description : str: the rest of the header.
    unknown : int: how many residues are X, written so or mapped to it.
    changes : tuple of str: "gaps_removed", "modifications_removed", "id_given_before".
    problem : str: why the record cannot be used, as in `InputError.flag`; then the sequence is empty. "" else.
    cells : tuple of str: further columns of a table.
    wild_type : str: of a mutant that mutations name, the sequence of its wild type; "" else.
    """

    id: str
    sequence: str
    description: str = ""
    unknown: int = 0
    changes: tuple[str, ...] = ()
    problem: str = ""
    cells: tuple[str, ...] = ()
    wild_type: str = ""


@dataclass(frozen=True, slots=True)
class ProteinRow:
    """One row of a table of measured values.

    Attributes
    ----------
    id : str: the id column; without one the mutation, or "row" and the number of the row.
    sequence : str: as in `ProteinRecord`; "" where none was asked for.
    targets : sequence of float: one per target column, NaN where the cell is empty or a bound.
    weight : float: weight in the loss, 1 where no column was asked for.
    split : str: cell of the split column, "" where none was asked for.
    cells : tuple of str: further columns that were asked for.
    bounds : tuple of (lowest, highest), one per target column: the range of a value written as a bound, such as `>90`;
        NaN twice for other cells. Empty where the row has no bound.
    mutation : str: the mutation as written in the table, "" without a column of mutations.
    changes, problem, wild_type : as in `ProteinRecord`; a row with a problem has id and cells alone.
    """

    id: str
    sequence: str
    targets: Sequence[float]
    weight: float = 1.0
    split: str = ""
    cells: tuple[str, ...] = ()
    bounds: tuple[tuple[float, float], ...] = ()
    mutation: str = ""
    changes: tuple[str, ...] = ()
    problem: str = ""
    wild_type: str = ""


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """Bases of a read with their positions in the signal, one entry per base, in the order of the signal.

    Attributes
    ----------
    bases : uint8 array (L,): 1 A, 2 C, 3 G, 4 T.
    starts : int64 array (L,): first sample of each base, counted in the raw signal.
    end : int: one past the last labelled sample.
    reference : str: name of the reference sequence, "" if there is none.
    ref_start, ref_end : int: the 0-based half-open span on the reference, forward strand; -1 if there is none.
    strand : str: "+", "-" or "".
    """

    bases: np.ndarray
    starts: np.ndarray
    end: int
    reference: str = ""
    ref_start: int = -1
    ref_end: int = -1
    strand: str = ""


@dataclass(frozen=True, slots=True)
class ReadCall:
    """The call of a read, or of a part of it, in the order of the signal.

    Attributes
    ----------
    bases : uint8 array (L,): 1 A, 2 C, 3 G, 4 T; 0 a letter that is none of these.
    starts : int64 array (L,) or None: first sample of each base, counted in the raw signal; not decreasing.
    end : int: one past the last sample of the last base; 0 where there are no starts.
    mean_q : float: Phred score of the mean error probability; NaN where there are no qualities.
    """

    bases: np.ndarray
    starts: np.ndarray | None = None
    end: int = 0
    mean_q: float = math.nan


@dataclass(frozen=True, slots=True)
class Hit:
    """Alignment of a sequence to a reference, in the direction of the sequence.

    Attributes
    ----------
    reference : str: name of the reference sequence.
    ref_start, ref_end : int: the 0-based half-open span on its forward strand.
    strand : str: "+" or "-".
    start : int: first base of the sequence that is aligned.
    cigar : tuple of (count, operation) from there on, operations as SAM numbers them; clips left out.
    """

    reference: str
    ref_start: int
    ref_end: int
    strand: str
    start: int
    cigar: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """One nanopore read; a field that the file lacks is None, or "" for text.

    Some tools write FAST5 with the signal alone: `offset`, `scale` and `sample_rate` are then NaN and `calibrated` is
    False. `nanopore.readers.files.read_all` skips such reads by default.

    Attributes
    ----------
    read_id : str: UUID of the read.
    raw : int16 array (T,): digitised current.
    offset, scale : float: picoamperes = (raw + offset) * scale.
    sample_rate : float: samples a second (Hz).
    channel, mux : int or None: numbered from 1.
    start_time : int or None: samples since the run began.
    run_start : datetime with a zone, or None: when the run began.
    run_tags : dict of str: metadata of flow cell, kit, protocol and the like; see `nanopore.chemistry`.
    device : str: the sequencing device, or the position in it.
    faults : tuple of str: what is wrong with metadata that calling does not need; these fields are as if absent.
    number : int: place among all reads of a run's input, the unusable ones included; -1 of a read that is not numbered.
    parent : str: of a part of a read that was split, the id of the read; "" else.
    parent_start : int: first sample of that part in the read.
    """

    read_id: str
    raw: np.ndarray
    offset: float
    scale: float
    sample_rate: float
    channel: int | None = None
    mux: int | None = None
    read_number: int | None = None
    start_time: int | None = None
    run_id: str = ""
    flow_cell: str = ""
    kit: str = ""
    end_reason: str = ""
    source: Path = field(default_factory=Path)
    run_start: datetime | None = None
    sample_id: str = ""
    run_tags: dict[str, str] = field(default_factory=dict)
    device: str = ""
    faults: tuple[str, ...] = ()
    number: int = -1
    parent: str = ""
    parent_start: int = 0

    @property
    def calibrated(self) -> bool:
        """Return whether the file has the calibration of its samples."""
        return not (math.isnan(self.scale) and math.isnan(self.offset) and math.isnan(self.sample_rate))

    def picoamperes(self) -> np.ndarray:
        """Return the calibrated current as a float32 array (T,), in pA."""
        return (self.raw.astype(np.float32) + np.float32(self.offset)) * np.float32(self.scale)


MAX_SAMPLES = 2**30  # 74 hours at 4 kHz: a longer read is a damaged length, found before memory is asked for

"""What readers yield."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class ProteinRecord:
    """One protein.

    Attributes
    ----------
    id : str: the first word of the FASTA header, or the id column of a table.
    sequence : str: upper-case residues of ACDEFGHIKLMNPQRSTVWYX; see `readers.fasta` for what was mapped to X.
    description : str: the rest of the header.
    unknown : int: how many residues were mapped to X.
    """

    id: str
    sequence: str
    description: str = ""
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """Which base was in the pore when: one entry a base, in the order of the signal.

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
class SignalRecord:
    """One nanopore read, as the file holds it; a field that the file lacks keeps its default.

    Attributes
    ----------
    read_id : str: UUID of the read.
    raw : int16 array (T,): digitised current.
    offset, scale : float: picoamperes = (raw + offset) * scale.
    sample_rate : float: samples a second (Hz).
    start_time : int: samples since the run began.
    """

    read_id: str
    raw: np.ndarray
    offset: float
    scale: float
    sample_rate: float
    channel: int = 0
    mux: int = 0
    read_number: int = 0
    start_time: int = 0
    run_id: str = ""
    flow_cell: str = ""
    kit: str = ""
    end_reason: str = ""
    source: Path = field(default_factory=Path)

    def picoamperes(self) -> np.ndarray:
        """Return the calibrated current as a float32 array (T,), in pA."""
        return ((self.raw.astype(np.float32) + np.float32(self.offset)) * np.float32(self.scale)).astype(np.float32)

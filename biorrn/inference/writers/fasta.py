"""Translations as FASTA."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from biorrn.files import one_line, write_text

if TYPE_CHECKING:
    from biorrn.inference.translate import Translation

LINE = 60  # letters


def fasta_text(header: str, sequence: str) -> str:
    """Return a record, `LINE` letters a line."""
    lines = (sequence[start : start + LINE] for start in range(0, len(sequence), LINE))
    return "\n".join([f">{one_line(header)}", *lines, ""])


@contextlib.contextmanager
def open_fasta(path: str | Path) -> Iterator[Callable[[Translation], None]]:
    """Open a FASTA file, which appears whole or not at all, and yield what writes a translation to it.

    A header has the id, the probability of a symbol (geometric mean) and the flags.
    """
    with write_text(path) as stream:

        def write(found: Translation) -> None:
            header = " ".join([found.id, f"probability={found.probability:.4f}", *found.flags])
            stream.write(fasta_text(header, found.target))

        yield write

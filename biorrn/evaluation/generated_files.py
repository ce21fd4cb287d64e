"""What `biorrn generate` writes: FASTA whose headers say how each sequence came about, a table, a summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.sequence_set import SequenceSet, as_set, is_prepared, read_set
from biorrn.errors import InputError
from biorrn.evaluation.described import described, write_result
from biorrn.evaluation.generated import Likeness, check_threshold, duplicates, likeness, sample, summarise
from biorrn.files import write_text
from biorrn.inference.generate import Generated
from biorrn.inference.writers.fasta import fasta_text
from biorrn.inference.writers.tables import open_table


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences as they are written.

    Attributes
    ----------
    made : list of Generated (N,): those that are kept.
    dropped : int: copies that are not.
    found : Likeness (N,) or None: to the training set, where there is one.
    training : SequenceSet or None.
    summary : dict: see `evaluation.generated.summarise`; of all, the dropped ones counted.
    """

    made: list[Generated]
    dropped: int
    found: Likeness | None
    training: SequenceSet | None
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Against:
    """What generated sequences are compared with.

    Attributes
    ----------
    training : SequenceSet: the training set.
    held_out : SequenceSet or None: the validation split of the same prepared file.
    """

    training: SequenceSet
    held_out: SequenceSet | None


def read_against(path: str | Path | None, alphabet: str) -> Against | None:
    """Return what to compare with: the training split of a prepared file, with its validation split; or a whole file.

    Raises
    ------
    InputError: see `datasets.sequence_set.read_set`.
    """
    if path is None:
        return None
    held_out = None
    if is_prepared(path):
        try:
            held_out = read_set(path, alphabet, "valid")
        except InputError as error:
            if "holds no sequence" not in str(error):
                raise
    return Against(read_set(path, alphabet, "train"), held_out)


def compare(
    made: Sequence[Generated], alphabet: str, against: Against | None, drop: float | None = None, seed: int = 0
) -> Batch:
    """Compare generated sequences with the training set, and leave out copies where that is asked for.

    Parameters
    ----------
    drop : float or None: the identity from which a sequence is left out, see `Likeness.copies`.
    seed : int: chooses the held-out sequences beside which they are seen.

    Raises
    ------
    ConfigError: `drop` is out of range.
    """
    check_threshold(drop, against)
    if against is None:
        return Batch(list(made), 0, None, None, summarise(made, alphabet))
    own = as_set([str(one.number) for one in made], [one.sequence for one in made], alphabet)
    found = likeness(own, against.training, alphabet)
    held_out = None
    if against.held_out is not None:
        chosen = sample(against.held_out, len(made), seed)
        held_out = (chosen, likeness(chosen, against.training, alphabet))
    summary = summarise(made, alphabet, found, against.training, held_out)
    kept = np.arange(len(made)) if drop is None else np.flatnonzero(~found.copies(drop))
    left = len(made) - len(kept)
    return Batch([made[int(row)] for row in kept], left, found.rows(kept), against.training, summary)


def _header(one: Generated) -> str:
    ended = "yes" if one.ended else "no"
    return f"generated_{one.number} length={len(one.sequence)} log_likelihood={one.log_likelihood:.4f} end={ended}"


def _name(ids: list[str], row: int) -> str:
    return "_".join(ids[row].split()) if row >= 0 else "."


def write_fasta(path: str | Path, batch: Batch) -> None:
    """Write sequences as FASTA, 60 letters a line; `-` is standard output, `.gz` is compressed.

    A header has id, length, log_likelihood (mean, nats a symbol), end (whether it was drawn), and beside a training
    set longest_match (letters:id), identity (to the nearest:id, 0 below 0.3) and copy (yes or no).
    """
    found, training = batch.found, batch.training
    copies = found.copies() if found is not None else None
    with write_text(path) as stream:
        for row, one in enumerate(batch.made):
            header = _header(one)
            if found is not None and training is not None and copies is not None:
                header += f" longest_match={found.match[row]}:{_name(training.ids, int(found.match_row[row]))}"
                header += f" identity={found.identity[row]:.3f}:{_name(training.ids, int(found.nearest_row[row]))}"
                header += f" copy={'yes' if copies[row] else 'no'}"
            stream.write(fasta_text(header, one.sequence))


def write_table(path: str | Path | None, batch: Batch) -> None:
    """Write a row a sequence: what the header of FASTA says, and whether it came before; None writes none."""
    if path is None:
        return
    columns: dict[str, type] = {"id": str, "length": int, "log_likelihood": float, "end": str, "duplicate": str}
    found, training = batch.found, batch.training
    if found is not None:
        columns |= {"longest_match": int, "match_id": str, "identity": float, "nearest_id": str, "copy": str}
    said = {False: "no", True: "yes"}
    with open_table(path, columns | {"sequence": str}) as write:
        again = duplicates([one.sequence for one in batch.made])
        for row, one in enumerate(batch.made):
            cells: list[Any] = [f"generated_{one.number}", len(one.sequence), one.log_likelihood]
            cells += [said[one.ended], said[bool(again[row])]]
            if found is not None and training is not None:
                cells += [int(found.match[row]), _name(training.ids, int(found.match_row[row]))]
                cells += [float(found.identity[row]), _name(training.ids, int(found.nearest_row[row]))]
                cells += [said[bool(found.copies()[row])]]
            write([*cells, one.sequence])


def write_summary(path: str | Path | None, batch: Batch, model: str, against: str | None, seed: int) -> None:
    """Write the summary as JSON with what it was made of; None writes none."""
    if path is not None:
        head = described("generated", model, {"against": against} if against else {})
        write_result(path, {**head, "seed": seed, "dropped": batch.dropped, **batch.summary})

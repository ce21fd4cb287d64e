"""A prepared file of tags, and beside its labelled chains others whose states a model and their homologs say.

Semi-supervised training as of Lee 2013 (ICML workshop on challenges in representation learning) and, for secondary
structure from single sequences, Moffat and Jones 2021 (Bioinformatics 37:3744). A model's word on a single sequence is
averaged with that on its homologs, residue by residue as they align, and with the labels of homologs that have some:
structure is kept where sequence is not, so that the average is right more often than any of its parts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.account import account
from biorrn.datasets.homologs import Hit, Pool
from biorrn.datasets.schema import split_code
from biorrn.datasets.sequence_set import SequenceSet, read_set
from biorrn.datasets.tag_file import TagFile, tag_writer
from biorrn.encoders.alphabets import RESIDUES
from biorrn.encoders.residues import sequence
from biorrn.encoders.states import NO_STATE, States
from biorrn.errors import ConfigError, InputError
from biorrn.files import sha256
from biorrn.jit import each_row

SHORTEST = 20  # residues
FULL = 300  # score of an alignment from which a homolog's word weighs as much as the model's on the sequence itself
EXPECT, MOST = 1e-3, 40  # of hits; see `Pool.hits`
BLOCK = 256  # sequences whose homologs are found at a time

Say = Callable[[Sequence[str]], Iterable[np.ndarray]]  # sequences to probabilities (T, S) of each, in order


@dataclass(frozen=True, slots=True)
class Labelled:
    """The chains of a prepared file of tags: a set, and the state (T,) and split of each."""

    chains: SequenceSet
    labels: np.ndarray
    splits: np.ndarray
    states: States


def read_labelled(path: str | Path) -> Labelled:
    """Return the chains of a prepared file of tags.

    Raises
    ------
    InputError: it is not such a file, or holds values, or DNA.
    """
    with TagFile(path) as file:
        if file.tags is None or file.alphabet != RESIDUES:
            raise InputError(path, "holds values or DNA; allowed is a file of proteins with states")
        states = States(file.tags["name"], file.tags["states"], tuple(file.tags["names"]))
        offsets = file.file["offsets"][:].astype(np.int64)
        chains = SequenceSet(file.strings("id"), file.file["tokens"][:], offsets)
        return Labelled(chains, file.file["labels"][:], file.file["split"][:], states)


def unlabelled(paths: Sequence[str | Path], known: SequenceSet, counts: Counter[str]) -> SequenceSet:
    """Return the sequences of files, each one once, without those that are labelled or shorter than `SHORTEST`."""
    seen = {known.one(row).tobytes() for row in range(len(known))}
    ids, parts = [], []
    for path in paths:
        found = read_set(path, RESIDUES, None)
        for row, name in enumerate(found.ids):
            tokens = found.one(row)
            if len(tokens) < SHORTEST:
                counts[f"left out: shorter than {SHORTEST} residues"] += 1
            elif tokens.tobytes() in seen:
                counts["left out: came before, or is labelled"] += 1
            else:
                seen.add(tokens.tobytes())
                ids.append(f"{Path(path).name}:{name}")
                parts.append(tokens)
    if not parts:
        raise InputError(paths[0], "holds no sequence that is not labelled")
    ends = np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64)
    return SequenceSet(ids, np.concatenate(parts), ends)


def prepare_pseudo_labels(
    source: str | Path,
    paths: Sequence[str | Path],
    out: str | Path,
    say: Say,
    *,
    states: str,
    weights: str | Path | None = None,
    expect: float = EXPECT,
    threads: int = 1,
    note: str = "",
    advance: Callable[[int], None] = lambda sequences: None,
) -> dict[str, Any]:
    """Write a prepared file with other sequences to train on, labelled by a model, and return its account.

    A sequence with a homolog in the valid or test split is left out, so that these stay as far away as they were.

    Parameters
    ----------
    source : a prepared file of tags.
    paths : FASTA or tables of sequences without labels.
    out : the HDF5 file to write; it holds the rows of `source` as well.
    say : gives the probabilities float (T, S) of a model for sequences.
    states : str: letters of the model's states.
    weights : the model's file, named among the sources.
    expect : float: homologs have a score that chance reaches so many times; see `datasets.homologs`.
    threads : int: homologs are looked for on so many.

    Raises
    ------
    ConfigError: the model knows other states than the file.
    InputError: a file cannot be used, or nothing is left to label.
    """
    labelled = read_labelled(source)
    if states != labelled.states.letters:
        raise ConfigError(f"--teacher: knows states {states}; {source} has {labelled.states.letters}")
    counts: Counter[str] = Counter()
    found = unlabelled(paths, labelled.chains, counts)
    said = _said(found, labelled, say)
    with tag_writer(out, RESIDUES, labelled.states, probabilities=True) as writer:
        chains = labelled.chains
        for row, name in enumerate(chains.ids):
            span = slice(chains.offsets[row], chains.offsets[row + 1])
            writer.add(name, chains.one(row), labelled.labels[span], int(labelled.splits[row]))
        counts["kept: labelled"] = len(chains)
        pool = Pool(_joined(found, chains))
        train = split_code("train")
        apart = np.concatenate([np.zeros(len(found), bool), labelled.splits != train])
        for first in range(0, len(found), BLOCK):
            rows = list(range(first, min(first + BLOCK, len(found))))
            for row, hits in zip(rows, _hits(pool, rows, expect, threads), strict=True):
                advance(1)
                if any(apart[hit.row] for hit in hits):
                    counts["left out: homologous to a held-out chain"] += 1
                    continue
                mean = consensus(said, pool.sequences.offsets, row, hits)
                labels = np.full(len(mean), NO_STATE, np.uint8)
                writer.add(found.ids[row], found.one(row), labels, train, np.rint(mean * 255).astype(np.uint8))
                counts["kept: labelled by the model"] += 1
                counts["of these with homologs"] += bool(hits)
        if not counts["kept: labelled by the model"]:
            raise InputError(paths[0], "every sequence is homologous to a held-out chain")
        writer.file.attrs["note"] = note
        files = [str(path) for path in (source, *paths, *([weights] if weights is not None else []))]
        writer.file.attrs["sources"] = json.dumps({path: sha256(path) for path in files if Path(path).is_file()})
    return account(out, counts, note)


def consensus(said: np.ndarray, offsets: np.ndarray, row: int, hits: Sequence[Hit]) -> np.ndarray:
    """Return the probabilities (T, S) of one sequence with the word of its homologs.

    Each homolog counts by the score of its alignment, at most as much as the sequence; a sum of n counts by 1/sqrt(n),
    since homologs that come from one family err alike.

    Parameters
    ----------
    said : float array (total, S): of all sequences of the pool; rows of 0 say nothing.
    offsets : int64 array: where each sequence of the pool starts.
    row, hits : the sequence and its homologs.
    """
    own = said[offsets[row] : offsets[row + 1]]
    others, counts = np.zeros_like(own), np.zeros((len(own), 1), own.dtype)
    for hit in hits:
        words = said[offsets[hit.row] + hit.target]
        others[hit.query] += min(1.0, hit.score / FULL) * words
        counts[hit.query] += words.any(1, keepdims=True)
    mean = own + others / np.sqrt(np.maximum(counts, 1))
    return np.asarray(mean / mean.sum(1, keepdims=True))


def _said(found: SequenceSet, labelled: Labelled, say: Say) -> np.ndarray:
    """Return what is said of each residue, float32 (total, S): by the model, and by the labels that train."""
    texts = [sequence(found.one(row)) for row in range(len(found))]
    width = len(labelled.states.letters)
    parts = [np.asarray(one, np.float32) for one in say(texts)]
    known = np.zeros((len(labelled.labels), width), np.float32)
    owner = np.repeat(labelled.splits, labelled.chains.lengths)
    there = np.flatnonzero((labelled.labels != NO_STATE) & (owner == split_code("train")))
    known[there, labelled.labels[there]] = 1
    return np.concatenate([*parts, known])


def _joined(first: SequenceSet, second: SequenceSet) -> SequenceSet:
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    return SequenceSet([*first.ids, *second.ids], np.concatenate([first.tokens, second.tokens]), offsets)


def _hits(pool: Pool, rows: list[int], expect: float, threads: int) -> list[list[Hit]]:
    """Return the homologs of some sequences of the pool."""
    found: list[list[Hit]] = [[] for _ in rows]

    def work(place: int) -> None:
        found[place] = pool.hits(pool.sequences.one(rows[place]), expect, MOST, rows[place])

    order = np.argsort(-pool.sequences.lengths[rows], kind="stable").tolist()
    each_row(work, order, threads)
    return found

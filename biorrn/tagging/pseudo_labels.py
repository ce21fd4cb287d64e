"""Pseudo-labels: states of unlabelled proteins from a teacher model, averaged over homologs.

Semi-supervised training (Lee 2013, ICML workshop on challenges in representation learning), for secondary structure
from single sequences as Moffat and Jones 2021 (Bioinformatics 37:3744). The prediction of the model for a sequence is
averaged, over aligned residues, with its predictions for homologs and with the labels of labelled homologs. Structure
is more conserved than sequence, so the average is more accurate than a single prediction. Homologs are found by words
of `WORD` residues, ungapped extension and banded local alignment.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.compute import each_row, jit
from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import sha256
from biorrn.sequences.alphabets import NO_STATE, RESIDUES, STANDARD, States, blosum62, sequence
from biorrn.sequences.prepared.schema import split_code
from biorrn.sequences.prepared.summary import account
from biorrn.sequences.sequence_set import SequenceSet, read_set
from biorrn.tagging.prepare import TagFile, tag_writer

WORD = 4  # residues
REACH = 100  # residues on each side of a word that ungapped extension covers
BAND = 12  # maximum difference of the diagonals of two neighbouring words
SIDE = 64  # half-width of the band of an alignment, in diagonals around the best ungapped stretch
UNGAPPED = 38  # minimum ungapped score to compute an alignment; about 22 bits
OPEN, EXTEND = 11, 1  # gap costs: a gap of n residues costs OPEN + n EXTEND
LAMBDA, KAPPA = (
    0.267,
    0.041,
)  # Karlin-Altschul parameters of these scores and gaps; Altschul and Gish 1996, Methods Enzymol 266:460


@dataclass(frozen=True, slots=True)
class Hit:
    """A homolog of a query.

    Attributes
    ----------
    row : int: index in the pool.
    score : int: score of the local alignment.
    query, target : int64 arrays (n,): aligned residues, from 0.
    """

    row: int
    score: int
    query: np.ndarray
    target: np.ndarray


def least_score(expect: float, residues: int, pool: int) -> int:
    """Return the alignment score with E-value `expect` for a query and a pool of these numbers of residues.

    >>> least_score(0.001, 250, 9_000_000)
    95
    """
    return int(np.ceil(np.log(KAPPA * max(1, residues) * max(1, pool) / expect) / LAMBDA))


class Pool:
    """Sequences with a word index, to search for homologs."""

    def __init__(self, pool: SequenceSet) -> None:
        self.sequences = pool
        self._owner = np.repeat(np.arange(len(pool), dtype=np.int32), pool.lengths)
        codes = _words(pool.tokens, self._owner)
        places = np.flatnonzero(codes >= 0)
        self._places = places[np.argsort(codes[places], kind="stable")]
        self._starts = np.searchsorted(codes[self._places], np.arange(len(STANDARD) ** WORD + 1))

    def hits(self, tokens: np.ndarray, expect: float = 1e-3, most: int = 40, itself: int = -1) -> list[Hit]:
        """Return the homologs of one protein, sorted by ungapped score, best first.

        Parameters
        ----------
        tokens : uint8 array (T,).
        expect : float: maximum E-value, see `least_score`.
        most : int: maximum number of alignments.
        itself : int: index of the query in the pool, to leave it out; -1: the query is not in the pool.
        """
        pool = self.sequences
        codes = _words(tokens, np.zeros(len(tokens), np.int32))
        rows, scores, diagonals = _candidates(
            tokens, codes, self._starts, self._places, self._owner, pool.tokens, pool.offsets, _SCORES
        )
        best = np.argsort(-scores, kind="stable")
        best = best[rows[best] != itself][:most]
        least = least_score(expect, len(tokens), len(pool.tokens))
        found = []
        for row, diagonal in zip(rows[best].tolist(), diagonals[best].tolist(), strict=True):
            score, query, target = _local(tokens, pool.one(row), _SCORES, OPEN + EXTEND, EXTEND, least, diagonal, SIDE)
            if score >= least:
                found.append(Hit(row, score, query, target))
        return found


def _scores() -> np.ndarray:
    """Return BLOSUM62 by tokens, int32 (22, 22); -1 for padding and X."""
    scores = np.full((len(STANDARD) + 2, len(STANDARD) + 2), -1, np.int32)
    scores[1:-1, 1:-1] = blosum62()
    return scores


_SCORES = _scores()


def _words(tokens: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the code of the word that starts at each residue, int64; -1 if it crosses an end or contains X."""
    codes = np.full(len(tokens), -1, np.int64)
    count = len(tokens) - WORD + 1
    if count <= 0:
        return codes
    code = np.zeros(count, np.int64)
    whole = owner[:count] == owner[WORD - 1 :]
    for place in range(WORD):
        letter = tokens[place : place + count].astype(np.int64)
        code = code * len(STANDARD) + letter - 1
        whole &= letter <= len(STANDARD)
    codes[:count] = np.where(whole, code, -1)
    return codes


@jit()
def _candidates(tokens, codes, starts, places, owner, pool, offsets, scores):  # type: ignore[no-untyped-def]
    """Return the rows of the pool with a high ungapped score, and the score and diagonal of their best stretch."""
    count = 0
    for code in codes:
        if code >= 0:
            count += starts[code + 1] - starts[code]
    words = np.empty(count, np.int64)  # diagonal (in the concatenated pool) and position in the query
    span = len(tokens) + 1
    n = 0
    for start in range(len(codes)):
        if codes[start] >= 0:
            for entry in range(starts[codes[start]], starts[codes[start] + 1]):
                words[n] = (places[entry] - start + span) * span + start
                n += 1
    words = np.sort(words)
    rows, best, where = (np.empty(2 * count, np.int64), np.empty(2 * count, np.int64), np.empty(2 * count, np.int64))
    kept = 0
    done = -1  # end of the last extension: each stretch of a diagonal is extended once
    for i in range(1, count):
        if words[i] // span - words[i - 1] // span > BAND:
            continue
        for side in range(1, -1, -1):
            diagonal, start = words[i - side] // span - span, words[i - side] % span
            if words[i - side] <= done:
                continue
            row = owner[start + diagonal]
            low = max(start - REACH, offsets[row] - diagonal, 0)
            high = min(start + REACH, offsets[row + 1] - diagonal, len(tokens))
            running, peak = 0, 0
            for place in range(low, high):
                running = max(0, running + scores[tokens[place], pool[place + diagonal]])
                peak = max(peak, running)
            done = (diagonal + span) * span + max(start, high - REACH // 2)
            if peak >= UNGAPPED:
                rows[kept], best[kept], where[kept] = row, peak, diagonal - offsets[row]
                kept += 1
    order = np.argsort(rows[:kept])
    found, top, along = np.empty(kept, np.int64), np.empty(kept, np.int64), np.empty(kept, np.int64)
    n = 0
    for i in order:
        if n == 0 or found[n - 1] != rows[i]:
            found[n], top[n], along[n] = rows[i], best[i], where[i]
            n += 1
        elif best[i] > top[n - 1]:
            top[n - 1], along[n - 1] = best[i], where[i]
    return found[:n], top[:n], along[:n]


@jit()
def _local(a, b, scores, first, more, least, centre, side):  # type: ignore[no-untyped-def]
    """Return the score of the best banded local alignment (Smith-Waterman, affine gaps) and its aligned residues.

    A gap of n residues costs first + (n - 1) * more. The band is `side` diagonals around `centre` (position in b minus
    position in a). If the score is below `least`, no residues are returned.
    """
    n, m = len(a), len(b)
    wide = 2 * side + 1
    # traceback: bits 0-1 of the match (0 start, 1 diagonal, 2 gap in b, 3 gap in a); bits 2, 3: gap is extended.
    # Column c of row i is cell (i, i + c + centre - side); outside the band all are 0, a start
    steps = np.zeros((n + 1, wide + 1), np.uint8)
    row, down = np.zeros(m + 1, np.int32), np.full(m + 1, -(10**6), np.int32)
    top, end_a, end_b = 0, 0, 0
    for i in range(1, n + 1):
        shift = i + centre - side
        low, high = max(1, shift), min(m, shift + wide - 1)
        if low > high:
            continue
        diagonal, across = row[low - 1], -(10**6)
        left = 0
        for j in range(low, high + 1):
            step = 0
            opened, longer = row[j] - first, down[j] - more
            if longer > opened:
                opened = longer
                step |= 4
            down[j] = opened
            opened, longer = left - first, across - more
            if longer > opened:
                opened = longer
                step |= 8
            across = opened
            cell, way = diagonal + scores[a[i - 1], b[j - 1]], 1
            if down[j] > cell:
                cell, way = down[j], 2
            if across > cell:
                cell, way = across, 3
            if cell <= 0:
                cell, way = 0, 0
            steps[i, j - shift] = step | way
            diagonal = row[j]
            row[j] = cell
            left = cell
            if cell > top:
                top, end_a, end_b = cell, i, j
    if top < least:
        return top, np.empty(0, np.int64), np.empty(0, np.int64)
    query, target = np.empty(min(n, m), np.int64), np.empty(min(n, m), np.int64)
    count, i, j = 0, end_a, end_b
    inside = 0  # 2: in a gap that consumes a, 3: in one that consumes b
    while i > 0 and j > 0:
        column = j - i - centre + side
        step = steps[i, column] if 0 <= column <= wide else 0
        if inside == 0:
            way = step & 3
            if way == 0:
                break
            if way == 1:
                i, j = i - 1, j - 1
                query[count], target[count] = i, j
                count += 1
            else:
                inside = way
        elif inside == 2:
            inside = 2 if step & 4 else 0
            i -= 1
        else:
            inside = 3 if step & 8 else 0
            j -= 1
    return top, query[:count][::-1].copy(), target[:count][::-1].copy()


SHORTEST = 20  # minimum residues of an unlabelled sequence
FULL = 300  # alignment score from which a homolog has the full weight, that of the sequence itself
EXPECT, MOST = 1e-3, 40  # defaults of `Pool.hits`
BLOCK = 256  # sequences per batch of the search

Teacher = Callable[[Sequence[str]], Iterable[np.ndarray]]  # sequences -> probabilities (T, S) of each, in order


@dataclass(frozen=True, slots=True)
class Labelled:
    """The sequences of a prepared file of tags, their states (total,) and splits."""

    chains: SequenceSet
    labels: np.ndarray
    splits: np.ndarray
    states: States


def read_labelled(path: str | Path) -> Labelled:
    """Read a prepared file of protein states.

    Raises
    ------
    InputError: the file is not a prepared file of tags, or holds values or DNA.
    """
    with TagFile(path) as file:
        if file.tags is None or file.alphabet != RESIDUES:
            raise InputError(path, "holds values or DNA; allowed is a file of proteins with states")
        states = States(file.tags["name"], file.tags["states"], tuple(file.tags["names"]))
        offsets = file.file["offsets"][:].astype(np.int64)
        chains = SequenceSet(file.strings("id"), file.file["tokens"][:], offsets)
        return Labelled(chains, file.file["labels"][:], file.file["split"][:], states)


def unlabelled(paths: Sequence[str | Path], known: SequenceSet, counts: Counter[str]) -> SequenceSet:
    """Return the distinct sequences of files, without labelled ones and those shorter than `SHORTEST`."""
    seen = {known.one(row).tobytes() for row in range(len(known))}
    ids, parts = [], []
    for path in paths:
        found = read_set(path, RESIDUES, None)
        for row, name in enumerate(found.ids):
            tokens = found.one(row)
            if len(tokens) < SHORTEST:
                counts[f"left out: shorter than {SHORTEST} residues"] += 1
            elif tokens.tobytes() in seen:
                counts["left out: duplicate, or labelled"] += 1
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
    teacher: Teacher,
    *,
    states: str,
    weights: str | Path | None = None,
    expect: float = EXPECT,
    threads: int = 1,
    note: str = "",
    advance: Callable[[int], None] = lambda sequences: None,
) -> dict[str, Any]:
    """Write a prepared file with additional training sequences, labelled by a model, and return its summary.

    A sequence with a homolog in the valid or test split is left out, so that the splits stay independent.

    Parameters
    ----------
    source : prepared file of tags.
    paths : FASTA or tables of unlabelled sequences.
    out : HDF5 file to write; it also contains the rows of `source`.
    teacher : returns the probabilities float (T, S) of a model for sequences.
    states : str: states of the model.
    weights : weights of the model, stored among the sources.
    expect : float: maximum E-value of a homolog.
    threads : int: threads of the search.

    Raises
    ------
    ConfigError: the states of the model are not those of the file.
    InputError: a file cannot be used, or no sequence is left to label.
    """
    labelled = read_labelled(source)
    if states != labelled.states.letters:
        raise ConfigError(f"--teacher: knows states {states}; {source} has {labelled.states.letters}")
    counts: Counter[str] = Counter()
    found = unlabelled(paths, labelled.chains, counts)
    probabilities = _probabilities(found, labelled, teacher)
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
                mean = consensus(probabilities, pool.sequences.offsets, row, hits)
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


def consensus(probabilities: np.ndarray, offsets: np.ndarray, row: int, hits: Sequence[Hit]) -> np.ndarray:
    """Return the probabilities (T, S) of one sequence, averaged with those of its homologs.

    A homolog is weighted by its alignment score, at most as much as the sequence itself. The sum over n homologs is
    divided by sqrt(n), because the errors of one family are correlated.

    Parameters
    ----------
    probabilities : float array (total, S), of all sequences of the pool; rows of 0 are unknown.
    offsets : int64 array: first residue of each sequence of the pool.
    row, hits : the sequence and its homologs.
    """
    own = probabilities[offsets[row] : offsets[row + 1]]
    others, counts = np.zeros_like(own), np.zeros((len(own), 1), own.dtype)
    for hit in hits:
        words = probabilities[offsets[hit.row] + hit.target]
        others[hit.query] += min(1.0, hit.score / FULL) * words
        counts[hit.query] += words.any(1, keepdims=True)
    mean = own + others / np.sqrt(np.maximum(counts, 1))
    return np.asarray(mean / mean.sum(1, keepdims=True))


def _probabilities(found: SequenceSet, labelled: Labelled, teacher: Teacher) -> np.ndarray:
    """Return the probabilities of each residue, float32 (total, S): of the model, and 1 for training labels."""
    texts = [sequence(found.one(row)) for row in range(len(found))]
    width = len(labelled.states.letters)
    parts = [np.asarray(one, np.float32) for one in teacher(texts)]
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

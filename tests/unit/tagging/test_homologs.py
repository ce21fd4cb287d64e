"""Homologs: the aligner against Biopython's, and what the search finds and leaves."""

import numpy as np
import pytest
from Bio.Align import PairwiseAligner, substitution_matrices

from biorrn.sequences.alphabets import RESIDUES, STANDARD, tokens
from biorrn.sequences.sequence_set import as_set
from biorrn.tagging.pseudo_labels import EXTEND, OPEN, Pool, least_score
from biorrn.tagging.pseudo_labels import _local as local
from biorrn.tagging.pseudo_labels import _scores as scores

BLOSUM62 = substitution_matrices.load("BLOSUM62")
LETTERS = np.array(list(STANDARD))


@pytest.fixture(scope="module")
def aligner() -> PairwiseAligner:
    made = PairwiseAligner(mode="local", open_gap_score=-(OPEN + EXTEND), extend_gap_score=-EXTEND)
    made.substitution_matrix = BLOSUM62
    return made


def drawn(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(LETTERS, length))


def relative(rng: np.random.Generator, sequence: str, changed: float) -> str:
    """Return a sequence with a part of its residues replaced, one stretch lost and one inserted."""
    letters = np.where(rng.random(len(sequence)) < changed, rng.choice(LETTERS, len(sequence)), list(sequence))
    gap, more = sorted(rng.choice(np.arange(20, len(sequence) - 20), 2, replace=False))
    return "".join([*letters[:gap], *letters[gap + 4 : more + 4], *rng.choice(LETTERS, 6), *letters[more + 4 :]])


def total(a: str, b: str, query: np.ndarray, target: np.ndarray) -> int:
    """Return the score of an alignment, from its residues alone."""
    found = sum(int(BLOSUM62[a[i]][b[j]]) for i, j in zip(query, target, strict=True))
    for steps in (np.diff(query), np.diff(target)):
        found -= int(sum(OPEN + EXTEND * gap for gap in (steps - 1) if gap))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_local_alignment_scores_as_biopython(seed: int, aligner: PairwiseAligner) -> None:
    rng = np.random.default_rng(seed)
    a = drawn(rng, int(rng.integers(50, 200)))
    b = relative(rng, a, 0.1 + 0.04 * seed)
    score, query, target = local(tokens(a), tokens(b), scores(), OPEN + EXTEND, EXTEND, 0, 0, 250)
    assert score == aligner.score(a, b)
    assert total(a, b, query, target) == score
    assert (np.diff(query) > 0).all()
    assert (np.diff(target) > 0).all()


def test_an_alignment_stays_near_its_diagonal(aligner: PairwiseAligner) -> None:
    rng = np.random.default_rng(0)
    start, end = drawn(rng, 60), drawn(rng, 40)
    a, b = start + end, drawn(rng, 30) + start + drawn(rng, 50) + end
    whole = local(tokens(a), tokens(b), scores(), OPEN + EXTEND, EXTEND, 0, 30, 60)
    assert whole[0] == aligner.score(a, b)
    score, query, target = local(tokens(a), tokens(b), scores(), OPEN + EXTEND, EXTEND, 0, 30, 5)
    assert score < whole[0]
    assert (np.abs(target - query - 30) <= 5).all()
    assert total(a, b, query, target) == score
    assert local(tokens(a), tokens(b), scores(), OPEN + EXTEND, EXTEND, 0, 500, 5)[0] == 0  # no cell at all


def test_below_the_least_score_no_residues_are_given() -> None:
    score, query, _ = local(tokens("ACDEF"), tokens("ACDEF"), scores(), OPEN + EXTEND, EXTEND, 1000, 0, 8)
    assert score > 0
    assert len(query) == 0


def test_relatives_are_found_and_strangers_are_not() -> None:
    rng = np.random.default_rng(0)
    base = [drawn(rng, 150) for _ in range(200)]
    family = [relative(rng, base[0], 0.4) for _ in range(10)]
    pool = Pool(as_set([str(i) for i in range(210)], [*base, *family], RESIDUES))
    found = {hit.row for hit in pool.hits(tokens(base[0]), itself=0)}
    assert found == set(range(200, 210))
    assert not pool.hits(tokens(base[1]), itself=1)
    assert pool.hits(tokens(base[1]))[0].score == sum(int(BLOSUM62[letter][letter]) for letter in base[1])
    assert not pool.hits(tokens(base[0]), expect=1e-300, itself=0)
    assert len(pool.hits(tokens(base[0]), most=3, itself=0)) == 3


def test_unknown_residues_and_short_sequences_find_nothing() -> None:
    pool = Pool(as_set(["a", "b", "c"], ["X" * 40, "MKV", "ACDEFGHIKL" * 4], RESIDUES))
    assert not pool.hits(tokens("X" * 40))
    assert not pool.hits(tokens("MK"))
    assert not pool.hits(np.zeros(0, np.uint8))


def test_the_score_grows_with_the_pool_and_with_what_is_asked() -> None:
    assert least_score(1e-3, 250, 10**6) < least_score(1e-3, 250, 10**8)
    assert least_score(1e-6, 250, 10**6) > least_score(1e-3, 250, 10**6)

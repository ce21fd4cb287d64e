"""Pseudo-labels: homologs, and labels that a model gives."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from Bio.Align import PairwiseAligner, substitution_matrices

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.alphabets import NO_STATE, RESIDUES, STANDARD, States, tokens
from biorrn.sequences.sequence_set import as_set
from biorrn.tagging.data import TagDataset, whole
from biorrn.tagging.prepare import TagFile, tag_writer
from biorrn.tagging.pseudo_labels import (
    EXTEND,
    OPEN,
    Hit,
    Pool,
    consensus,
    least_score,
    prepare_pseudo_labels,
    unlabelled,
)
from biorrn.tagging.pseudo_labels import _local as local
from biorrn.tagging.pseudo_labels import _scores as scores

LETTERS = np.array(list(STANDARD))


def drawn(rng, length):
    return "".join(rng.choice(LETTERS, length))


def changed(rng, sequence, share):
    return "".join(np.where(rng.random(len(sequence)) < share, rng.choice(LETTERS, len(sequence)), list(sequence)))


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, list[str]]:
    """A file of three chains of 100 residues, one a split, all helix; and their sequences."""
    rng = np.random.default_rng(0)
    chains = [drawn(rng, 100) for _ in range(3)]
    with tag_writer(tmp_path / "l.h5", RESIDUES, States("structure", "HEC", ("helix", "strand", "coil"))) as writer:
        for split, chain in enumerate(chains):
            writer.add(f"chain{split}", tokens(chain), np.zeros(100, np.uint8), split)
    return tmp_path / "l.h5", chains


def all_coil(texts):
    for text in texts:
        said = np.zeros((len(text), 3), np.float32)
        said[:] = 0.3, 0.3, 0.4
        yield said


def test_homologs_of_held_out_chains_are_left_out_and_labels_reach_homologs(
    labelled: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, chains = labelled
    rng = np.random.default_rng(1)
    others = {
        "of_train": changed(rng, chains[0], 0.3),
        "of_valid": changed(rng, chains[1], 0.3),
        "of_test": changed(rng, chains[2], 0.3),
        "stranger": drawn(rng, 80),
        "again": chains[0],
        "short": "MKV",
    }
    (tmp_path / "u.fasta").write_text("".join(f">{name}\n{text}\n" for name, text in others.items()))
    found = prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="HEC")
    assert found["counts"] == {
        "left out: shorter than 20 residues": 1,
        "left out: duplicate, or labelled": 1,
        "left out: homologous to a held-out chain": 2,
        "kept: labelled": 3,
        "kept: labelled by the model": 2,
        "of these with homologs": 1,
    }
    assert found["splits"]["train"]["labelled_by_model"] == 180
    with TagFile(tmp_path / "o.h5") as file:
        assert file.strings("id") == ["chain0", "chain1", "chain2", "u.fasta:of_train", "u.fasta:stranger"]
        assert (file.labels(3) == NO_STATE).all()
    data = TagDataset(tmp_path / "o.h5", "train")
    batch = data.collate(whole(data.lengths))
    assert batch.probabilities is not None
    assert not batch.probabilities[0].any()  # it has labels
    assert (batch.targets[1:] == -1).all()
    of_train, stranger = batch.probabilities[1, :100].numpy(), batch.probabilities[2, :80].numpy()
    assert np.allclose(of_train.sum(1), 1)
    assert (of_train[10:90].argmax(1) == 0).mean() > 0.9  # the label of its homolog
    assert np.allclose(stranger, (0.3, 0.3, 0.4), atol=0.005)
    assert TagDataset(tmp_path / "o.h5", "valid").probabilities is None


def test_a_homolog_counts_by_its_score_and_many_by_the_root_of_their_number() -> None:
    said = np.zeros((20, 2), np.float32)
    said[:4], said[4:8], said[8:12] = (1, 0), (0, 1), (0, 1)
    offsets = np.array([0, 4, 8, 12, 20])
    sides = np.arange(1, 3), np.arange(2, 4)
    assert np.allclose(consensus(said, offsets, 0, []), said[:4])
    one = consensus(said, offsets, 0, [Hit(1, 150, *sides)])
    assert np.allclose(one[[0, 3]], (1, 0))
    assert np.allclose(one[1:3], (1 / 1.5, 0.5 / 1.5))
    two = consensus(said, offsets, 0, [Hit(1, 300, *sides), Hit(2, 900, *sides)])
    assert np.allclose(two[1:3, 1], np.sqrt(2) / (1 + np.sqrt(2)))
    silent = consensus(said, offsets, 0, [Hit(3, 300, *sides), Hit(1, 150, *sides)])
    assert np.allclose(silent, one)  # residues of which nothing is said do not count


def test_what_cannot_be_labelled_is_refused(labelled: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, chains = labelled
    (tmp_path / "u.fasta").write_text(f">a\n{chains[1]}\n")
    with pytest.raises(InputError, match="no sequence that is not labelled"):
        prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="HEC")
    (tmp_path / "u.fasta").write_text(f">a\n{chains[1][:90]}\n")
    with pytest.raises(InputError, match="homologous to a held-out chain"):
        prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="HEC")
    with pytest.raises(ConfigError, match="knows states GHIEBTSC"):
        prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="GHIEBTSC")
    assert not (tmp_path / "o.h5").exists()


def test_each_sequence_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "a.fasta").write_text(f">x\n{'ACDEFGHIKL' * 3}\n>y\n{'ACDEFGHIKL' * 3}\n")
    counts: Counter[str] = Counter()
    found = unlabelled([tmp_path / "a.fasta"], as_set([], [], RESIDUES), counts)
    assert found.ids == ["a.fasta:x"]
    assert counts == {"left out: duplicate, or labelled": 1}


BLOSUM62 = substitution_matrices.load("BLOSUM62")


@pytest.fixture(scope="module")
def aligner() -> PairwiseAligner:
    made = PairwiseAligner(mode="local", open_gap_score=-(OPEN + EXTEND), extend_gap_score=-EXTEND)
    made.substitution_matrix = BLOSUM62
    return made


def drawn_of(rng: np.random.Generator, length: int) -> str:
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
    a = drawn_of(rng, int(rng.integers(50, 200)))
    b = relative(rng, a, 0.1 + 0.04 * seed)
    score, query, target = local(tokens(a), tokens(b), scores(), OPEN + EXTEND, EXTEND, 0, 0, 250)
    assert score == aligner.score(a, b)
    assert total(a, b, query, target) == score
    assert (np.diff(query) > 0).all()
    assert (np.diff(target) > 0).all()


def test_an_alignment_stays_near_its_diagonal(aligner: PairwiseAligner) -> None:
    rng = np.random.default_rng(0)
    start, end = drawn_of(rng, 60), drawn_of(rng, 40)
    a, b = start + end, drawn_of(rng, 30) + start + drawn_of(rng, 50) + end
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
    base = [drawn_of(rng, 150) for _ in range(200)]
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

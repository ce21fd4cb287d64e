"""Similarity of sequences: identity, clusters, leakage between splits."""

import edlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer, signal_writer
from biorrn.sequences.similarity import (
    cluster,
    edit_distance,
    greedy,
    nearest,
    protein_leakage,
    signal_leakage,
    word_length,
)

short = st.text(alphabet="ACD", max_size=14)


def flat(sequences):
    """Return sequences as tokens and offsets."""
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in sequences])]).astype(np.int64)
    return tokens("".join(sequences)), offsets


def distance(a, b):
    return edlib.align(a, b)["editDistance"] if a and b else max(len(a), len(b))


def mutated(rng, sequence, edits):
    letters = list(sequence)
    for place in rng.choice(len(letters), edits, replace=False):
        letters[place] = rng.choice([letter for letter in "ACDEFGHIKLMNPQRSTVWY" if letter != letters[place]])
    return "".join(letters)


@given(short, short, st.integers(0, 14))
def test_edit_distance_is_that_of_edlib(a, b, limit):
    assert edit_distance(tokens(a), tokens(b), limit) == min(distance(a, b), limit + 1)


@given(short, short)
def test_edit_distance_is_symmetric(a, b):
    assert edit_distance(tokens(a), tokens(b), 14) == edit_distance(tokens(b), tokens(a), 14)


@pytest.mark.parametrize("identity", [0.5, 0.7, 0.8, 0.9])
def test_nearest_finds_what_brute_force_finds(identity):
    rng = np.random.default_rng(0)
    base = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 45)) for _ in range(40)]
    queries = [mutated(rng, base[i], edits) for i, edits in enumerate([0, 1, 2, 3, 4, 6, 8, 9, 12, 18])]
    queries += ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 45))]
    best = np.array([max(1 - distance(query, other) / 45 for other in base) for query in queries])
    match, value = nearest(*flat(queries), *flat(base), identity, word_length(identity), 1.0)
    wanted = best >= identity
    if identity >= 0.7:
        assert ((match >= 0) == wanted).all()
    else:
        assert not (match >= 0)[~wanted].any()
    assert np.allclose(value[match >= 0], best[match >= 0])
    assert (value[match < 0] == 0).all()


def test_greedy_joins_the_earlier_one():
    a, b = "ACDEFGHIKLMNPQRSTVWY", "YWVTSRQPNMLKIHGFEDCA"
    parent = greedy(*flat([a, b, a[:-1] + "A", b]), 0.9, 5)
    assert parent.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("sequences", [[], [""], ["A", "A"], ["AC", "CA"]])
def test_sequences_shorter_than_a_word_stay_alone(sequences):
    assert greedy(*flat(sequences), 0.9, 5).tolist() == list(range(len(sequences)))


def families(number, members, edits, seed=0):
    """Return shuffled sequences of 50 residues, each one of `members` that differ in `edits` places, and families."""
    rng = np.random.default_rng(seed)
    alphabet = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    sequences, family = [], []
    for index in range(number):
        centre = rng.choice(alphabet, 50)
        for _ in range(members):
            copy = centre.copy()
            places = rng.choice(50, edits, replace=False)
            copy[places] = rng.choice(alphabet, edits)
            sequences.append("".join(copy))
            family.append(index)
    order = rng.permutation(len(sequences))
    return [sequences[i] for i in order], np.array(family)[order]


def same(a, b):
    """Say whether two labellings are the same partition."""
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist()))


@pytest.mark.parametrize(("identity", "edits"), [(0.9, 1), (0.8, 3), (0.7, 5), (0.5, 8)])
def test_families_are_found(identity, edits):
    sequences, family = families(20, 6, edits)
    assert same(cluster(*flat(sequences), identity), family)


def test_identical_sequences_are_together_even_at_1():
    groups = cluster(*flat(["MKVAL", "MKVAL", "MKVAA", "MKVAL"]), 1.0)
    assert groups.tolist() == [0, 0, 1, 0]


def test_groups_do_not_depend_on_the_order():
    sequences, _ = families(15, 4, 6)
    groups = cluster(*flat(sequences), 0.6)
    order = np.random.default_rng(1).permutation(len(sequences))
    again = cluster(*flat([sequences[i] for i in order]), 0.6)
    assert same(groups[order], again)


def test_groups_are_numbered_by_first_appearance():
    sequences, _ = families(10, 3, 2)
    groups = cluster(*flat(sequences), 0.8)
    _, first = np.unique(groups, return_index=True)
    assert (np.diff(first) > 0).all()
    assert groups[0] == 0


def test_near_identical_ones_stay_together_whatever_the_second_pass_does():
    sequences, _ = families(30, 5, 2, seed=2)
    near, wide = cluster(*flat(sequences), 0.9), cluster(*flat(sequences), 0.5)
    for group in set(near.tolist()):
        assert len(set(wide[near == group].tolist())) == 1


@pytest.mark.parametrize("sequences", [[], ["A"], ["A", "C"], ["X" * 30, "X" * 30]])
def test_few_and_odd_sequences(sequences):
    groups = cluster(*flat(sequences), 0.5)
    assert len(groups) == len(sequences)
    assert len(set(groups.tolist())) == len(set(sequences))


RNG = np.random.default_rng(0)
CENTRES = ["".join(RNG.choice(list("ACDEFGHIKLMNPQRSTV"), 50)) for _ in range(30)]


def changed(sequence, edits):
    """Return the sequence with W, which it does not hold, at so many evenly spread places."""
    letters = list(sequence)
    for place in np.linspace(0, len(letters) - 1, edits).astype(int) if edits else []:
        letters[place] = "W"
    return "".join(letters)


def write(path, splits):
    with protein_writer(path, [{"name": "tm", "unit": ""}]) as writer:
        for code, sequences in enumerate(splits):
            for text in sequences:
                writer.add(f"p{writer.rows}", tokens(text), (0.0,), 1.0, code)
    return path


def test_identical_and_near_identical_are_told_apart(tmp_path):
    valid = [changed(CENTRES[i], edits) for i, edits in enumerate([0, 0, 1, 5, 6, 10, 11, 30])]
    report = protein_leakage(write(tmp_path / "p.h5", [[*CENTRES, CENTRES[0]], valid, ["Y" * 40]]))
    assert report["duplicates_in_train"] == 1
    assert report["valid"] == {
        "proteins": 8,
        "identical_in_train": 2,
        "compared": 8,
        "sampled": False,
        "within_0.9": 4 / 8,
        "within_0.8": 6 / 8,
    }
    assert report["test"]["within_0.8"] == 0


def test_nothing_is_shared_by_a_split_that_is_apart(tmp_path):
    report = protein_leakage(write(tmp_path / "p.h5", [CENTRES[:20], CENTRES[20:], []]))
    assert (report["valid"]["identical_in_train"], report["valid"]["within_0.8"]) == (0, 0)
    assert report["test"] == {"proteins": 0, "identical_in_train": 0, "compared": 0, "sampled": False}


def test_a_file_without_a_training_set(tmp_path):
    assert protein_leakage(write(tmp_path / "p.h5", [[], CENTRES[:3], []]))["valid"]["within_0.8"] == 0


def test_a_large_split_is_sampled_and_says_so(tmp_path):
    path = write(tmp_path / "p.h5", [CENTRES, [changed(centre, 2) for centre in CENTRES], []])
    report = protein_leakage(path, sample=10)["valid"]
    assert (report["proteins"], report["compared"], report["sampled"]) == (30, 10, True)
    assert report["within_0.9"] == 1
    assert protein_leakage(path, seed=1, sample=10) == protein_leakage(path, seed=1, sample=10)


def write_segments(path, segments):
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for read, code, reference, start, end in segments:
            n = end - start
            writer.add(read, np.zeros(n), np.ones(n, int), np.arange(n), code, reference, start, end, "+")
    return path


def test_shared_reference_and_reads_are_counted(tmp_path):
    segments = [("a", 0, "chr1", 0, 100), ("b", 0, "chr1", 90, 150), ("c", 0, "chr2", 0, 50)]
    segments += [("a", 1, "chr1", 140, 200), ("d", 1, "chr1", 190, 240), ("e", 1, "chr2", 0, 20)]
    report = signal_leakage(write_segments(tmp_path / "s.h5", segments))
    assert report["valid"] == {
        "segments": 3,
        "reads_in_train": 1,
        "reference_bases": 120,
        "covered_by_train": pytest.approx(30 / 120),
    }
    assert report["test"] == {"segments": 0, "reads_in_train": 0, "reference_bases": 0, "covered_by_train": None}


def test_a_split_by_place_shares_nothing(tmp_path):
    segments = [("a", 0, "chr1", 50, 100), ("a", 1, "chr1", 0, 50)]
    assert signal_leakage(write_segments(tmp_path / "s.h5", segments))["valid"]["covered_by_train"] == 0

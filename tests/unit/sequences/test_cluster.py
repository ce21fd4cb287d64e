"""Clusters of similar sequences."""

import numpy as np
import pytest

from biorrn.sequences.alphabets import tokens
from biorrn.sequences.similarity import cluster


def flat(sequences):
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in sequences])]).astype(np.int64)
    return tokens("".join(sequences)), offsets


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

"""Edit distance and the search for the most similar sequence, against edlib and brute force."""

import edlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.sequences.alphabets import tokens
from biorrn.sequences.similarity import edit_distance, greedy, nearest, word_length

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

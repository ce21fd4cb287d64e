"""Tokenisers: what goes in comes out, whatever the letters; pairs are those that come most often."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.sequences.alphabets import DNA, RESIDUES, base_tokens, tokens
from biorrn.sequences.tokenisers import (
    BOS,
    EOS,
    LONGEST,
    PAD,
    SPECIAL,
    TOKENISERS,
    UNK,
    Tokeniser,
    base_tokeniser,
    kmer_tokeniser,
    learn_pairs,
    make_tokeniser,
    merge,
    residue_tokeniser,
)

TEXTS = ["LLLLAGLLAGXAGLL", "AGAGAGLL", "MKLLAG", "W", "CC", "LLLLL"]
FLAT = np.concatenate([tokens(text) for text in TEXTS])
OFFSETS = np.concatenate([[0], np.cumsum([len(text) for text in TEXTS])])
ALL = {
    "residue": residue_tokeniser(),
    "base": base_tokeniser(),
    "kmer": kmer_tokeniser(DNA, 3),
    "kmer of residues": kmer_tokeniser(RESIDUES, 2),
    "pairs": learn_pairs(RESIDUES, FLAT, OFFSETS, 6),
}


def test_every_tokeniser_is_tested() -> None:
    assert {tokeniser.name for tokeniser in ALL.values()} == set(TOKENISERS)


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_text_comes_back(name: str, data: st.DataObject) -> None:
    tokeniser = ALL[name]
    few = tokeniser.alphabet[:2] + tokeniser.alphabet[-1] + "GL" * (tokeniser.alphabet == RESIDUES)
    text = data.draw(st.text(tokeniser.alphabet, max_size=40) | st.text(few, max_size=40))
    ids = tokeniser.encode(text)
    assert tokeniser.decode([BOS, *ids, EOS, PAD, *ids]) == text
    assert tokeniser.letters[ids].sum() == len(text)
    assert (ids == UNK).sum() == text.count(tokeniser.alphabet[-1])
    assert not set(ids.tolist()) & {PAD, BOS, EOS}
    encode = tokens if tokeniser.alphabet == RESIDUES else base_tokens
    assert np.array_equal(tokeniser.encode_tokens(encode(text)), ids)


@pytest.mark.parametrize("name", ALL)
def test_it_is_kept_as_json(name: str) -> None:
    tokeniser = ALL[name]
    assert Tokeniser.from_dict(json.loads(json.dumps(tokeniser.to_dict()))) == tokeniser
    assert tokeniser.size == SPECIAL + len(set(tokeniser.symbols)) == len(tokeniser.letters)


def test_kmers_lie_side_by_side_and_the_rest_is_spelled() -> None:
    tokeniser = ALL["kmer"]
    shown = [tokeniser.symbols[i - SPECIAL] if i >= SPECIAL else "N" for i in tokeniser.encode("ACGTTANCACGTAC")]
    assert shown == ["ACG", "TTA", "N", "C", "A", "CGT", "A", "C"]


def test_pairs_are_the_commonest_and_the_same_again() -> None:
    tokeniser = ALL["pairs"]
    # AG comes 8 times and LL 9, overlapping ones counted; then LLAG, of which no other pair has as many
    assert tokeniser.symbols[20:23] == ["LL", "AG", "LLAG"]
    assert learn_pairs(RESIDUES, FLAT, OFFSETS, 6) == tokeniser
    assert learn_pairs(RESIDUES, FLAT, OFFSETS, 3).symbols == tokeniser.symbols[:23]
    assert not any("X" in symbol for symbol in tokeniser.symbols)


def test_no_pair_reaches_over_the_end_of_a_sequence() -> None:
    flat = tokens("AC" * 20)
    assert learn_pairs(RESIDUES, flat, np.arange(41), 5).merges == []
    # where each sequence ends with C and the next begins with A, only AC is a pair
    assert learn_pairs(RESIDUES, flat, np.arange(0, 41, 2), 5).symbols[20:] == ["AC"]


def test_learning_ends_where_nothing_comes_twice_and_symbols_stay_short() -> None:
    assert learn_pairs(RESIDUES, tokens("ACDEF"), np.array([0, 5]), 5).merges == []
    learned = learn_pairs(DNA, np.ones(10_000, np.uint8), np.array([0, 10_000]), 50)
    assert max(map(len, learned.symbols)) <= LONGEST


@given(st.lists(st.integers(4, 6), max_size=30), st.integers(4, 6), st.integers(4, 6))
def test_merge_is_greedy_from_the_left(ids: list[int], left: int, right: int) -> None:
    wanted: list[int] = []
    place = 0
    while place < len(ids):
        joined = ids[place : place + 2] == [left, right]
        wanted.append(9 if joined else ids[place])
        place += 2 if joined else 1
    assert merge(np.array(ids, np.int64), (left, right), 9).tolist() == wanted


@pytest.mark.parametrize(
    ("name", "k", "alphabet", "fault"),
    [
        ("kmer", 4, RESIDUES, "tokens.k: found 4; allowed is 2 to 3"),
        ("kmer", 8, DNA, "tokens.k: found 8; allowed is 2 to 7"),
        ("base", 3, RESIDUES, "expected ACGTN"),
        ("residue", 3, DNA, "holds letters ACGTN"),
        ("pair", 3, DNA, "did you mean 'pairs'"),
    ],
)
def test_what_cannot_be_is_said(name: str, k: int, alphabet: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        make_tokeniser(name, k, 5, alphabet, FLAT, OFFSETS)


PAIRS = {"name": "pairs", "alphabet": DNA, "k": 1}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({}, "found name None"),
        ({"name": "pairs", "alphabet": "ABC", "k": 1}, "alphabet 'ABC'"),
        ({"name": "kmer", "alphabet": DNA, "k": 99}, "allowed is 2 to 7"),
        ({**PAIRS, "merges": [[4, 9]]}, "allowed are two ids of symbols before it"),
        ({**PAIRS, "merges": [[4, 4], *([8 + i, 8 + i] for i in range(9))]}, "found a symbol of 128 letters"),
    ],
)
def test_a_damaged_tokeniser_is_said(content: dict[str, object], fault: str) -> None:
    with pytest.raises(BiorrnError, match=fault.replace("[", r"\[")):
        Tokeniser.from_dict(content)


def test_an_unknown_letter_is_said() -> None:
    with pytest.raises(BiorrnError, match="letter 'B' at position 3 is not one of ACDEF"):
        ALL["pairs"].encode("ACB")

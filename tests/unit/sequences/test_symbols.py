"""The alphabets of pairs of sequences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError
from biorrn.sequences.alphabets import ALPHABETS


@pytest.mark.parametrize("name", list(ALPHABETS))
def test_every_symbol_comes_back(name: str) -> None:
    alphabet = ALPHABETS[name]
    text = "".join(alphabet.symbols)
    codes = alphabet.encode(text)
    assert codes.dtype == np.uint8
    assert codes.tolist() == list(range(1, len(alphabet.symbols) + 1))  # 0 is no symbol
    assert alphabet.decode(codes) == text
    assert alphabet.encode("\n".join(text.lower())).tolist() == codes.tolist()


@given(st.lists(st.integers(1, 65), min_size=1))
def test_codons_round_trip(codes: list[int]) -> None:
    alphabet = ALPHABETS["codons"]
    assert alphabet.encode(alphabet.decode(codes)).tolist() == codes


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("dna", "augR", "ATGN"),
        ("rna", "atgr", "AUGN"),
        ("codons", "AUGANT", "ATGNNN"),
        ("residues", "MUB*", "MXX"),
    ],
)
def test_letters_that_are_read_as_others(name: str, text: str, read: str) -> None:
    assert ALPHABETS[name].decode(ALPHABETS[name].encode(text)) == read


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("dna", "ACEF", r"letter 'E' at position 3 is not one of ACGNT \(dna\)"),
        ("codons", "ATGA", "4 letters are no whole number of codons of 3"),
        ("residues", "MK7", "letter '7' at position 3"),
        ("residues", " *", "the sequence is empty"),
        ("dna", "é", "letter 'É' at position 1"),
    ],
)
def test_other_text_is_refused(name: str, text: str, fault: str) -> None:
    with pytest.raises(BiorrnError, match=fault):
        ALPHABETS[name].encode(text)

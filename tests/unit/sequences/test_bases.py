"""Base strings as codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError
from biorrn.sequences.alphabets import decode_bases, encode_bases, reverse_complement


@given(st.text(alphabet="ACGTN", max_size=40))
def test_there_and_back(text):
    codes = encode_bases(text)
    assert codes.dtype == np.uint8
    assert decode_bases(codes) == text
    assert np.array_equal(reverse_complement(reverse_complement(codes)), codes)


def test_codes_are_those_of_the_contract():
    assert encode_bases("NACGT").tolist() == [0, 1, 2, 3, 4]
    assert encode_bases("acgtuU").tolist() == [1, 2, 3, 4, 4, 4]


def test_reverse_complement():
    assert decode_bases(reverse_complement(encode_bases("AACGTN"))) == "NACGTT"


def test_another_letter_is_named():
    with pytest.raises(BiorrnError, match="base 'R' at position 3 is not one of ACGTUN"):
        encode_bases("ACR")

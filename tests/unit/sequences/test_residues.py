"""Tokens, one-hot rows and the fixed feature tables of residues."""

import numpy as np
import pytest
from Bio.Align import substitution_matrices
from Bio.SeqUtils import ProtParamData
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError
from biorrn.sequences.alphabets import (
    BASES,
    BLOSUM_UNIT,
    COMPLEMENT,
    N_TOKENS,
    PADDING,
    RESIDUES,
    SCALES,
    STANDARD,
    TABLES,
    UNKNOWN,
    one_hot,
    sequence,
    tokens,
)


def test_alphabets_agree():
    assert len(set(RESIDUES)) == 21
    assert N_TOKENS == 22
    assert RESIDUES[UNKNOWN - 1] == "X"
    assert len(BASES) == len(COMPLEMENT) == len(set(BASES)) == 5
    assert BASES.index("A") == 1


@given(st.text(alphabet=RESIDUES, max_size=60))
def test_tokens_and_back(text):
    codes = tokens(text)
    assert codes.dtype == np.uint8
    assert codes.shape == (len(text),)
    assert (codes != PADDING).all()
    assert sequence(codes) == text
    assert sequence(np.append(codes, [0, 0])) == text


def test_tokens_are_index_plus_one():
    assert tokens(RESIDUES).tolist() == list(range(1, 22))


@pytest.mark.parametrize(("text", "found"), [("MKJ", "'J' at position 3"), ("m", "'m' at position 1"), ("A-", "'-'")])
def test_a_letter_outside_the_alphabet_is_named(text, found):
    with pytest.raises(BiorrnError, match=found):
        tokens(text)


def test_a_letter_outside_latin_1_is_an_error():
    with pytest.raises(BiorrnError, match="position 2"):
        tokens("A\u03b1")


def test_one_hot_is_a_row_a_residue_and_zeros_for_padding():
    rows = one_hot(np.array([[1, 21, 0]], np.uint8))
    assert rows.shape == (1, 3, 21)
    assert rows.dtype == np.float32
    assert rows.sum(-1).tolist() == [[1, 1, 0]]
    assert rows[0, 0, 0] == rows[0, 1, 20] == 1


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_a_row_a_token(name):
    table = TABLES[name]
    assert table.dtype == np.float32
    assert table.shape[0] == N_TOKENS
    assert table.shape[1] >= 1
    assert np.isfinite(table).all()
    assert not table[PADDING].any()
    assert len(np.unique(table[1:21], axis=0)) == 20  # every standard residue can be told from the others


def test_blosum62_holds_the_scores():
    matrix = substitution_matrices.load("BLOSUM62")
    table = TABLES["blosum62"]
    square = table[1:21]
    assert np.array_equal(square, square.T)
    assert square[RESIDUES.index("W"), STANDARD.index("W")] * BLOSUM_UNIT == 11
    assert table[UNKNOWN, STANDARD.index("C")] * BLOSUM_UNIT == matrix["X", "C"]


def test_scales_are_standardised_and_x_is_their_mean():
    table = TABLES["scales"]
    assert table.shape == (N_TOKENS, len(SCALES))
    assert np.allclose(table[1:21].mean(0), 0, atol=1e-6)
    assert np.allclose(table[1:21].std(0), 1, atol=1e-6)
    assert not table[UNKNOWN].any()


def test_hydropathy_is_kyte_and_doolittle():
    values = np.array([ProtParamData.kd[residue] for residue in STANDARD])
    wanted = (values - values.mean()) / values.std()
    assert np.allclose(TABLES["scales"][1:21, SCALES.index("hydropathy")], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "highest", "lowest"),
    [
        ("volume", "W", "G"),
        ("charge", "KR", "DE"),
        ("polarity", "D", "L"),
        ("isoelectric", "R", "D"),
        ("helix", "E", "GP"),
        ("sheet", "V", "E"),
        ("turn", "NG", "I"),
        ("helix_cost", "P", "A"),
    ],
)
def test_the_ends_of_each_scale_are_the_known_residues(scale, highest, lowest):
    column = TABLES["scales"][1:21, SCALES.index(scale)]
    assert {STANDARD[i] for i in np.flatnonzero(column == column.max())} == set(highest)
    assert {STANDARD[i] for i in np.flatnonzero(column == column.min())} == set(lowest)

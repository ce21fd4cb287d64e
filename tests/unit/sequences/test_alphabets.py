"""Residues, bases, states of residues and their tokens."""

import numpy as np
import pytest
from Bio.Align import substitution_matrices
from Bio.SeqUtils import ProtParamData
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.sequences.alphabets import (
    ALPHABETS,
    BASES,
    BLOSUM_UNIT,
    COMPLEMENT,
    N_TOKENS,
    NO_STATE,
    PADDING,
    RESIDUES,
    SCALES,
    STANDARD,
    STATES,
    TABLES,
    UNKNOWN,
    decode_bases,
    encode_bases,
    letters_for,
    one_hot,
    parse_states,
    reverse_complement,
    sequence,
    tokens,
)
from biorrn.tagging.data import Substitution, conditional


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
    wanted = np.array([[matrix[row, column] for column in STANDARD] for row in RESIDUES])
    assert np.array_equal(np.round(table[1:] * BLOSUM_UNIT, 4), wanted)


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


EVEN = np.full(20, 100.0)


@pytest.mark.parametrize("name", sorted(STATES))
def test_every_letter_of_dssp_has_a_state(name: str) -> None:
    states = STATES[name]
    assert len(states.letters) == len(states.names) == int(name)
    codes = states.encode("GHIBESTC- P")
    assert codes.max() < len(states.letters)


def test_eight_states_become_three() -> None:
    three, eight = parse_states("3"), parse_states("8")
    assert "".join(three.letters[code] for code in three.encode("HGIEBTSC- P")) == "HHHEECCCCCC"
    assert "".join(eight.letters[code] for code in eight.encode("HGIEBTSC-")) == "HGIEBTSCC"


def test_a_letter_may_say_that_nothing_is_known() -> None:
    assert parse_states("8", unknown="-").encode("H-")[1] == NO_STATE
    assert parse_states("io", "?", "inside,outside", "topology").encode("i?o").tolist() == [0, NO_STATE, 1]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("7",), "found '7'"),
        (("HH",), "different letters"),
        (("io", "", "inside"), "allowed are 2 different names"),
        (("io", "o"), "'o' is a state"),
    ],
)
def test_states_that_cannot_be(given: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_states(*given)


def test_every_name_gets_a_letter() -> None:
    names = [f"gene {number}" for number in range(26)]
    assert len(set(letters_for(names))) == 26
    with pytest.raises(BiorrnError, match="at most 26"):
        letters_for([*names, "one more"])


def test_a_residue_is_replaced_by_others_as_blosum62_has_them() -> None:
    chances = conditional(EVEN)
    assert np.allclose(chances.sum(1), 1)
    assert not np.diag(chances).any()
    isoleucine = dict(zip(STANDARD, chances[STANDARD.index("I")], strict=True))
    assert sorted(isoleucine, key=isoleucine.__getitem__)[-2:] == ["L", "V"] or isoleucine["V"] > isoleucine["L"]
    rare = EVEN.copy()
    rare[STANDARD.index("V")] = 0
    assert conditional(rare)[STANDARD.index("I"), STANDARD.index("V")] < isoleucine["V"] / 10


def test_the_mean_share_is_the_rate_and_x_stays() -> None:
    given = tokens("ACDEFGHIKLMNPQRSTVWYX" * 10)

    def change(seed: int) -> np.ndarray:
        return Substitution(0.2, EVEN)(given, given, np.random.default_rng(seed))[0]

    shares = [(change(seed) != given).mean() for seed in range(200)]
    assert np.mean(shares) == pytest.approx(0.2 * 20 / 21, abs=0.03)
    assert max(shares) > 0.3
    assert min(shares) < 0.1
    changed = change(1)
    assert (changed[given == UNKNOWN] == UNKNOWN).all()
    assert changed.min() >= 1
    assert changed[given != UNKNOWN].max() <= 20
    assert np.array_equal(changed, change(1))


def test_a_rate_of_0_changes_nothing() -> None:
    given = tokens("MKV")
    assert Substitution(0.0, EVEN)(given, given, np.random.default_rng(0))[0] is given


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

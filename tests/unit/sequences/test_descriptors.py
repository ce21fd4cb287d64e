"""Descriptors of proteins."""

import numpy as np
import pytest
from Bio.SeqUtils.ProtParam import ProteinAnalysis
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.sequences import descriptors as module
from biorrn.sequences.alphabets import STANDARD, Layout, lay_out, scale, tokens
from biorrn.sequences.descriptors import (
    BLOCKS,
    CLASSES,
    NAMES,
    PAIR_BLOCKS,
    RESIDUE_CLASSES,
    WIDTHS,
    charge,
    charge_shapes,
    descriptors,
    end_classes,
    neighbours,
)

HYDROPATHY = dict(zip(STANDARD, scale("hydropathy"), strict=True))
PROTEINS = [
    "MKVLAAGIVGLCAKAYKLMNPQRSTWYFHHEEDD",
    "MEKRRAWDE",
    "PGSCCWYYCC",
    "ACDEFGHIKLMNPQRSTVWY" * 4,
    "GSSGSSGSSGKKKKKKKKKKKRRRRRRLLLLLLLLLLLLLLLLLLLEEEEEDDDD",
]


def describe(sequences: list[str]) -> np.ndarray:
    coded = [tokens(sequence) for sequence in sequences]
    joined = np.concatenate([*coded, np.zeros(0, np.uint8)])
    return descriptors(joined, np.array([len(code) for code in coded], np.int64))


def value(sequence: str, name: str) -> float:
    return float(describe([sequence])[0, NAMES.index(name)])


def test_columns_have_names_of_their_own_and_a_source() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert describe(["ACD"]).shape == (1, len(NAMES))
    assert describe(["ACD"]).dtype == np.float32
    assert all(block.source for block in BLOCKS.values())


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_gives_the_columns_that_it_names(name: str) -> None:
    coded = [tokens(sequence) for sequence in PROTEINS]
    layout = lay_out(np.concatenate(coded), np.array([len(code) for code in coded]))
    assert BLOCKS[name].describe(layout).shape == (len(PROTEINS), len(BLOCKS[name].names))


PROTPARAM = {
    "molecular_weight": lambda p: p.molecular_weight() / 1000,
    "charge": lambda p: p.charge_at_pH(7.0),
    "isoelectric_point": lambda p: p.isoelectric_point(),
    "gravy": lambda p: p.gravy(),
    "instability_index": lambda p: p.instability_index(),
    "aromaticity": lambda p: p.aromaticity(),
    "helix_formers": lambda p: p.secondary_structure_fraction()[0],
    "turn_formers": lambda p: p.secondary_structure_fraction()[1],
    "sheet_formers": lambda p: p.secondary_structure_fraction()[2],
    "extinction_reduced": lambda p: p.molar_extinction_coefficient()[0] / p.length,
    "extinction_cystines": lambda p: p.molar_extinction_coefficient()[1] / p.length,
    "fraction_K": lambda p: p.amino_acids_percent["K"] / 100,
}


@pytest.mark.parametrize("name", PROTPARAM)
def test_as_biopython_computes_it(name: str) -> None:
    found = describe(PROTEINS)[:, NAMES.index(name)]
    expected = np.array([PROTPARAM[name](ProteinAnalysis(sequence)) for sequence in PROTEINS])
    if name == "isoelectric_point":  # Biopython looks between 4.05 and 12 only
        found = np.clip(found, 4.05, 12)
    assert found == pytest.approx(expected, rel=1e-4, abs=2e-4)


@given(st.lists(st.text("ACDEFGHIKLMNPQRSTVWYX", max_size=40), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_protein_among_others_is_the_protein_alone(sequences: list[str]) -> None:
    together = describe(sequences)
    assert np.isfinite(together).all()
    for row, sequence in zip(together, sequences, strict=True):
        assert row == pytest.approx(describe([sequence])[0], rel=1e-5, abs=1e-5)


def test_blocks_of_rows_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = describe(PROTEINS)
    monkeypatch.setattr(module, "BLOCK", 40)
    assert describe(PROTEINS) == pytest.approx(whole, rel=1e-5, abs=1e-5)


def test_no_protein_no_residue_and_only_x() -> None:
    assert describe([]).shape == (0, len(NAMES))
    assert not describe([""]).any()
    assert np.isfinite(describe(["", "X", "XXXXXXXXXXXXXXX", "A", ""])).all()
    assert value("AXXX", "gravy") == pytest.approx(1.8)  # a mean over the known residue
    assert value("AXXX", "fraction_X") == pytest.approx(0.75)


@pytest.mark.parametrize(("codes", "lengths"), [([1, 2], [1]), ([1, 0], [2]), ([1, 22], [2])])
def test_what_is_no_protein_is_refused(codes: list[int], lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"lengths sum|allowed is 1 to 21"):
        descriptors(np.array(codes, np.uint8), np.array(lengths))


@pytest.mark.parametrize("sequence", PROTEINS)
def test_windows_and_lags_as_plain_loops(sequence: str) -> None:
    values = np.array([HYDROPATHY[residue] for residue in sequence])
    for width in (5, 9, 19):
        width_here = min(width, len(values))
        means = np.convolve(values, np.ones(width_here) / width_here, "valid")
        assert value(sequence, f"hydropathy_max{width}") == pytest.approx(means.max(), abs=1e-5)
        assert value(sequence, f"hydropathy_min{width}") == pytest.approx(means.min(), abs=1e-5)
    usual = np.array([HYDROPATHY[residue] for residue in STANDARD])
    standard = (values - usual.mean()) / usual.std()
    for lag in (1, 4, 8):
        expected = np.mean(standard[:-lag] * standard[lag:]) if len(values) > lag else 0.0
        assert value(sequence, f"hydropathy_lag{lag}") == pytest.approx(expected, abs=1e-5)
    turned = standard * np.exp(1j * np.deg2rad(100) * np.arange(len(values)))
    assert value(sequence, "moment100_whole") == pytest.approx(abs(turned.mean()), abs=1e-5)
    window = min(11, len(values))
    local = [abs(turned[i : i + window].mean()) for i in range(len(values) - window + 1)]
    assert value(sequence, "moment100_max") == pytest.approx(max(local), abs=1e-5)
    assert value(sequence, "moment100_mean") == pytest.approx(np.mean(local), abs=1e-5)
    assert value(sequence, "first_hydropathy") == pytest.approx(values[:10].mean(), abs=1e-5)
    assert value(sequence, "last_hydropathy") == pytest.approx(values[-10:].mean(), abs=1e-5)


@pytest.mark.parametrize("sequence", PROTEINS)
def test_low_complexity_as_a_plain_loop(sequence: str) -> None:
    window = min(12, len(sequence))
    pieces = [sequence[i : i + window] for i in range(len(sequence) - window + 1)]
    pairs = [sum(a == b for i, a in enumerate(piece) for b in piece[:i]) for piece in pieces]
    assert value(sequence, "low_complexity") == pytest.approx(np.mean([n >= 12 for n in pairs]))


@pytest.mark.parametrize("name", CLASSES)
def test_three_classes_share_the_twenty_residues(name: str) -> None:
    assert sorted("".join(CLASSES[name])) == sorted(STANDARD)


def test_distribution_on_a_worked_example() -> None:
    """K is class 1 of hydropathy, G class 2, L class 3."""
    sequence = "KKGLLKLL"
    assert [value(sequence, f"hydropathy_class{n}") for n in (1, 2, 3)] == pytest.approx([3 / 8, 1 / 8, 4 / 8])
    assert [value(sequence, f"hydropathy_change{n}") for n in ("12", "13", "23")] == pytest.approx(
        [1 / 7, 2 / 7, 1 / 7]
    )
    found = [value(sequence, f"hydropathy_class3_at{n}") for n in (0, 25, 50, 75, 100)]
    assert found == pytest.approx([4 / 8, 4 / 8, 5 / 8, 7 / 8, 8 / 8])


def test_worked_values() -> None:
    assert value("AAVV", "aliphatic_index") == pytest.approx(100 * (0.5 + 2.9 * 0.5))
    assert value("LLRR", "boman_index") == pytest.approx(5.0)  # -(2 * 4.92 - 2 * 14.92) / 4
    assert value("AACC", "entropy") == pytest.approx(1.0)
    assert value("AACC", "equal_next") == pytest.approx(2 / 3)
    assert value("KKDD", "charge_asymmetry") == 0
    assert value("KKKK", "charge_asymmetry") == pytest.approx(1)
    assert value("A" * 30, "low_complexity") == 1
    assert value("ACDEFGHIKLMNPQRSTVWY", "low_complexity") == 0


ODD = ["", "M", "XXXX", "MX", "MKTAYIAKQRGWLLEDDDKK" * 3, "W" * 40, "ACDEFGHIKLMNPQRSTVWY"]


def laid(*sequences: str) -> Layout:
    return lay_out(
        np.concatenate([tokens(sequence) for sequence in sequences] + [np.zeros(0, np.uint8)]),
        np.array([len(sequence) for sequence in sequences]),
    )


def test_every_block_has_a_width() -> None:
    assert set(WIDTHS) == set(PAIR_BLOCKS)
    assert sorted("".join(RESIDUE_CLASSES)) == sorted(STANDARD)


@pytest.mark.parametrize("name", PAIR_BLOCKS)
def test_any_sequence_has_finite_values_and_the_same_in_company(name: str) -> None:
    together = PAIR_BLOCKS[name](laid(*ODD))
    assert together.shape == (len(ODD), WIDTHS[name])
    assert np.isfinite(together).all()
    assert together[0] == pytest.approx(0.0)
    for row, sequence in enumerate(ODD[1:], 1):
        assert np.array_equal(PAIR_BLOCKS[name](laid(sequence))[0], together[row])


def test_pairs_are_counted_inside_a_sequence_only() -> None:
    found = np.square(neighbours(laid("ACAC", "CA"))).reshape(2, 20, 20)
    assert found[0, 0, 1] == pytest.approx(2 / 3)  # A then C
    assert found[0, 1, 0] == pytest.approx(1 / 3)
    assert found[1, 1, 0] == pytest.approx(1.0)
    assert found.sum((1, 2)) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("name", ["neighbours", "roots"])
def test_squares_sum_to_one_without_x(name: str) -> None:
    assert np.square(PAIR_BLOCKS[name](laid(ODD[4])))[0].sum() == pytest.approx(1.0)


def test_ends_are_those_of_the_sequence() -> None:
    found = end_classes(laid("K" * 10 + "G" * 30 + "D" * 10))[0].reshape(2, 2, len(RESIDUE_CLASSES))
    basic, acidic, small = RESIDUE_CLASSES.index("KR"), RESIDUE_CLASSES.index("DE"), RESIDUE_CLASSES.index("AG")
    assert found[0, 0, basic] == found[0, 1, acidic] == 1.0
    assert found[1, 0, small] == pytest.approx(2 / 3)


def test_charge_keeps_its_sign() -> None:
    layout = laid("KKKKGGGG", "DDDDGGGG")
    found = charge_shapes(layout)
    assert found[0, 0] > 0 > found[1, 0]
    assert found[:, 1] == pytest.approx(np.abs(found[:, 0]))
    assert found[:, 3] == pytest.approx(charge(layout)[:, 0])
    assert np.sign(found[:, 5]).tolist() == [1.0, -1.0]
    assert found[:, 6] == pytest.approx([0.5, 0.5])

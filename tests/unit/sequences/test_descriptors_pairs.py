"""Descriptors by pairs: counted right, bounded, and of one sequence alone."""

import numpy as np
import pytest

from biorrn.sequences.alphabets import STANDARD, Layout, lay_out, tokens
from biorrn.sequences.descriptors import (
    PAIR_BLOCKS,
    RESIDUE_CLASSES,
    WIDTHS,
    charge,
    charge_shapes,
    end_classes,
    neighbours,
)

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

"""Replicates, and values of one protein that contradict one another."""

import numpy as np
import pytest

from biorrn.sequences.repeats import distinct, repeats_of


def replicates(proteins: int, each: int = 2, noise: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the protein and the value of each row."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(proteins), each)
    return numbers, rng.normal(size=proteins)[numbers] + rng.normal(0, noise, len(numbers))


def test_rows_of_the_same_sequence_have_the_same_number() -> None:
    tokens = np.array([1, 2, 3, 1, 2, 3, 3], np.uint8)
    assert distinct(tokens, np.array([0, 3, 6, 7])).tolist() == [0, 0, 1]


def test_the_spread_of_repeats_is_that_of_the_noise() -> None:
    found = repeats_of(*replicates(400, 3, 0.2))
    assert (found.proteins, found.rows) == (400, 1200)
    assert found.spread == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("proteins", [8, 400])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_one_protein_with_two_values_is_found_and_noise_is_not(proteins: int, noise: float) -> None:
    numbers, values = replicates(proteins, 2, noise)
    assert repeats_of(numbers, values).contradicting == 0
    values[7] += 5
    found = repeats_of(numbers, values)
    assert found.contradicting == 1
    assert sorted(found.worst) == [6, 7]
    assert found.spread == pytest.approx(noise, rel=0.6)  # of the others
    names = ["", *"bcdef", "A4G", "A4G#2", *map(str, range(2 * proteins))]
    line = found.line(names, values)
    assert line.startswith(f"1 of {proteins} proteins that were measured several times")
    assert f"worst A4G: {values[6]:.4g} and {values[7]:.4g}, where repeats of the others differ by" in line


def test_replicates_that_are_all_noise_are_no_contradiction() -> None:
    assert repeats_of(*replicates(300, 2, 2.0)).contradicting == 0


def test_a_single_pair_is_compared_with_all_values() -> None:
    values = np.random.default_rng(0).normal(size=30)
    numbers = np.array([*range(29), 0])
    values[[0, 29]] = 0.0, 0.5
    assert repeats_of(numbers, values).contradicting == 0
    values[29] = 3.0
    assert repeats_of(numbers, values).contradicting == 1


def test_missing_values_and_single_rows_tell_nothing() -> None:
    found = repeats_of(np.array([0, 0, 1]), np.array([1.0, np.nan, 2.0]))
    assert (found.proteins, found.contradicting, found.line([], np.zeros(0))) == (0, 0, "")
    assert repeats_of(np.zeros(0, np.int64), np.zeros(0)).proteins == 0

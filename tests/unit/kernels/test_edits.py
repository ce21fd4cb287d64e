"""Myers' bit-parallel search against edlib."""

import edlib
import numpy as np
import pytest

from biorrn.kernels.edits import LONGEST, Patterns


@pytest.mark.parametrize("size", [1, 8, 31, LONGEST])
def test_distances_and_places_are_those_of_edlib(size: int) -> None:
    rng = np.random.default_rng(size)
    words = ["".join(rng.choice(list("ACGT"), size)) for _ in range(5)]
    texts = rng.integers(1, 5, (40, 60)).astype(np.uint8)
    lengths = np.concatenate([[0, 1, 2], rng.integers(3, 61, 37)])
    search = Patterns(words)
    distances, ends = search(texts, lengths)
    for row, length in enumerate(lengths):
        text = "".join("NACGT"[code] for code in texts[row, :length])
        for column, word in enumerate(words):
            if not text:
                assert distances[row, column] == size
                continue
            known = edlib.align(word, text, mode="HW", task="locations")
            assert distances[row, column] == known["editDistance"]
            places = {(first or 0, last + 1) for first, last in known["locations"] if last is not None}
            if distances[row, column] < size:
                assert ends[row, column] == min(end for _, end in places)
    best = distances.argmin(1)
    rows = np.flatnonzero(distances.min(1) < size)
    starts = search.starts(texts[rows], best[rows], ends[rows, best[rows]])
    for row, start in zip(rows, starts, strict=True):
        text = "".join("NACGT"[code] for code in texts[row, start : ends[row, best[row]]])
        assert edlib.align(words[best[row]], text)["editDistance"] == distances[row, best[row]]


def test_an_ambiguous_letter_equals_each_of_its_bases_and_an_unknown_base_none() -> None:
    texts = np.array([[1, 2, 3, 4], [0, 0, 0, 0]], np.uint8)
    assert Patterns(["NNNN", "RYRY", "ACGU"])(texts, np.array([4, 4]))[0].tolist() == [[0, 0, 0], [4, 4, 4]]


def test_two_bases_before_the_text_cost_one_edit() -> None:
    texts = np.array([[3, 4, 4, 4]], np.uint8)
    assert Patterns(["CCCCGTTT"], overhang=True)(texts, np.array([4]))[0].tolist() == [[2]]
    assert Patterns(["CCCCGTTT"])(texts, np.array([4]))[0].tolist() == [[4]]

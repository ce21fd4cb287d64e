"""Myers' bit-parallel search against edlib."""

import edlib
import numpy as np
import pytest

import biorrn.kernels.edits as edits
from biorrn.kernels.edits import LONGEST, Patterns, cpu
from biorrn.kernels.lstm.native import Kernels, available


@pytest.mark.parametrize("library", [None, *available()], ids=lambda each: each.isa if each else "numba")
@pytest.mark.parametrize("size", [1, 8, 31, LONGEST])
def test_distances_and_places_are_those_of_edlib(
    size: int, library: Kernels | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "kernels", lambda: library)
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
    for row in rows:
        start = search.start(texts[row], best[row], ends[row, best[row]])
        text = "".join("NACGT"[code] for code in texts[row, start : ends[row, best[row]]])
        assert edlib.align(words[best[row]], text)["editDistance"] == distances[row, best[row]]


def test_an_ambiguous_letter_equals_each_of_its_bases_and_an_unknown_base_none() -> None:
    texts = np.array([[1, 2, 3, 4], [0, 0, 0, 0]], np.uint8)
    assert Patterns(["NNNN", "RYRY", "ACGU"])(texts, np.array([4, 4]))[0].tolist() == [[0, 0, 0], [4, 4, 4]]


def test_two_bases_before_the_text_cost_one_edit() -> None:
    texts = np.array([[3, 4, 4, 4]], np.uint8)
    assert Patterns(["CCCCGTTT"], overhang=True)(texts, np.array([4]))[0].tolist() == [[2]]
    assert Patterns(["CCCCGTTT"])(texts, np.array([4]))[0].tolist() == [[4]]


@pytest.mark.parametrize("library", available(), ids=lambda each: each.isa)
@pytest.mark.parametrize("overhang", [False, True])
@pytest.mark.parametrize("count", [1, 31, 32, 33, 96])
def test_each_instruction_set_finds_what_numba_finds(
    count: int, overhang: bool, library: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(count)
    words = ["".join(rng.choice(list("ACGTN"), int(rng.integers(1, LONGEST + 1)))) for _ in range(count)]
    texts, lengths = rng.integers(0, 5, (30, 150)).astype(np.uint8), rng.integers(0, 151, 30)
    search, shape = Patterns(words, overhang), (len(texts), count)
    known = np.empty((2, *shape), np.int32)
    before = np.uint32(0xAAAAAAAA if overhang else 0xFFFFFFFF)
    cpu.search(texts, lengths, search._forward, search.lengths, before, *known)
    monkeypatch.setattr(edits, "kernels", lambda: library)
    assert [array.tolist() for array in search(texts, lengths)] == known.tolist()

"""Greedy and beam decoding against enumeration, plain Python and fast-ctc-decode."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biorrn.kernels.align import align, evidence
from biorrn.kernels.ctc.decode import beam, greedy
from biorrn.kernels.ctc.reference import all_sequences, collapse

seeds = st.integers(0, 100_000)


def posteriors(frames: int, symbols: int = 5, seed: int = 0, peak: float = 6.0, noise: float = 1.5) -> np.ndarray:
    """Return made probabilities (T, S): a base in every second frame, blanks in between, and noise."""
    draw = np.random.default_rng(seed)
    scores = draw.normal(0, noise, (frames, symbols))
    scores[:, 0] += peak / 2
    places = np.sort(draw.choice(frames, frames // 2, replace=False))
    scores[places, draw.integers(1, symbols, len(places))] += peak
    powers = np.exp(scores)
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def beam_reference(probs: np.ndarray, size: int = 5, threshold: float = 0.0) -> tuple[int, ...]:
    """Return what `beam` finds in probabilities (T, S), written plainly with dictionaries of prefixes."""
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {
        (): (1.0, 0.0)
    }  # prefix -> mass that ends in a blank, mass that ends in its last class
    for y in np.asarray(probs, np.float64):
        grown: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (quiet, sure) in prefixes.items():
            if y[0] > threshold:
                grown[prefix][0] += (quiet + sure) * y[0]
            for c in range(1, len(y)):
                if y[c] < threshold:
                    continue
                if prefix and prefix[-1] == c:
                    grown[prefix][1] += sure * y[c]
                    grown[(*prefix, c)][1] += quiet * y[c]
                else:
                    grown[(*prefix, c)][1] += (quiet + sure) * y[c]
        best = sorted(grown.items(), key=lambda item: -sum(item[1]))[:size]
        top = sum(best[0][1])
        prefixes = {prefix: (quiet / top, sure / top) for prefix, (quiet, sure) in best if quiet + sure > 0}
    return max(prefixes, key=lambda prefix: sum(prefixes[prefix]))


def test_greedy_merges_repeats_and_drops_blanks() -> None:
    bases, starts = greedy(np.eye(5, dtype=np.float32)[[0, 2, 2, 0, 2, 1, 1, 0, 4]])
    assert bases.tolist() == [2, 2, 1, 4]
    assert starts.tolist() == [1, 4, 5, 8]


@settings(max_examples=50, deadline=None)
@given(frames=st.integers(0, 60), symbols=st.integers(2, 6), seed=seeds)
def test_greedy_is_the_collapsed_best_path(frames: int, symbols: int, seed: int) -> None:
    probs = posteriors(frames, symbols, seed)
    bases, starts = greedy(probs)
    path = probs.argmax(1).tolist()
    assert tuple(bases.tolist()) == collapse(tuple(path))
    assert [path[t] for t in starts] == bases.tolist()
    assert (np.diff(starts) > 0).all()


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(0, 7), seed=seeds, noise=st.sampled_from([0.3, 1.0, 3.0]))
def test_a_wide_beam_finds_the_most_probable_sequence(frames: int, seed: int, noise: float) -> None:
    probs = posteriors(frames, 3, seed, peak=0.0, noise=noise)
    exact = all_sequences(probs)
    bases, _ = beam(probs, size=400)
    assert exact[tuple(bases.tolist())] == pytest.approx(max(exact.values()), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 50),
    size=st.sampled_from([1, 2, 5, 32]),
    threshold=st.sampled_from([0.0, 0.001, 0.1]),
    peak=st.sampled_from([0.0, 3.0, 8.0]),
    seed=seeds,
)
def test_equals_plain_python(frames: int, size: int, threshold: float, peak: float, seed: int) -> None:
    probs = posteriors(frames, seed=seed, peak=peak)
    bases, _ = beam(probs, size, threshold)
    assert tuple(bases.tolist()) == beam_reference(probs, size, threshold)


@pytest.mark.parametrize("peak", [0.0, 2.0, 6.0, 12.0])
@pytest.mark.parametrize("size", [5, 32])
def test_says_what_fast_ctc_decode_says(size: int, peak: float) -> None:
    package = pytest.importorskip("fast_ctc_decode")
    for seed in range(4):
        probs = posteriors(400, seed=seed, peak=peak)
        said, _ = package.beam_search(probs, "NACGT", beam_size=size, beam_cut_threshold=0.0)
        assert "".join("NACGT"[c] for c in beam(probs, size)[0]) == said
        said, path = package.viterbi_search(probs, "NACGT")
        bases, starts = greedy(probs)
        assert "".join("NACGT"[c] for c in bases) == said
        assert starts.tolist() == list(path)


def test_a_wider_beam_is_never_less_probable_than_greedy_here() -> None:
    # 0.6 blank twice is the best path (0.36), yet "1" has three paths (0.64)
    probs = np.array([[0.6, 0.4], [0.6, 0.4]], np.float32)
    assert greedy(probs)[0].tolist() == []
    assert beam(probs)[0].tolist() == [1]


@pytest.mark.parametrize("bad", [np.full((3, 5), np.nan, np.float32), np.zeros((3, 5), np.float32)])
def test_no_mass_is_an_error(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="beam search"):
        beam(bad)


def test_a_threshold_that_leaves_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"threshold 0\.5"):
        beam(np.full((3, 5), 0.2, np.float32), threshold=0.5)


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 7), seed=seeds, size=st.sampled_from([2, 20]))
@example(frames=5, seed=610, size=2)
def test_align_is_the_best_of_all_paths(frames: int, seed: int, size: int) -> None:
    probs = posteriors(frames, 3, seed, peak=0.0, noise=2.0)
    bases, earliest = beam(probs, size)
    starts = align(probs, bases, earliest)
    assert len(starts) == len(bases)
    assert (starts >= earliest).all()

    def begins(path: tuple[int, ...]) -> np.ndarray:
        return greedy(np.eye(3, dtype=np.float32)[list(path)])[1]

    # a narrow beam settles some bases late: no base may begin before the frame at which the beam had it
    paths = itertools.product(range(3), repeat=frames)
    fitting = [p for p in paths if collapse(p) == tuple(bases.tolist()) and (begins(p) >= earliest).all()]
    best = max(fitting, key=lambda path: np.prod([probs[t, c] for t, c in enumerate(path)], dtype=np.float64))
    assert starts.tolist() == begins(best).tolist()


def align_plainly(probs: np.ndarray, bases: list[int], earliest: list[int], band: int) -> list[int]:
    """Return what `align` does, by a table of (log-probability, starts) over all states of a frame's band."""
    states = [0] + [c for base in bases for c in (base, 0)]
    table: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    for t, y in enumerate(probs):
        high = 2 * sum(frame <= t for frame in earliest) + 1
        grown = {}
        for s in range(max(0, high - band), high):
            ways = [table[s]] if s in table else []
            for step in (1, 2):
                if s - step in table and (step == 1 or (s % 2 and states[s] != states[s - 2])):
                    score, starts = table[s - step]
                    ways.append((score, [*starts, t] if s % 2 else starts))
            if ways:
                score, starts = max(ways, key=lambda way: way[0])
                grown[s] = (score + float(np.log(y[states[s]])), starts)
        table = grown
    return max((table[s] for s in (2 * len(bases), 2 * len(bases) - 1) if s in table), key=lambda way: way[0])[1]


@settings(max_examples=60, deadline=None)
@given(frames=st.integers(1, 40), band=st.sampled_from([2, 3, 5, 64]), seed=seeds)
def test_align_searches_its_band(frames: int, band: int, seed: int) -> None:
    earliest, bases = np.arange(0, frames, 2, dtype=np.int32), np.random.default_rng(seed).integers(1, 3, frames)
    bases = bases[: len(earliest)].astype(np.uint8)
    probs = posteriors(frames, 3, seed, peak=0.0, noise=2.0)
    starts = align(probs, bases, earliest[: len(bases)], band)
    assert starts.tolist() == align_plainly(probs, bases.tolist(), earliest.tolist(), band)


@pytest.mark.parametrize("size", [5, 32])
def test_the_band_of_align_is_wide_enough(size: int) -> None:
    probs = posteriors(1500, seed=3, peak=2.0)
    bases, earliest = beam(probs, size)
    starts = align(probs, bases, earliest)
    assert len(starts) == len(bases)
    assert (np.diff(starts) > 0).all()
    np.testing.assert_array_equal(starts, align(probs, bases, earliest, band=2 * len(bases) + 1))


def test_peaks_look_from_a_base_to_the_next() -> None:
    probs = np.array([[0.1, 0.9], [0.4, 0.6], [0.9, 0.1], [0.3, 0.7], [0.2, 0.8]], np.float32)
    found = evidence(probs, np.array([1, 1], np.uint8), np.array([1, 3], np.int32))[:, 1]
    assert found.tolist() == pytest.approx([0.6, 0.8])

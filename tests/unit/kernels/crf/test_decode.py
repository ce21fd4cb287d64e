"""CTC-CRF decoding: posteriors, posterior Viterbi, alignment and beam search against listing all paths."""

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
import torch

from biorrn.kernels.crf import cpu as crf_numba
from biorrn.kernels.crf import decode as crf_beam
from biorrn.kernels.crf import decode as crf_decode
from biorrn.kernels.crf import reference as crf_reference
from biorrn.kernels.crf.decode import beam_search, posterior_viterbi

Decoder = Callable[..., crf_decode.Decoded]
each_decoder = pytest.mark.parametrize("decode", [posterior_viterbi, beam_search])
tiny = pytest.mark.parametrize(("k", "frames"), [(1, 1), (1, 5), (2, 3), (2, 4)])


def random_scores(frames: int, k: int, seed: int = 0, scale: float = 1.5) -> np.ndarray:
    """Return scores float32 (T, 5 S)."""
    return (scale * np.random.default_rng(seed).standard_normal((frames, 5 * 4**k))).astype(np.float32)


def confident(target: list[int], frames: list[int], length: int, k: int) -> np.ndarray:
    """Return scores of a model that is sure of a target, its first k bases the state before, and of its moves."""
    scores = random_scores(length, k, scale=0.1)
    stays, moves = crf_decode.chain(np.array(target), k)
    place = np.searchsorted(frames, np.arange(length), side="right")
    scores[np.arange(length), stays[place]] += 12
    scores[frames, moves[1:]] += 20
    return scores


def align_target(scores: np.ndarray, target: list[int], k: int) -> list[int]:
    """Return the frames of a target's moves on its best path, in no narrower a band than there is."""
    stays, moves = crf_decode.chain(np.array(target), k)
    count, t = len(stays) - 1, np.arange(len(scores))
    lows, highs = np.maximum(0, count - len(t) + 1 + t), np.minimum(t + 1, count) + 1
    found = crf_decode.align(scores, stays, moves, lows, highs)
    assert found.dtype == np.int32
    return found.tolist()


def listed_posteriors(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the posteriors of all transitions in float64, by listing all paths."""
    found = np.zeros(scores.shape)
    for _, _, columns, score in crf_reference.all_paths(scores, k):
        found[np.arange(len(scores)), columns] += np.exp(score)
    return found / found[0].sum()


@tiny
def test_posteriors_equal_the_sum_over_all_paths(k: int, frames: int) -> None:
    scores = random_scores(frames, k)
    found = crf_reference.posteriors(torch.from_numpy(scores).double()[None], torch.tensor([frames]), k)
    np.testing.assert_allclose(found[0], listed_posteriors(scores, k), atol=1e-12)


def test_calls_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = random_scores(300, 2)
    called = posterior_viterbi(scores, 2)
    monkeypatch.setattr(crf_decode, "BLOCK", 80 * 7)
    for one, other in zip(called, posterior_viterbi(scores, 2), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@tiny
def test_viterbi_finds_the_path_with_the_largest_product_of_posteriors(k: int, frames: int) -> None:
    for seed in range(5):
        scores = random_scores(frames, k, seed)
        logs = np.log(listed_posteriors(scores, k) + crf_decode.FLOOR)
        paths = crf_reference.all_paths(scores, k)
        _, best, columns = max(
            ((sum(logs[t, c] for t, c in enumerate(columns)), bases, columns) for _, bases, columns, _ in paths),
        )
        bases, starts, _ = posterior_viterbi(scores, k)
        assert tuple(bases.tolist()) == best
        assert starts.tolist() == [t for t, c in enumerate(columns) if c >= 4**k]


@tiny
def test_a_beam_of_full_width_finds_the_most_probable_sequence(k: int, frames: int) -> None:
    for seed in range(5):
        scores = random_scores(frames, k, seed)
        found: dict[tuple[int, ...], float] = defaultdict(float)
        for _, bases, _, score in crf_reference.all_paths(scores, k):
            found[bases] += np.exp(score)
        bases, _, _ = beam_search(scores, k, size=4**k * 5**frames, cut=0.0)
        assert tuple(bases.tolist()) == max(found, key=lambda sequence: found[sequence])


def test_sequences_short_of_a_state_are_summed_over_their_states() -> None:
    # staying is likely, in any of the 16 states alike; the best single path moves, from one of them
    scores = np.zeros((1, 80), np.float32)
    scores[0, 16 + 5] = 1.5
    scores[0, :16] = 0.5
    assert beam_search(scores, 2, size=100)[0].tolist() == []


def test_a_wider_beam_never_finds_a_less_probable_sequence() -> None:
    k, frames = 2, 60
    scores = random_scores(frames, k, seed=3)

    def log_probability(bases: np.ndarray) -> float:
        total = []
        for state in itertools.product(range(1, 5), repeat=k):
            target = torch.tensor([[*state, *bases.tolist()]])
            rest = torch.tensor([frames]), target, torch.tensor([target.shape[1]])
            total.append(crf_reference.log_target(torch.from_numpy(scores).double()[None], *rest, k).item())
        return float(np.logaddexp.reduce(total))

    found = [log_probability(beam_search(scores, k, size, cut=0.0)[0]) for size in (1, 16, 256)]
    assert found[0] < found[1] <= found[2] + 1e-9
    assert log_probability(posterior_viterbi(scores, k)[0]) < found[2]


@each_decoder
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_what_a_confident_model_says_is_called(decode: Decoder, k: int) -> None:
    draw = np.random.default_rng(k)
    target = draw.integers(1, 5, k + 200).tolist()
    target[50:58] = [1] * 8  # a homopolymer
    frames = np.sort(draw.choice(500, 200, replace=False)).tolist()
    bases, starts, quality = decode(confident(target, frames, 500, k), k)
    assert bases.dtype == np.uint8
    assert starts.dtype == np.int32
    assert quality.dtype == np.float32
    assert bases.tolist() == target[k:]
    assert starts.tolist() == frames
    assert quality.min() > 0.99
    assert quality.max() <= 1
    assert quality.shape == (len(bases), 2)


@each_decoder
@pytest.mark.parametrize("scale", [0.0, 1.0, 50.0, 1000.0])
def test_calls_are_well_formed_whatever_the_scores(decode: Decoder, scale: float) -> None:
    for seed in range(3):
        bases, starts, quality = decode(random_scores(40, 2, seed, scale), 2)
        assert len(bases) == len(starts) == len(quality)
        assert set(bases.tolist()) <= {1, 2, 3, 4}
        assert (np.diff(starts) > 0).all()
        assert ((quality >= 0) & (quality <= 1)).all()


@each_decoder
def test_no_frame_no_base(decode: Decoder) -> None:
    for part in decode(np.zeros((0, 20), np.float32), 1):
        assert len(part) == 0


def test_quality_is_the_share_between_the_neighbours() -> None:
    mass = np.array([[0.2, 0, 0, 0], [0.5, 0, 0, 0.1], [0.1, 0, 0, 0], [0.1, 0, 0, 0.3], [0, 0, 0, 0.9]], np.float32)
    # moves at 1 and 4: the first has frames 0 to 3, the second 2 to 4
    held = np.ones((5, 4), np.float32)
    found = crf_decode.evidence(mass, held, np.array([1, 4], np.uint8), np.array([1, 4], np.int32), 0)[:, 0]
    np.testing.assert_allclose(found, [0.9 / 1.3, 1.2 / 1.4], rtol=1e-6)


@each_decoder
@pytest.mark.parametrize("k", [1, 2])
def test_evidence_of_a_state_is_its_highest_posterior_until_the_next_move(decode: Decoder, k: int) -> None:
    states = 4**k
    for seed in range(5):
        scores = random_scores(30, k, seed)
        bases, starts, evidence = decode(scores, k)
        found = crf_reference.posteriors(torch.from_numpy(scores).double()[None], torch.tensor([30]), k)[0].numpy()
        after = found[:, :states] + found[:, states:].reshape(30, 4, states).sum(1)  # (T, S): the state after a frame
        ends = [*starts[1:], 30]
        for i in range(k - 1, len(bases)):  # from here on the bases alone say which state it is
            state = sum((int(b) - 1) * 4**n for n, b in enumerate(bases[i - k + 1 : i + 1][::-1]))
            assert evidence[i, 1] == pytest.approx(after[starts[i] : ends[i], state].max(), abs=1e-5)


def test_quality_falls_where_two_bases_are_as_likely() -> None:
    # A; at frame 10 C or G, at frame 20 surely T: in either case the path is sure but for one base
    scores = np.full((30, 20), -10.0, np.float32)
    scores[:10, 0] = scores[10:20, 1] = scores[10:20, 2] = scores[20:, 3] = 5.0
    scores[10, 4 + 1] = scores[10, 4 + 2] = scores[20, 8 + 3] = scores[20, 12 + 3] = 20.0
    bases, starts, evidence = posterior_viterbi(scores, 1)
    assert bases.tolist() in ([2, 4], [3, 4])
    assert starts.tolist() == [10, 20]
    np.testing.assert_allclose(evidence, [[0.5, 0.5], [1.0, 1.0]], atol=1e-3)


def best_listed(scores: np.ndarray, target: list[int], k: int) -> list[int]:
    """Return the frames of a target's moves on its best path."""
    start = sum((base - 1) * 4 ** (k - 1 - i) for i, base in enumerate(target[:k]))
    paths = crf_reference.all_paths(scores, k)
    right = [(score, columns) for first, bases, columns, score in paths if (first, *bases) == (start, *target[k:])]
    return [t for t, column in enumerate(max(right)[1]) if column >= 4**k]


@tiny
def test_align_finds_the_best_path(k: int, frames: int) -> None:
    for moves in range(frames + 1):
        scores = random_scores(frames, k, moves)
        target = np.random.default_rng(moves).integers(1, 5, k + moves).tolist()
        assert align_target(scores, target, k) == best_listed(scores, target, k)


@pytest.mark.parametrize("held", [1, 2**10, 2**26])
def test_align_does_not_depend_on_how_much_traceback_is_held(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crf_decode, "TRACE", held)
    draw = np.random.default_rng(0)
    target, frames = draw.integers(1, 5, 153).tolist(), np.sort(draw.choice(400, 150, replace=False)).tolist()
    assert align_target(confident(target, frames, 400, 3), target, 3) == frames


def test_align_of_what_beam_search_calls_gives_its_starts() -> None:
    scores = random_scores(120, 2, seed=5)
    bases, starts, _ = beam_search(scores, 2)
    ways = [align_target(scores, [*state, *bases.tolist()], 2) for state in itertools.product(range(1, 5), repeat=2)]
    assert starts.tolist() in ways


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: posterior_viterbi(np.zeros((3, 20)), 2), r"scores of shape \(3, 20\); state_len 2 needs 80 columns"),
        (lambda: posterior_viterbi(np.full((3, 20), np.nan, np.float32), 1), r"NaN or infinity .* frames 0 to 2"),
        (lambda: beam_search(np.full((3, 20), -np.inf, np.float32), 1), r"NaN or infinity .* frames 0 to 2"),
        (lambda: crf_decode.chain(np.array([1]), 2), r"a target of 1 bases; allowed are 2 or more"),
        (lambda: crf_decode.chain(np.array([1, 5]), 1), r"allowed are 1 or more of 1 to 4"),
        (lambda: align_target(np.full((2, 20), -np.inf), [1, 2], 1), r"score of -inf or NaN"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_each_width_of_number_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = random_scores(60, 2, seed=1)
    narrow = posterior_viterbi(scores, 2)
    # so large a least value that nothing overlaps by enough more
    monkeypatch.setattr(crf_numba, "LEAST", crf_numba.LEAST | {np.dtype(np.float32): 1.0})
    for one, other in zip(narrow, posterior_viterbi(scores, 2), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 10, 40])
def test_the_threshold_leaves_what_sorting_leaves(size: int) -> None:
    for seed in range(20):
        values = np.random.default_rng(seed).integers(0, 8, 30).astype(np.float64)
        bar, spare = crf_beam.threshold(values, size)
        assert (values > bar).sum() + spare == min(size, 30) or (size > 30 and bar < 0)
        assert sorted([*values[values > bar], *[bar] * spare]) == sorted(values)[-size:]


@each_decoder
def test_threads_do_not_change_the_calls(decode: Decoder) -> None:
    reads = [random_scores(100 + i, 3, seed=i) for i in range(6)]
    alone = [decode(read, 3) for read in reads]
    found: dict[int, crf_decode.Decoded] = {}

    def work(i: int) -> None:
        found[i] = decode(reads[i], 3)

    callers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for i, expected in enumerate(alone):
        for one, other in zip(found[i], expected, strict=True):
            np.testing.assert_array_equal(one, other)

"""Every decoder: exact where the model is sure, the best of all where the read is tiny, one quality a base."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError
from biorrn.kernels.ctc.decode import beam
from biorrn.kernels.ctc.reference import all_sequences
from biorrn.nanopore.basecall.decode import DECODERS, Decoded, calibrated, move_table, prefix_beam, softmax
from biorrn.nanopore.basecall.quality import Calibration, Curve, phred

each_decoder = pytest.mark.parametrize("name", DECODERS)


@each_decoder
@pytest.mark.parametrize("height", [8.0, 300.0])
def test_a_sure_model_is_read_exactly(name: str, height: float) -> None:
    path = [0, 1, 1, 0, 1, 2, 0, 0, 3, 4, 4]
    called = DECODERS[name](height * np.eye(5, dtype=np.float32)[path])
    assert called.bases == "AACGT"
    assert called.moves.tolist() == [0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0]
    assert called.quals.tolist() == [29 if height == 8 else 40] * 5


@each_decoder
@pytest.mark.parametrize("frames", [1, 2, 17, 300])
def test_one_quality_and_one_move_a_base(name: str, frames: int) -> None:
    scores = np.random.default_rng(frames).normal(0, 3, (frames, 5)).astype(np.float32)
    called = DECODERS[name](scores)
    assert set(called.bases) <= set("ACGT")
    assert called.quals.dtype == called.moves.dtype == np.uint8
    assert called.quals.shape == (len(called.bases),)
    assert called.moves.shape == (frames,)
    assert called.moves.sum() == len(called.bases)
    assert called.moves.max(initial=0) <= 1
    assert ((called.quals >= 1) & (called.quals <= 40)).all()


@each_decoder
def test_an_empty_read_is_an_empty_call(name: str) -> None:
    called = DECODERS[name](np.zeros((0, 5), np.float32))
    assert (called.bases, len(called.quals), len(called.moves)) == ("", 0, 0)


@each_decoder
def test_blanks_only_are_an_empty_call(name: str) -> None:
    called = DECODERS[name](np.tile(np.float32([9, 0, 0, 0, 0]), (20, 1)))
    assert (called.bases, len(called.quals), called.moves.sum()) == ("", 0, 0)


@each_decoder
def test_log_probabilities_do_as_well_as_scores(name: str) -> None:
    scores = np.random.default_rng(1).normal(0, 4, (80, 5)).astype(np.float32)
    one, other = DECODERS[name](scores), DECODERS[name](np.log(softmax(scores)))
    assert one.bases == other.bases
    np.testing.assert_array_equal(one.moves, other.moves)
    np.testing.assert_allclose(one.quals.astype(int), other.quals.astype(int), atol=1)


@each_decoder
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_model_is_an_error(name: str, bad: float) -> None:
    scores = np.zeros((4, 5), np.float32)
    scores[2, 1] = bad
    with pytest.raises(BiorrnError, match="NaN or infinity"):
        DECODERS[name](scores)


def test_a_wide_beam_is_the_best_of_all_sequences() -> None:
    for seed in range(5):
        scores = np.random.default_rng(seed).normal(0, 2, (5, 5)).astype(np.float32)
        exact = all_sequences(softmax(scores))
        found = tuple(beam(softmax(scores), 1000)[0].tolist())
        assert exact[found] == pytest.approx(max(exact.values()), rel=1e-5)


def test_a_base_is_put_where_it_is_sure_not_where_the_beam_first_thought_of_it() -> None:
    scores = np.tile(np.float32([6, 0, 0, 0, 0]), (9, 1))
    scores[6, 2] = 20
    called = prefix_beam(scores)
    assert called.bases == "C"
    assert called.moves.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0]


def crf_scores(bases: list[int], state_len: int, height: float) -> np.ndarray:
    """Return scores (T, 5 S) of a CRF that moves to the next base in every third frame and stays in between."""
    states = 4**state_len
    scores = np.zeros((3 * len(bases), 5 * states), np.float32)
    state = 0
    for i, base in enumerate(bases):
        after = (4 * state + base - 1) % states
        column = (1 + state // (states // 4)) * states + after  # of the plane of the base that is forgotten
        scores[3 * i, column] = height
        scores[3 * i + 1 : 3 * i + 3, after] = height
        state = after
    return scores


@each_decoder
@pytest.mark.parametrize("state_len", [1, 2, 3])
def test_a_sure_crf_is_read_exactly(name: str, state_len: int) -> None:
    bases = [1, 1, 2, 3, 4, 4, 4, 2, 1]
    called = DECODERS[name](crf_scores(bases, state_len, 30.0))
    assert called.bases == "AACGTTTCA"
    assert called.moves.tolist() == [1, 0, 0] * len(bases)
    assert called.quals.tolist() == [40] * len(bases)
    empty = DECODERS[name](np.zeros((0, 5 * 4**state_len), np.float32))
    assert (empty.bases, len(empty.quals), len(empty.moves)) == ("", 0, 0)


@each_decoder
def test_a_calibration_is_applied(name: str) -> None:
    for scores in (crf_scores([1, 2, 3], 2, 3.0), 2 * np.eye(5, dtype=np.float32)[[0, 1, 2, 0]]):
        plain = DECODERS[name](scores)
        assert plain.evidence is not None
        assert plain.evidence.shape == (len(plain.bases), 2)
        assert calibrated(plain, None) is plain
        flat = Curve(np.zeros(1), np.array([np.log(0.1 / 0.9)]))
        assert calibrated(plain, Calibration(0.0, {}, flat)).quals.tolist() == [10] * len(plain.bases)


@pytest.mark.parametrize("columns", [4, 6, 21, 64])
def test_scores_of_no_known_head_are_an_error(columns: int) -> None:
    with pytest.raises(BiorrnError, match=f"{columns} columns"):
        DECODERS["greedy"](np.zeros((3, columns), np.float32))


def test_quality_grows_with_the_probability() -> None:
    quals = phred(np.linspace(0, 1, 101)).astype(int)
    assert (np.diff(quals) >= 0).all()
    assert (quals[0], quals[90], quals[-1]) == (1, 10, 40)


@given(
    moves=st.lists(st.booleans(), min_size=1, max_size=40),
    short=st.integers(0, 4),
    trimmed=st.integers(0, 9),
)
def test_a_move_table_spans_the_signal_and_begins_with_a_base(moves: list[bool], short: int, trimmed: int) -> None:
    """floor((ns - ts) / stride) blocks, the first is 1, as many are 1 as there are bases, none moves by far."""
    made = Decoded("A" * sum(moves), np.arange(sum(moves), dtype=np.uint8), np.array(moves, np.uint8))
    samples = trimmed + 5 * len(moves) - short
    found, ts = move_table(made, samples, trimmed, 5)
    assert len(found.moves) == (samples - ts) // 5
    assert found.moves.sum() == len(found.bases) == len(found.quals) == min(sum(moves), (samples - trimmed) // 5)
    assert found.moves.dtype == np.uint8
    assert (ts - trimmed) % 5 == 0
    if found.bases:
        assert found.moves[0] == 1
        before = trimmed + 5 * np.flatnonzero(moves)[: len(found.bases)]
        after = ts + 5 * np.flatnonzero(found.moves)
        late = np.flatnonzero(before != after)
        assert ((before - after)[late] == 5).all()  # by one block, and only bases that the last frame pushes
        assert short > 0 or not len(late)
        assert not len(late) or (np.diff(after[late[0] :]) == 5).all()

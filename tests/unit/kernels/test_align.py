"""The best path of a known sequence: as an enumeration of all paths finds it, and what the band forbids."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.kernels import align as forced
from biorrn.kernels.align import force_crf, force_ctc


def random_probs(rng, frames):
    powers = np.exp(rng.normal(0, 2, (frames, 5)))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def ctc_by_hand(probs, bases):
    """Return the first frames of the bases on the best of all paths, and whether there is one."""
    best, found = -np.inf, None
    for path in itertools.product(range(5), repeat=len(probs)):
        fresh = [t for t, c in enumerate(path) if c and (t == 0 or path[t - 1] != c)]
        if [path[t] for t in fresh] != list(bases):
            continue
        score = sum(np.log(probs[t, c]) for t, c in enumerate(path))
        if score > best:
            best, found = score, fresh
    return found


@given(st.integers(0, 2**31), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_ctc_is_the_best_of_all_paths(seed, bases, frames):
    probs = random_probs(np.random.default_rng(seed), frames)
    found = force_ctc(probs, np.array(bases, np.uint8), np.zeros(len(bases), int))
    wanted = ctc_by_hand(probs, bases)
    assert (None if found is None else found.tolist()) == wanted


@given(st.integers(0, 2**31), st.integers(1, 2), st.integers(1, 3), st.integers(1, 8))
@settings(deadline=None)
def test_crf_is_the_best_of_all_paths(seed, state_len, moves, frames):
    rng = np.random.default_rng(seed)
    states = 4**state_len
    scores = rng.normal(0, 2, (frames, 5 * states)).astype(np.float32)
    bases = rng.integers(1, 5, state_len + moves).astype(np.uint8)
    guess = np.zeros(len(bases), int)
    found = force_crf(scores, bases, guess, state_len)
    best, wanted = -np.inf, None
    for frames_of in itertools.combinations(range(frames), moves):
        state, score, made = int("".join(str(base - 1) for base in bases[:state_len]), 4), 0.0, 0
        for t in range(frames):
            if t in frames_of:
                forgotten = state // 4 ** (state_len - 1)
                state = (state * 4 + int(bases[state_len + made]) - 1) % states
                score += scores[t, (1 + forgotten) * states + state]
                made += 1
            else:
                score += scores[t, state]
        if score > best:
            best, wanted = score, list(frames_of)
    if wanted is None:
        assert found is None
    else:
        assert found[state_len:].tolist() == wanted
        assert (found[:state_len] <= wanted[0]).all()


@pytest.mark.parametrize("length", [1, 40, 300])
def test_a_peaked_matrix_gives_its_peaks_whatever_the_band(length):
    rng = np.random.default_rng(length)
    bases = rng.integers(1, 5, length).astype(np.uint8)
    frames = np.cumsum(rng.integers(2, 5, length))
    probs = np.full((int(frames[-1]) + 3, 5), 0.01, np.float32)
    probs[:, 0] = 0.96
    probs[frames, 0], probs[frames, bases] = 0.01, 0.96
    guess = np.maximum.accumulate(np.clip(frames + rng.integers(-8, 9, length), 0, len(probs) - 1))
    assert force_ctc(probs, bases, guess).tolist() == frames.tolist()


def test_a_guess_far_off_finds_no_path_within_the_band():
    frames, bases = 400, np.tile(np.array([1, 2], np.uint8), 60)
    probs = random_probs(np.random.default_rng(0), frames)
    near = np.linspace(0, frames - 3, len(bases)).astype(int)
    assert force_ctc(probs, bases, near) is not None
    late = np.full(len(bases), frames - 1)  # all bases in the last frames, which are too few
    assert len(bases) > forced.REACH
    assert force_ctc(probs, bases, late) is None


@pytest.mark.parametrize(("frames", "bases"), [(0, [1]), (5, []), (2, [1, 1]), (1, [1, 2])])
def test_what_cannot_be_read_has_no_path(frames, bases):
    probs = np.full((frames, 5), 0.2, np.float32)
    assert force_ctc(probs, np.array(bases, np.uint8), np.zeros(len(bases), int)) is None

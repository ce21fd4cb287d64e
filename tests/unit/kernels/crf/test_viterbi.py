"""The compiled posterior Viterbi finds what the one in numba does, for every instruction set."""

import numpy as np
import pytest

from biorrn.kernels.crf import decode as plain
from biorrn.kernels.crf import viterbi
from biorrn.kernels.crf.viterbi import posterior_viterbi
from biorrn.kernels.lstm.native import Kernels, available

FOUND = available()
each_set = pytest.mark.parametrize("kernels", FOUND, ids=[each.isa for each in FOUND])
pytestmark = pytest.mark.skipif(not FOUND, reason="no library was built")


@pytest.fixture
def alone(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """One instruction set, and nothing to fall back to."""

    def refused(scores: np.ndarray, state_len: int) -> None:
        raise AssertionError("numba was called")

    monkeypatch.setattr(viterbi, "kernels", lambda: kernels)
    monkeypatch.setattr(plain, "posterior_viterbi", refused)


def random_scores(frames: int, k: int, scale: float = 3.0, seed: int = 0) -> np.ndarray:
    """Return scores float32 (T, 5 S)."""
    return (scale * np.random.default_rng(seed).standard_normal((frames, 5 * 4**k))).astype(np.float32)


numba = plain.posterior_viterbi


@each_set
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("frames", [0, 1, 2, 17, 300])
def test_calls_are_those_of_numba(frames: int, k: int) -> None:
    for seed, scale in enumerate((0.5, 2.0, 4.0)):
        scores = random_scores(frames, k, scale, seed)
        (bases, starts, evidence), wanted = posterior_viterbi(scores, k), numba(scores, k)
        assert (bases.dtype, starts.dtype, evidence.dtype) == (np.uint8, np.int32, np.float32)
        np.testing.assert_array_equal(bases, wanted[0])
        np.testing.assert_array_equal(starts, wanted[1])
        np.testing.assert_allclose(evidence, wanted[2], atol=2e-5)


@each_set
@pytest.mark.usefixtures("alone")
def test_a_constant_added_to_a_frame_changes_nothing() -> None:
    scores = np.round(random_scores(80, 3), 2)
    shifted = scores + np.float32(64) * np.arange(80, dtype=np.float32)[:, None]
    for one, other in zip(posterior_viterbi(scores, 3), posterior_viterbi(shifted, 3), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)  # sums with 5,000 have three decimals


@each_set
@pytest.mark.usefixtures("alone")
def test_scores_are_left_as_they_were() -> None:
    scores = random_scores(40, 3)
    before = scores.copy()
    posterior_viterbi(scores, 3)
    np.testing.assert_array_equal(scores, before)


@each_set
def test_scores_too_far_apart_for_float32_are_decoded_by_numba(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viterbi, "kernels", lambda: kernels)
    asked = []
    monkeypatch.setattr(plain, "posterior_viterbi", lambda *given: asked.append(given) or numba(*given))
    for scores, k in ((random_scores(60, 3, 1000.0), 3), (random_scores(30, 2).astype(np.float64), 2)):
        for one, other in zip(posterior_viterbi(scores, k), numba(scores, k), strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(asked) == 2


@each_set
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (29, 319), (12, 70)])
def test_a_score_that_is_not_finite_is_named(odd: float, place: tuple[int, int]) -> None:
    scores = random_scores(30, 3)
    scores[place] = odd
    with pytest.raises(ValueError, match=f"NaN or infinity in frame {place[0]}$"):
        posterior_viterbi(scores, 3)

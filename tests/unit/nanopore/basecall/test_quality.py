"""Qualities of bases with and without a calibration."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.nanopore.basecall.quality import (
    FEATURES,
    HIGHEST,
    LOWEST,
    Calibration,
    Curve,
    Line,
    calibration_of,
    entry_of,
    features,
    phred,
)

PLACE = {name: column for column, name in enumerate(FEATURES)}


def curve(at: list[float], gives: list[float]) -> Curve:
    return Curve(np.array(at), np.array(gives))


def a_read(n: int, seed: int = 0) -> tuple[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list("AC"), n)), rng.random((n, 2)).astype(np.float32)


RUN = curve([1, 4], [0, 1])
MADE = Calibration(0.5, {"state": curve([0, 10, 20], [0, -1, -4]), "run": RUN}, curve([-9, 9], [-9, 9]))


@given(st.lists(st.floats(0, 1, width=32), max_size=50))
def test_one_quality_a_base_in_range_and_in_order(values: list[float]) -> None:
    probabilities = np.sort(np.array(values, np.float32))
    found = phred(probabilities)
    assert found.dtype == np.uint8
    assert found.shape == probabilities.shape
    assert ((found >= LOWEST) & (found <= HIGHEST)).all()
    assert (np.diff(found.astype(int)) >= 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 70, 200])
def test_features_are_what_their_names_say(n: int) -> None:
    bases, evidence = a_read(n)
    found = features(bases, evidence)
    assert found.shape == (n, len(FEATURES))
    assert np.isfinite(found).all()
    share, state = (-10 * np.log10(np.clip(1 - evidence[:, c], 1e-4, 1)) for c in (0, 1))
    for i in range(n):
        run = [bases[j] == bases[i] for j in range(n)]
        first = next(j for j in range(i, -1, -1) if j == 0 or not run[j - 1])
        last = next(j for j in range(i, n) if j == n - 1 or not run[j + 1])
        expected = {
            "state": state[i],
            "next_state": state[min(i + 1, n - 1)],
            "second_state": state[min(i + 2, n - 1)],
            "share": share[i],
            "run": min(12, last - first + 1),
            "place": min(12, i - first),
            "read_share": 1 - evidence[:, 0].mean(),
        }
        assert found[i] == pytest.approx([expected[name] for name in FEATURES], abs=2e-3)


def test_a_calibration_adds_its_curves() -> None:
    x = np.zeros((4, len(FEATURES)), np.float32)
    x[:, PLACE["state"]] = [-5, 5, 15, 99]
    x[:, PLACE["run"]] = [1, 1, 2.5, 9]
    assert MADE.sums(x) == pytest.approx([0.5, 0.0, -1.5, -2.5])
    assert MADE.errors(x) == pytest.approx(1 / (1 + np.exp([-0.5, 0.0, 1.5, 2.5])))


def test_qualities_are_of_the_errors() -> None:
    bases, evidence = a_read(100)
    found = MADE.qualities(bases, evidence)
    assert found.tolist() == phred(1 - MADE.errors(features(bases, evidence))).tolist()
    assert len(MADE.qualities("", np.zeros((0, 2), np.float32))) == 0


def test_calibration_among_the_facts_of_a_model() -> None:
    assert calibration_of({"task": "basecalling"}) is None
    again = calibration_of(json.loads(json.dumps({"qscore": entry_of(MADE)})))
    assert again is not None
    assert entry_of(again) == entry_of(MADE)


FINAL = {"at": [0, 1], "gives": [0, 1]}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "KeyError 'terms'"),
        ({"slope": 1.0, "shift": 0.0}, "KeyError 'terms'"),
        ({"terms": [], "intercept": float("nan"), "final": FINAL}, "intercept"),
        ({"terms": [], "intercept": 0, "final": {"at": [0, 1], "gives": [1, 0]}}, "the final map falls"),
        ({"terms": [{"feature": "luck", **FINAL}], "intercept": 0, "final": FINAL}, "feature 'luck' is unknown"),
        ({"terms": [{"feature": "run", "at": [1, 1], "gives": [0, 0]}], "intercept": 0, "final": FINAL}, "not rise"),
        ({"terms": [{"feature": "run", "at": [1], "gives": []}], "intercept": 0, "final": FINAL}, "shapes"),
        ({"terms": 3, "intercept": 0, "final": FINAL}, "TypeError"),
        (3, "TypeError"),
        ([], "TypeError"),
    ],
)
def test_calibration_that_is_none_is_one_line(found: object, said: str) -> None:
    with pytest.raises(
        ConfigError, match=r"calibration of Q-scores cannot be used .*; biorrn evaluate calibrate makes"
    ) as error:
        calibration_of({"qscore": found})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_noise_is_worth_little_to_the_shipped_model() -> None:
    """Open pore, a saturated digitiser, scrambled samples and the like, of another seed than the calibration's."""
    from biorrn.nanopore.basecall.caller import basecall
    from biorrn.nanopore.evaluate.calibrate import NOISE, noise_records
    from biorrn.nanopore.readers.calls import mean_phred
    from biorrn.nn.store import load_model

    like = [np.random.default_rng(3).normal(90, 14, 20_000)]
    calls = list(basecall(load_model("dna_r9.4.1_fast"), noise_records(like, 4000.0, each=1, seed=77)))
    found = {call.read_id.split()[0]: mean_phred(call.quals) for call in calls}
    assert len(found) > len(NOISE) / 2
    pure = {"gaussian", "open_pore", "saturated", "scrambled", "smooth"}
    assert {kind: q for kind, q in found.items() if q > (4 if kind in pure else 7)} == {}


def test_a_line_turns_the_own_quality_of_a_base() -> None:
    line = calibration_of({"qscore": {"scale": 0.9, "bias": -0.3}})
    assert line == Line(0.9, -0.3)
    evidence = np.array([[0.9, 0], [0.999, 0], [1.0, 0], [0.0, 0]], np.float32)
    assert line.qualities("ACGT", evidence).tolist() == [9, 27, 36, 1]  # 9, 27 and 36 less 0.3; at least 1
    line = calibration_of({"qscore": {"scale": 0.9, "bias": -0.3, "own": 1}})  # of CTC
    assert line.qualities("AC", evidence[:2, ::-1]).tolist() == [9, 27]
    line = calibration_of({"qscore": {"scale": 1.0, "bias": 0.0, "own": 1, "power": 0.5}})  # of Dorado's kind
    assert line.qualities("AC", np.array([[0, 0.81], [0, 0.9801]], np.float32)).tolist() == [10, 20]
    for scale in (0.0, float("nan"), "x"):
        with pytest.raises(ConfigError, match="cannot be used"):
            calibration_of({"qscore": {"scale": scale, "bias": 0.0}})

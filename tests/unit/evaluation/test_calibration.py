"""The fit of qualities: it finds the line that was drawn from, holds on other reads, and refuses too little."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.errors import BiorrnError
from biorrn.evaluation.alignment import Mapper, Region
from biorrn.evaluation.basecalls import score_reads
from biorrn.evaluation.calibration import calibrate, calibrated, entries, fit_line, summary_lines
from biorrn.evaluation.quality import calibration_error
from biorrn.evaluation.sequences import BaseCall
from biorrn.inference.quality import Calibration, calibration_of

GENOME = "".join(np.random.default_rng(7).choice(list("ACGT"), 20_000))


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> Mapper:
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    path.write_text(f">g\n{GENOME}\n")
    return Mapper(path)


def reads(n: int, truth: Calibration, length: int = 800, seed: int = 0) -> Iterator[BaseCall]:
    """Yield reads whose base of own quality Q is a mismatch, an insertion or after a gap as often as `truth` says.

    Where an insertion or a gap could as well stand elsewhere, there is a mismatch instead.
    """
    rng = np.random.default_rng(seed)
    for number in range(n):
        place = int(rng.integers(10, len(GENOME) - length - 300))
        bases = []
        quals = rng.integers(6, 31, length)
        wrong = rng.random(length) < 10 ** (-truth.apply(quals) / 10)
        for error in wrong.tolist():
            before, here, after = GENOME[place - 1 : place + 2]
            others = [letter for letter in "ACGT" if letter not in (before, here, after)]
            kind = rng.choice(["mismatch", "insertion", "gap"], p=[0.5, 0.2, 0.3]) if error else "right"
            if kind == "gap" and before != here != after:
                bases.append(after)
                place += 2
            elif kind == "insertion" and bases and bases[-1] == before:
                bases.append(str(rng.choice(others)))
            else:
                bases.append(str(rng.choice(others)) if error else here)
                place += 1
        yield BaseCall(f"r{number}", "".join(bases), quals.astype(np.uint8))


def counts(truth: Calibration, n: int = 300_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    q = rng.integers(1, 41, n)
    wrong = rng.random(n) < 10 ** (-truth.apply(q) / 10)
    return np.bincount(q, minlength=94), np.bincount(q[wrong], minlength=94)


@pytest.mark.parametrize("truth", [(1.0, 0.0), (0.6, 3.0), (0.3, 5.0), (1.2, -1.0)])
def test_fit_finds_the_line_that_was_drawn_from(truth: tuple[float, float]) -> None:
    found = fit_line(*counts(Calibration(*truth)))
    assert found.slope == pytest.approx(truth[0], abs=0.02)
    assert found.shift == pytest.approx(truth[1], abs=0.15)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30))
def test_fit_promises_as_many_errors_as_there_are_and_keeps_the_order(seed: int, qualities: int) -> None:
    """In no order at all, the line is flat at worst: a base of higher own Q is never given a lower one."""
    rng = np.random.default_rng(seed)
    bases = np.zeros(94, np.int64)
    bases[rng.choice(np.arange(5, 35), qualities, replace=False)] = rng.integers(200, 2000, qualities)
    errors = rng.binomial(bases, 0.15)
    line = fit_line(bases, errors)
    assert line.slope >= 0
    promised = 10 ** (-line.apply(np.arange(94)) / 10)
    assert (bases @ promised) / errors.sum() == pytest.approx(1, abs=0.1)


def test_calibrated_counts_move_and_stay_in_number() -> None:
    given = np.zeros(94, np.int64)
    given[[1, 10, 40]] = [5, 7, 9]
    found = calibrated(given, Calibration(0.5, 3.0))
    assert {q: int(n) for q, n in enumerate(found) if n} == {4: 5, 8: 7, 23: 9}


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, 4.0)])
def test_reads_with_known_qualities(mapper: Mapper, slope: float, shift: float) -> None:
    """Right qualities are left nearly as they are; wrong ones are put right, on reads that the fit has not seen too."""
    truth = Calibration(slope, shift)
    fit = calibrate(reads(60, truth), mapper.align)
    assert fit.reads == 60
    assert fit.calibration.slope == pytest.approx(slope, abs=0.05)
    assert fit.calibration.shift == pytest.approx(shift, abs=0.6)
    other = score_reads(reads(40, truth, seed=1), mapper.align)
    after = calibration_error(calibrated(other.bases, fit.calibration), calibrated(other.errors, fit.calibration))
    before = calibration_error(other.bases, other.errors)
    assert after < 0.015
    assert fit.after < 0.015
    if slope != 1:
        assert after < before / 3
        assert fit.after < fit.before / 3


def test_region_and_unmapped_reads(mapper: Mapper) -> None:
    calls = [*reads(40, Calibration(0.5, 4.0)), BaseCall("odd", "AC" * 200, np.full(400, 20, np.uint8))]
    whole, part = (calibrate(calls, mapper.align, region) for region in (None, Region("g", 0, 10_000)))
    assert whole.unmapped == part.unmapped == 1
    assert whole.reads == 40
    assert 5 <= part.reads < 40
    assert part.bases < whole.bases


@pytest.mark.parametrize(("n", "truth"), [(0, (1.0, 0.0)), (4, (0.5, 4.0)), (6, (0.0, 40.0))])
def test_too_little_to_fit(mapper: Mapper, n: int, truth: tuple[float, float]) -> None:
    with pytest.raises(BiorrnError, match=r"scored reads with \d+ wrong bases; needed are 5 reads and 100"):
        calibrate(reads(n, Calibration(*truth)), mapper.align)


def test_what_is_kept_is_read_again(mapper: Mapper, tmp_path: Path) -> None:
    fit = calibrate(reads(20, Calibration(0.5, 4.0)), mapper.align)
    kept = calibration_of(entries(fit))
    assert kept is not None
    assert kept.slope == pytest.approx(fit.calibration.slope, abs=1e-4)
    assert kept.shift == pytest.approx(fit.calibration.shift, abs=1e-4)
    text = "\n".join(summary_lines(fit))
    assert "20 scored, 0 unmapped" in text
    assert f"{fit.after:.4f} after" in text

"""The fit of qualities: it finds what was drawn from, holds on other reads, tells noise, and refuses too little."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError
from biorrn.nanopore.alignment import AlignmentMapper, Region
from biorrn.nanopore.basecall.quality import FEATURES, calibration_of, features, phred
from biorrn.nanopore.evaluate.calibrate import (
    NOISE,
    REACH,
    SHORTEST,
    STEP,
    Judged,
    StayFit,
    additive,
    entries,
    fit,
    judge,
    judged,
    noise_records,
    summary_lines,
    worth,
)

GENOME = "".join(np.random.default_rng(7).choice(list("ACGT"), 20_000))


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> AlignmentMapper:
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    path.write_text(f">g\n{GENOME}\n")
    return AlignmentMapper(path)


@dataclass
class Made:
    """A call whose bases are wrong as often as the second column of its evidence says, halved in log-odds."""

    read_id: str
    bases: str
    quals: np.ndarray
    evidence: np.ndarray


def odds(sure: np.ndarray) -> np.ndarray:
    return np.log(sure / (1 - sure)) / 2


def made(number: int, length: int = 600, place: int | None = None) -> Made:
    """A read of the genome with mismatches."""
    rng = np.random.default_rng(number)
    place = int(rng.integers(0, len(GENOME) - length)) if place is None else place
    level = rng.uniform(0.6, 0.95)
    sure = np.clip(rng.beta(20 * level, 20 * (1 - level), length), 0.05, 0.999).astype(np.float32)
    wrong = rng.random(length) < 1 / (1 + np.exp(odds(sure) + 1.0))
    bases = "".join("CGTA"["ACGT".index(b)] if bad else b for b, bad in zip(GENOME[place:], wrong, strict=False))
    evidence = np.stack([sure, sure], axis=1)
    return Made(f"r{number}", bases, phred(sure), evidence)


def empty(number: int, length: int = 300) -> Judged:
    """A call of noise: as any, but the model is less sure."""
    rng = np.random.default_rng(number)
    sure = rng.beta(8, 8, length).astype(np.float32)
    return judged("".join(rng.choice(list("ACGT"), length)), phred(sure), np.stack([sure, sure], axis=1))


@pytest.fixture(scope="module")
def reads(mapper: AlignmentMapper) -> list[Judged]:
    found = [judge(made(number), mapper.align, ()) for number in range(60)]  # type: ignore[arg-type]
    return [read for read in found if read is not None]


def test_bases_are_judged_by_the_alignment(mapper: AlignmentMapper) -> None:
    call = made(3, place=1000)
    found = judge(call, mapper.align, ())  # type: ignore[arg-type]
    assert found is not None
    wrong = np.array([a != b for a, b in zip(call.bases, GENOME[1000:], strict=False)])
    inner = found.scored[20:-20]  # ends may be clipped
    assert (np.diff(inner) == 1).all()
    assert (found.wrong[20:-20] == wrong[inner]).mean() > 0.99
    assert found.identity == pytest.approx(1 - wrong.mean(), abs=0.02)
    inside = judge(call, mapper.align, (Region("g", 0, 1100), Region("g", 1400, 1500)))  # type: ignore[arg-type]
    assert inside is not None
    assert set(inside.scored) <= {*range(100), *range(400, 500)}
    assert len(inside.scored) > 180
    few = judge(call, mapper.align, (Region("g", 0, 1050),))  # type: ignore[arg-type]
    assert few is not None
    assert len(few.scored) == 0


def test_a_read_that_aligns_nowhere_or_by_less_than_half_is_not_known(mapper: AlignmentMapper) -> None:
    call = made(3)
    rng = np.random.default_rng(0)
    strange = "".join(rng.choice(list("ACGT"), 900))
    for bases in (strange, call.bases + strange):
        evidence = np.full((len(bases), 2), 0.5, np.float32)
        assert judge(Made("x", bases, phred(evidence[:, 0]), evidence), mapper.align, ()) is None  # type: ignore[arg-type]


def test_a_fit_is_right_on_reads_that_it_has_not_seen(mapper: AlignmentMapper, reads: list[Judged]) -> None:
    found = fit(reads, [empty(number) for number in range(30)], unmapped=2)
    assert (found.reads, found.unmapped, found.noise) == (len(reads), 2, 30)
    assert found.after["calibration_error"] < found.before["calibration_error"] / 2
    assert found.after["q_gap"] < 1.0
    assert found.after["correlation"] > 0.6
    assert found.after["noise_q"] < 2.5 < found.before["noise_q"]
    others = [judge(made(number), mapper.align, ()) for number in range(100, 140)]  # type: ignore[arg-type]
    apply = partial(found.calibration.errors)
    values = worth([(read, phred(1 - apply(read.features))) for read in others if read is not None])
    assert values["q_gap"] < 1.0
    assert values["calibration_error"] < 0.03


def test_without_noise_there_is_a_fit_too(reads: list[Judged]) -> None:
    found = fit(reads, [empty(0, SHORTEST - 1)])
    assert found.noise == 0
    assert np.isnan(found.after["noise_q"])
    assert found.after["q_gap"] < 1.0


def test_more_sure_is_never_more_often_wrong(reads: list[Judged]) -> None:
    """Terms of a known sign keep it, even where few bases would have it otherwise."""
    calibration = fit(reads[:6], []).calibration
    for name, curve in calibration.terms.items():
        assert (np.diff(curve.gives) * FEATURES[name] >= 0).all() or FEATURES[name] == 0
    assert (np.diff(calibration.final.gives) >= 0).all()


def test_an_additive_model_finds_the_curves_that_it_was_drawn_from() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((40_000, 3))
    truth = -1 + 2 * np.minimum(x[:, 0], 0.5) - 3 * x[:, 1]
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    intercept, curves = additive(x, y, np.ones(len(y)), [1, -1, 0], 0.1)
    given = intercept + sum(np.interp(x[:, j], curve.at, curve.gives) for j, curve in enumerate(curves))
    assert np.abs(given - truth).mean() < 0.1
    assert np.ptp(curves[2].gives[1:-1]) < 0.3  # of a column that says nothing; the other two span 1 and 3


def test_two_fits_of_one_set_are_the_same(reads: list[Judged]) -> None:
    assert entries(fit(reads[:20], [])) == entries(fit(reads[:20], []))


@pytest.mark.parametrize("n", [0, 4])
def test_too_little_to_fit(reads: list[Judged], n: int) -> None:
    with pytest.raises(BiorrnError, match=r"scored reads with \d+ wrong bases; expected 5 reads and 100"):
        fit(reads[:n], [])


def test_what_is_kept_is_read_again(reads: list[Judged]) -> None:
    found = fit(reads[:20], [empty(1)])
    kept = calibration_of(entries(found))
    assert kept is not None
    x = features(*((call := made(5)).bases, call.evidence))
    assert kept.errors(x) == pytest.approx(found.calibration.errors(x))
    text = "\n".join(summary_lines(found))
    assert "20 scored, 0 unmapped" in text
    assert f"{found.after['calibration_error']:.4f} after" in text


def test_noise_is_of_every_kind_and_the_same_each_time() -> None:
    like = [np.linspace(60, 110, 5_000, dtype=np.float32)]
    once, again = (list(noise_records(like, 4000.0, each=2)) for _ in range(2))
    assert [record.read_id for record in once] == [f"{kind} {n}" for kind in NOISE for n in range(2)]
    for one, other in zip(once, again, strict=True):
        assert np.array_equal(one.raw, other.raw)
        assert 1_400 < len(one.raw) <= 40_000
        assert one.raw.std() > 0
        assert one.sample_rate == 4000


TRIED = np.round(2.0 + STEP * np.arange(-REACH, REACH + 1), 4)


def stay_fit(wrong: np.ndarray) -> StayFit:
    """A fit around 2.0, from the errors of reads at each score, (R, N), in 10,000 columns."""
    parts = [10_000 - wrong, 0.4 * wrong, 0.3 * wrong, 0.3 * wrong]
    return StayFit(2.0, TRIED, np.rint(np.stack(parts, axis=2)).astype(int))


@pytest.mark.parametrize("top", [1.5, 1.8, 2.0, 2.3, 2.5])
def test_the_stay_score_of_the_highest_identity_is_taken(top: float) -> None:
    found = stay_fit(np.array([[900.0], [1000], [1100]]) + 2000 * (TRIED - top) ** 2)
    assert found.best == pytest.approx(top)
    assert ("fit it again" in found.lines()[0]) == (abs(top - 2) > 0.45)
    before = 1 - (1000 + 2000 * (top - 2) ** 2) / 10_000
    assert found.lines()[1] == f"mean identity of 3 reads: {before:.4f} before, 0.9000 after"


def test_a_stay_score_is_kept_where_the_gain_is_within_its_error() -> None:
    wrong = np.full((8, len(TRIED)), 1000.0)
    wrong[:, REACH + 1] += 10
    wrong[0, REACH + 1] -= 300  # one read
    found = stay_fit(wrong)
    assert found.tried[found.identity.mean(0).argmax()] == 2.1
    assert found.best == 2.0
    wrong[:, REACH + 1] -= 100
    assert stay_fit(wrong).best == 2.1

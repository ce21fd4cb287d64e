"""Normalisation of current, and cutting the adapter stall."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biorrn.base.errors import ConfigError
from biorrn.nanopore.signal import (
    LIMIT,
    NORMALISERS,
    PA_MEAN,
    PA_STD,
    normalise,
    normaliser_of,
    open_pores,
    trim_start,
)

RATE = 4000.0
each = pytest.mark.parametrize("name", NORMALISERS)
floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


def strand(rng, samples):
    """Return the current of a moving strand: a level every 10 samples, and noise."""
    levels = np.repeat(rng.normal(85, 14, samples // 10 + 1), 10)[:samples]
    return (levels + rng.normal(0, 2, samples)).astype(np.float32)


@each
@given(current=arrays(np.float32, st.integers(0, 50), elements=floats))
def test_always_finite_float32_of_the_same_length(name, current):
    out = normalise(current, name)
    assert out.dtype == np.float32
    assert out.shape == current.shape
    assert np.isfinite(out).all()
    assert (np.abs(out) <= LIMIT).all()


@each
@pytest.mark.parametrize("current", [[], [80.0] * 9, [np.nan] * 4, [np.nan, 80.0, np.inf, 90.0], [1e38, -1e38, 0.0]])
def test_odd_signal_stays_finite(name, current):
    out = normalise(np.array(current, np.float32), name)
    assert np.isfinite(out).all()
    assert len(out) == len(current)


@each
def test_input_is_left_alone(name):
    current = np.array([70, 80, np.nan, 500], np.float32)
    before = current.copy()
    normalise(current, name)
    assert np.array_equal(current, before, equal_nan=True)


@each
def test_order_of_levels_is_kept(name):
    current = strand(np.random.default_rng(0), 2000)
    out = normalise(current, name)
    assert (np.diff(out[np.argsort(current)]) >= 0).all()
    assert 0.5 < out.std() < 2


@pytest.mark.parametrize("name", ["medmad", "quantile"])
def test_gain_and_offset_of_the_pore_fall_away(name):
    current = strand(np.random.default_rng(1), 4000)
    assert np.allclose(normalise(current, name), normalise(1.3 * current + 20, name), atol=1e-3)


@pytest.mark.parametrize("name", ["medmad", "quantile"])
def test_a_constant_read_is_zero(name):
    assert not normalise(np.full(5, 93.0, np.float32), name).any()


def test_medmad_literal():
    out = normalise(np.array([1, 2, 3, 4, 5], np.float32), "medmad")
    assert np.allclose(out, np.array([-2, -1, 0, 1, 2]) / 1.4826)


def test_quantile_literal():
    current = np.arange(0, 101, dtype=np.float32)  # quantiles 20 and 90
    assert np.allclose(normalise(current, "quantile")[60], (60 - 55) / (0.53 * 70))


def test_picoampere_literal():
    out = normalise(np.array([PA_MEAN, PA_MEAN + PA_STD, PA_MEAN - 2 * PA_STD], np.float32), "picoampere")
    assert np.allclose(out, [0, 1, -2])


def test_two_levels_are_not_constant():
    """The median absolute deviation of such a signal is 0."""
    out = normalise(np.array([80] * 20 + [110], np.float32), "medmad")
    assert out[-1] > 1


@pytest.mark.parametrize("stall", [400, 1200, 6000])
@pytest.mark.parametrize("rate", [3000.0, RATE, 5000.0])
def test_stall_and_plateau_are_cut(stall, rate):
    rng = np.random.default_rng(stall)
    flat = rng.normal(80, 1.5, stall)
    flat[rng.integers(0, stall, 5)] += 30  # spikes
    plateau = rng.normal(130, 3, 40)
    current = np.concatenate([flat, plateau, strand(rng, 30_000)]).astype(np.float32)
    cut = trim_start(current, rate)
    assert stall <= cut <= stall + 40 + 0.03 * rate


def test_open_pore_before_the_strand_is_cut():
    rng = np.random.default_rng(2)
    current = np.concatenate([rng.normal(220, 8, 400), strand(rng, 20_000)]).astype(np.float32)
    assert 400 <= trim_start(current, RATE) <= 440


def test_a_strand_without_a_stall_is_kept_whole():
    assert trim_start(strand(np.random.default_rng(3), 20_000), RATE) == 0


def test_a_pause_later_in_the_read_is_no_stall():
    rng = np.random.default_rng(4)
    current = np.concatenate([strand(rng, 2000), rng.normal(80, 1.5, 3000), strand(rng, 20_000)]).astype(np.float32)
    assert trim_start(current, RATE) == 0


@given(arrays(np.float32, st.integers(0, 400), elements=floats), st.floats(100, 10_000))
def test_at_most_half_is_cut(current, rate):
    assert 0 <= trim_start(current, rate) <= len(current) // 2


def test_a_read_that_is_all_stall_is_cut_by_a_bounded_part():
    rng = np.random.default_rng(5)
    assert trim_start(rng.normal(80, 1.5, 100_000).astype(np.float32), RATE) <= 24_000
    assert trim_start(np.full(10_000, 80, np.float32), RATE) == 0


def test_never_beyond_the_first_labelled_sample(shared_data):
    """On real reads the first base that Tombo aligned lies behind the adapter, thus behind the cut."""
    from biorrn.nanopore.readers.fast5 import read_labels

    files = sorted((shared_data / "nanopore" / "lambda_r941" / "fast5").iterdir())[:15]
    gaps = []
    for path in files:
        for record, labels in read_labels(path):
            gaps.append(int(labels.starts[0]) - trim_start(record.picoamperes(), record.sample_rate))
    assert min(gaps) > 0
    assert np.median(gaps) < 500  # of 600 to 4,000 samples before the first base the stall is most


def test_parameters_stand_in_brackets():
    current = strand(np.random.default_rng(2), 4000)
    fixed = normaliser_of("picoampere(91.88, 22.65)")(current)
    assert (fixed.shift, fixed.scale, fixed.name) == (91.88, 22.65, "pa")
    found = normaliser_of("quantile_sum(0.2, 0.8, 0.48, 0.59)")(current)
    a, b = np.quantile(current.astype(np.float64), [0.2, 0.8])
    assert found.shift == pytest.approx(0.48 * (a + b))
    assert found.scale == pytest.approx(0.59 * (b - a))
    assert normaliser_of("quantile_sum")(current) == normaliser_of("quantile_sum(0.2,0.9,0.51,0.53)")(current)


def test_shift_and_scale_of_sums_have_a_floor():
    found = normaliser_of("quantile_sum")(np.full(9, 1.0, np.float32))
    assert (found.shift, found.scale) == (10.0, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("medmat", "did you mean 'medmad'"),
        ("medmad(1)", "allowed is medmad$"),
        ("picoampere(85)", r"allowed is picoampere\(mean, stdev\)"),
        ("picoampere(85, x)", "is unknown"),
        ("picoampere(85, -14)", "scales above 0"),
        ("quantile_sum(0.9, 0.2, 0.5, 0.5)", "the lower first"),
    ],
)
def test_unknown_names_and_wrong_numbers_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        normaliser_of(text)


def two_molecules(rng: np.random.Generator, pore: float, stall: float = 0.1) -> tuple[np.ndarray, int, int]:
    """Return the current of two strands with open pore (seconds) and a stall between, and where the pore is open."""
    first, second = strand(rng, 8000), strand(rng, 8000)
    gap = rng.normal(210, 2, round(pore * RATE))
    parts = [first, gap, rng.normal(86, 2, round(stall * RATE)), second]
    return np.concatenate(parts).astype(np.float32), 8000, 8000 + len(gap)


@pytest.mark.parametrize(("pore", "stall"), [(0.001, 0.1), (0.01, 0.1), (0.01, 0.0), (0.2, 0.0)])
@pytest.mark.parametrize(("offset", "gain"), [(0.0, 1.0), (-30.0, 1.0), (20.0, 3.0)])
def test_open_pore_between_two_molecules_is_found(pore, stall, offset, gain):
    current, start, end = two_molecules(np.random.default_rng(0), pore, stall)
    assert open_pores((offset + gain * current).astype(np.float32), RATE) == [(start, end)]


def test_no_open_pore_inside_one_molecule():
    rng = np.random.default_rng(1)
    current = strand(rng, 40_000)
    assert open_pores(current, RATE) == []
    current[rng.integers(2000, 38_000, 30)] = 230  # single spikes
    assert open_pores(current, RATE) == []
    burst = current.copy()
    burst[9000:9006] = 220  # short, and no adapter stalls behind it
    assert open_pores(burst, RATE) == []
    ends = current.copy()
    ends[:500] = ends[-500:] = 215  # before the first molecule and behind the last
    assert open_pores(ends, RATE) == []


def test_the_end_of_a_strand_before_a_single_sample_of_open_pore():
    rng = np.random.default_rng(2)
    current, start, _ = two_molecules(rng, 1 / RATE)
    assert open_pores(current, RATE) == []
    current[start - 40 : start] = rng.normal(125, 1, 40)
    assert open_pores(current, RATE) == [(start, start + 1)]


@pytest.mark.parametrize("current", [[], [1.0] * 10, [80.0] * 9000, [np.nan] * 9000])
def test_nothing_in_signal_without_a_strand(current):
    assert open_pores(np.array(current, np.float32), RATE) == []


# of public reads, each looked at: two molecules with open pore of 0.2 to 15 ms between them
CHIMERAS = {
    "chemistry/two_molecules_in_one_read.pod5": {"c31a90ab": 195_469},
    "human_r1041/reads.blow5": {"666dea1e": 43_905},
    "r1041_remora": {"4b020a85": 48_226},
    "sequin_rna002/reads.blow5": {"0a0c7775": 19_131},
}
SINGLE = ("lambda_r941/fast5", "human_r1041/10_reads.blow5", "promethion_r941/reads.fast5")


@pytest.mark.parametrize("place", [*CHIMERAS, *SINGLE])
def test_real_reads_of_two_molecules_are_found_and_others_are_not(shared_data, place):
    from biorrn.nanopore.readers.files import read_all

    found = {}
    for record in read_all([shared_data / "nanopore" / place], lambda problem: None):
        for start, _ in open_pores(record.picoamperes(), record.sample_rate):
            found[record.read_id[:8]] = start
    assert found == CHIMERAS.get(place, {})

"""Pore models estimated from reads, and realignment."""

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.nanopore.signal import normalise
from biorrn.nanopore.simulate.current import autoregression, correlation, drift, tail_of, variance_share
from biorrn.nanopore.simulate.estimate import (
    additive,
    estimate_pore_model,
    grouped_median,
    predict,
    realign,
    refit,
    robust_levels,
)
from biorrn.nanopore.simulate.labelled_signal import LabelledSignal, load_prepared, load_reads
from biorrn.nanopore.simulate.pore_model import PoreModel
from biorrn.nanopore.simulate.reads import Settings, Simulator, open_truth, random_genome, simulate
from biorrn.nanopore.simulate.writers import open_signal
from biorrn.sequences.prepared.files import signal_writer


def prepared(path: Path, model: PoreModel, reads: int = 12, bases: int = 2500, noise: float = 1.0) -> Path:
    """Write a prepared file of simulated reads, each normalised on its own; the last is of split test."""
    simulator = Simulator(model, Settings(noise=noise))
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for number in range(reads):
            rng = np.random.default_rng(number)
            codes = rng.integers(1, 5, bases).astype(np.uint8)
            current, edges = simulator.current(codes, rng)
            writer.add(
                f"r{number}", normalise(current), codes, edges[:-1], int(number == reads - 1), "c", 0, bases, "+"
            )
    return path


@pytest.fixture(scope="module")
def file(small_model: PoreModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("estimate") / "sim.h5", small_model)


@pytest.mark.parametrize("rounds", [0, 1])
def test_the_table_comes_back(rounds: int, file: Path, small_model: PoreModel) -> None:
    found = estimate_pore_model(load_prepared(file), 3, rounds)
    assert found.centre == small_model.centre
    assert np.corrcoef(found.level, small_model.level)[0, 1] > 0.999
    slope, cut = np.polyfit(small_model.level, found.level, 1)  # the reads' own units differ by an offset and a gain
    assert np.abs(found.level - slope * small_model.level - cut).max() < 0.06
    assert np.median(found.noise / slope / small_model.noise) == pytest.approx(1, abs=0.1)
    assert np.corrcoef(found.noise, small_model.noise)[0, 1] > 0.9
    assert np.median(found.spread / slope / small_model.spread) == pytest.approx(1, abs=0.15)
    assert np.median(found.dwell / small_model.dwell) == pytest.approx(1, abs=0.06)
    assert np.median(found.dwell_shape / small_model.dwell_shape) == pytest.approx(1, abs=0.15)
    assert (found.flag == 0).all()
    assert found.notes["left out"] == "c:0-2500"


def test_wander_comes_back(file: Path, small_model: PoreModel) -> None:
    device = estimate_pore_model(load_prepared(file), 3, 0).device
    assert device.noise_ar[0] == pytest.approx(small_model.device.noise_ar[0], abs=0.06)
    assert 0.01 < device.drift_sd < 0.06
    assert device.sample_rate == 4000


def test_alignment_moves_wrong_starts_back(file: Path, small_model: PoreModel) -> None:
    data = load_prepared(file)
    right = data.edges.copy()
    rng = np.random.default_rng(0)
    for start, end in zip(data.segments[:-1], data.segments[1:], strict=True):
        inner = slice(int(start) + 1, int(end))
        moved = data.edges[inner] + rng.integers(-3, 4, int(end - start) - 1)
        low = right[start] + np.arange(1, end - start)
        data.edges[inner] = np.maximum(np.maximum.accumulate(moved), low)
        data.edges[inner] = np.minimum(data.edges[inner], right[end] - np.arange(end - start - 1, 0, -1))
        data.edges[start : end + 1] = strictly(data.edges[start : end + 1])
    before = np.abs(data.edges - right).mean()
    found = estimate_pore_model(data, 3, 2)
    assert np.abs(data.edges - right).mean() < 0.6 * before
    assert (np.diff(data.edges) >= 1).all()
    assert np.corrcoef(found.level, small_model.level)[0, 1] > 0.995


def strictly(edges: np.ndarray) -> np.ndarray:
    """Return edges that increase by at least one, ends as they are."""
    steps = np.arange(len(edges))
    up = np.maximum.accumulate(edges - steps) + steps
    return np.minimum(up, edges[-1] - steps[::-1])


def test_reads_of_other_gain_and_offset_are_brought_together(file: Path) -> None:
    one, other = load_prepared(file), load_prepared(file)
    owner = np.repeat(other.reads, np.diff(other.edges[other.segments]))
    gain, offset = 1 + 0.1 * (-1.0) ** owner, 0.2 * np.cos(owner)
    other.signal = (other.signal * gain + offset).astype(np.float32)
    first, second = (estimate_pore_model(data, 3, 0) for data in (one, other))
    assert np.corrcoef(first.level, second.level)[0, 1] > 0.9999
    assert np.median(second.spread / first.spread) == pytest.approx(1, abs=0.05)


def test_raw_reads_and_their_prepared_file_agree_and_pa_is_measured(small_model: PoreModel, tmp_path: Path) -> None:
    reads = simulate(random_genome("20000", 1), small_model, Settings(3000, 9), reads=6)
    with open_signal(tmp_path / "sim.blow5") as write, open_truth(tmp_path / "sim.tsv") as label:
        for record, labels in reads:
            write(record)
            label(record.read_id, labels)
    data = load_reads([tmp_path / "sim.blow5"], "truth", tmp_path / "sim.tsv")
    model = estimate_pore_model(data, 3, 0)
    assert np.corrcoef(model.level, small_model.level)[0, 1] > 0.99
    assert len(data.picoamperes) == 6
    assert model.notes["picoamperes"] == "measured"
    assert model.device.shift == pytest.approx(82, abs=10)
    assert model.notes["left out"] == "nothing"


def test_few_events_are_flagged_and_borrow(small_model: PoreModel, tmp_path: Path) -> None:
    """With 3-mers to be told from 700 bases some have few events; none is left without a level."""
    data = load_prepared(prepared(tmp_path / "x.h5", small_model, reads=2, bases=500))
    model = estimate_pore_model(data, 4, 0)
    assert (model.flag == 2).sum() == (model.events == 0).sum() > 0
    assert (model.flag[(model.events > 0) & (model.events < 8)] == 1).all()
    assert np.isfinite(model.level).all()
    assert (model.dwell > 0).all()


@pytest.mark.parametrize("options", [{"k": 1}, {"k": 12}, {"rounds": -1}, {"centre": 6}, {"centre": -1}], ids=str)
def test_options_out_of_range(options: dict[str, int], file: Path) -> None:
    with pytest.raises(ConfigError, match="found"):
        estimate_pore_model(load_prepared(file), **options)


def test_inputs_that_do_not_go_together(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one prepared file"):
        load_reads([file, file], "events")
    with pytest.raises(ConfigError, match="holds its split"):
        load_reads([file], "events", split="random:1,0,0")
    with pytest.raises(BiorrnError, match="no such file"):
        load_reads([tmp_path / "missing.h5"], "events")


def test_too_few_bases(small_model: PoreModel, tmp_path: Path) -> None:
    with pytest.raises(BiorrnError, match="expected at least"):
        estimate_pore_model(load_prepared(prepared(tmp_path / "x.h5", small_model, reads=2, bases=60)), 6)


def test_kmers_do_not_reach_over_segments() -> None:
    data = LabelledSignal(
        np.zeros(10, np.float32), np.array([1, 2, 3, 4, 1, 2]), np.arange(7), np.array([0, 4, 6]), np.array([0, 1]), 4e3
    )
    assert data.kmers(3, 1).tolist() == [-1, 6, 27, -1, -1, -1]


# the parts


def test_additive_model_is_exact_on_what_is_additive_and_shrinks_by_count() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(4, 4))
    digits = np.stack([(np.arange(256) // 4**place) % 4 for place in range(4)])
    values = sum(parts[place][digits[place]] for place in range(4))
    np.testing.assert_allclose(predict(values, np.ones(256)), values, atol=0.01)
    noisy = values + rng.normal(0, 0.3, 256)
    counts = rng.integers(0, 30, 256)
    pulled, part = additive(noisy, counts, 0.3)
    assert np.abs(pulled - values).mean() < np.abs(noisy - values).mean()
    assert (part[counts == 0] == 1).all()
    order = np.argsort(counts[counts > 0])
    assert (np.diff(part[counts > 0][order]) <= 1e-12).all()


def test_additive_with_nothing_seen() -> None:
    values, part = additive(np.zeros(16), np.zeros(16, int), 1.0)
    assert np.isfinite(values).all()
    assert (part == 1).all()


def test_grouped_median_is_the_median_of_each_group() -> None:
    rng = np.random.default_rng(0)
    values, index = rng.normal(size=200), rng.integers(0, 9, 200)
    found = grouped_median(values, index, np.bincount(index, minlength=10))
    assert found[:9] == pytest.approx([np.median(values[index == group]) for group in range(9)])
    assert found[9] == 0


def test_robust_levels_ignore_the_far() -> None:
    values = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 50.0])
    level, spread, count = robust_levels(values, np.zeros(6, int), 2)
    assert level[0] == pytest.approx(1.0, abs=0.05)
    assert spread[0] < 0.3
    assert count.tolist() == [6, 0]


def test_refit_keeps_the_mean_gain_at_one(file: Path) -> None:
    data = load_prepared(file)
    fit = refit(data.means(), np.diff(data.edges), data.kmers(3, 1), data.read_of_base, 64)
    assert fit.gain.mean() == pytest.approx(1, abs=0.01)
    assert fit.offset.mean() == pytest.approx(0, abs=0.01)


def test_variance_share_is_that_of_a_sum() -> None:
    rho = correlation((0.5,), 6)
    np.testing.assert_allclose(rho, 0.5 ** np.arange(6), atol=1e-9)
    expected = [sum(0.5 ** abs(i - j) for i in range(n) for j in range(n)) / n**2 for n in (1, 2, 5)]
    np.testing.assert_allclose(variance_share((0.5,), np.array([1, 2, 5])), expected)


def test_autoregression_from_its_own_covariance() -> None:
    rho = correlation((0.4, 0.2), 4)
    width = 16
    lost = float(variance_share((0.4, 0.2), np.array([width]))[0])
    found = autoregression(0.04 * (rho - lost), float(width))
    np.testing.assert_allclose(found, (0.4, 0.2, 0.0), atol=0.05)
    assert autoregression(np.zeros(4), 16.0) == ()


def test_drift_is_told_from_jitter() -> None:
    rng = np.random.default_rng(0)
    value = np.zeros(60_000)
    for place in range(1, len(value)):
        value[place] = 0.9 * value[place - 1] + 0.1 * np.sqrt(1 - 0.81) * rng.normal()
    noisy = value + rng.normal(0, 0.2, len(value))
    sd, memory = drift(noisy, np.ones(len(value), bool), np.array([0, len(value)]))
    assert sd == pytest.approx(0.1, rel=0.15)
    assert memory == pytest.approx(0.9, abs=0.04)
    assert drift(rng.normal(0, 0.2, 60_000), np.ones(60_000, bool), np.array([0, 60_000]))[0] < 0.03


@pytest.mark.parametrize("degrees", [3.0, 30.0])
def test_tail(degrees: float) -> None:
    found = tail_of(np.random.default_rng(0).standard_t(degrees, 50_000))
    assert found == pytest.approx(degrees, rel=0.6)
    assert tail_of(np.zeros(5)) == 30.0


def test_a_model_of_one_size_simulates_another_sample_rate(small_model: PoreModel) -> None:
    model = replace(small_model, device=replace(small_model.device, sample_rate=5000.0))
    record, _ = next(iter(simulate(random_genome("3000", 0), model, Settings(500, 4), reads=1)))
    assert record.sample_rate == 5000


COST = -np.log(np.array([1e-9, 0.1, 0.2, 0.3, 0.25, 0.15]))


def cost(signal: np.ndarray, levels: np.ndarray, spreads: np.ndarray, edges: tuple[int, ...]) -> float:
    total = 0.0
    for base, (start, end) in enumerate(pairwise(edges)):
        total += ((signal[start:end] - levels[base]) ** 2).sum() / (2 * spreads[base] ** 2)
        total += COST[min(end - start, len(COST) - 1)]
    return total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("band", [1, 3, 12])
def test_least_cost_among_all_alignments_in_the_band(seed: int, band: int) -> None:
    rng = np.random.default_rng(seed)
    samples, bases = 11, 4
    signal = rng.normal(size=samples).astype(np.float32)
    levels, spreads = rng.normal(size=bases), rng.uniform(0.3, 1, bases)
    edges = np.array([0, *sorted(rng.choice(np.arange(1, samples), bases - 1, replace=False)), samples])
    found = realign(signal, levels, spreads, edges, np.array([0, bases]), COST, band)
    allowed = [
        (0, *inner, samples)
        for inner in combinations(range(1, samples), bases - 1)
        if (np.abs(np.array(inner) - edges[1:-1]) <= band).all()
    ]
    best = min(cost(signal.astype(float), levels, spreads, choice) for choice in allowed)
    assert tuple(found) in allowed
    assert cost(signal.astype(float), levels, spreads, tuple(found)) == pytest.approx(best)


def test_boundaries_of_clear_steps_are_found_and_segments_stay_apart() -> None:
    rng = np.random.default_rng(0)
    dwell = rng.integers(3, 9, 60)
    levels = np.resize([0.0, 2.0, -1.0], 60)
    signal = (np.repeat(levels, dwell) + rng.normal(0, 0.1, dwell.sum())).astype(np.float32)
    right = np.concatenate([[0], np.cumsum(dwell)])
    segments = np.array([0, 25, 60])
    wrong = right.copy()
    wrong[1:25] += rng.integers(-1, 2, 24)
    wrong[26:60] += rng.integers(-1, 2, 34)
    for threads in (1, 2):
        found = realign(signal, levels, np.full(60, 0.1), wrong, segments, COST, threads=threads)
        np.testing.assert_array_equal(found, right)


def test_one_base_and_no_segments() -> None:
    edges = np.array([0, 5])
    signal = np.zeros(5, np.float32)
    np.testing.assert_array_equal(realign(signal, np.ones(1), np.ones(1), edges, np.array([0, 1]), COST), edges)
    none = realign(signal[:0], np.ones(0), np.ones(0), np.array([0]), np.array([0]), COST)
    assert none.tolist() == [0]

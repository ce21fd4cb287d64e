"""Prepared signal files joined, with shares."""

import json

import numpy as np
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.nanopore.dataset import ChunkDataset
from biorrn.nanopore.labels.prepare import mix, parse_inputs
from biorrn.sequences.prepared.files import SignalFile, signal_writer
from biorrn.sequences.prepared.schema import SIGNAL

SAMPLES = 100


def write(path, segments, bases=40, held_out=1, dwell=10, normaliser="medmad", rate=4000.0, seed=0):
    """Write made segments; the last `held_out` of them are for validation."""
    rng = np.random.default_rng(seed)
    with signal_writer(path, normaliser, rate, path.stem) as writer:
        writer.file.attrs["sources"] = json.dumps({f"{path.stem}.fast5": "0" * 64})
        for number in range(segments):
            signal = rng.normal(0, 1, bases * dwell)
            split = int(number >= segments - held_out)
            starts = np.arange(bases) * dwell
            writer.add(f"{path.stem}{number}", signal, rng.integers(1, 5, bases), starts, split, "chr", 0, bases, "+")
    return path


@pytest.fixture
def two(tmp_path):
    return write(tmp_path / "a.h5", 3), write(tmp_path / "b.h5", 12, bases=60, seed=1)


def shares(path, inputs, n=3000, seed=0):
    """Return the part of the training windows that come from each input."""
    with SignalFile(path) as file:
        source = file.file["source"][:]
    drawn = source[[window.segment for window in ChunkDataset(path, "train", SAMPLES).windows(0, seed, n)]]
    return np.bincount(drawn, minlength=inputs) / len(drawn)


def test_all_segments_come_along_unchanged_and_in_order(two, tmp_path):
    counts = mix([(two[0], 3.0), (two[1], 1.0)], tmp_path / "m.h5", "a note")
    assert counts["segments"] == 15
    with SignalFile(tmp_path / "m.h5") as mixed, SignalFile(two[0]) as a, SignalFile(two[1]) as b:
        for row in range(15):
            one, place = (a, row) if row < 3 else (b, row - 3)
            assert np.array_equal(mixed.signal(row), one.signal(place))
            for found, wanted in zip(mixed.labels(row), one.labels(place), strict=True):
                assert np.array_equal(found, wanted)
            for name, field in SIGNAL.items():
                if field.axis == "rows":
                    assert mixed.file[name][row] == one.file[name][place]
        assert mixed.sources == a.sources | b.sources
        assert json.loads(mixed.file.attrs["source_names"]) == [str(path) for path in two]
        assert (mixed.normaliser, mixed.sample_rate) == ("medmad", 4000.0)
        assert mixed.file.attrs["note"] == "a note"
        assert (mixed.file["weight"][:][mixed.rows("valid")] == 1).all()
        train, samples = mixed.rows("train"), np.diff(mixed.file["signal_offsets"][:])
        drawn = mixed.file["weight"][:][train] * samples[train]
        assert drawn.sum() == pytest.approx(samples[train].sum(), rel=1e-5)  # the mean weight is 1
        assert "whole" not in mixed.file


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (0, 1), (1, 0)])
def test_each_input_has_its_share(two, tmp_path, weights):
    mix(list(zip(two, weights, strict=True)), tmp_path / "m.h5")
    wanted = np.array(weights) / sum(weights)
    assert np.abs(shares(tmp_path / "m.h5", 2) - wanted).max() < 0.03
    assert len(ChunkDataset(tmp_path / "m.h5", "valid", SAMPLES).rows) == 2  # those of weight 0 too


def test_a_mix_of_a_mix_keeps_its_inner_shares(two, tmp_path):
    mix([(two[0], 3.0), (two[1], 1.0)], tmp_path / "inner.h5")
    other = write(tmp_path / "c.h5", 5, seed=2)
    mix([(tmp_path / "inner.h5", 1.0), (other, 1.0)], tmp_path / "m.h5")
    assert np.abs(shares(tmp_path / "m.h5", 2) - 0.5).max() < 0.03
    rows = [window.segment for window in ChunkDataset(tmp_path / "m.h5", "train", SAMPLES).windows(0, 1, 4000)]
    inner = [row for row in rows if row < 15]
    assert np.mean([row < 3 for row in inner]) == pytest.approx(0.75, abs=0.04)


def test_equal_weights_on_equal_files_change_no_share_of_a_segment(tmp_path):
    paths = [write(tmp_path / f"{name}.h5", 4, seed=seed) for seed, name in enumerate("ab")]
    mix([(path, 1.0) for path in paths], tmp_path / "m.h5")
    with SignalFile(tmp_path / "m.h5") as mixed:
        assert np.allclose(mixed.file["weight"][:], 1)


def test_windows_are_the_same_again(two, tmp_path):
    mix([(two[0], 3.0), (two[1], 1.0)], tmp_path / "m.h5")
    one, other = (ChunkDataset(tmp_path / "m.h5", "train", SAMPLES).windows(2, 7, 50) for _ in range(2))
    assert one == other
    assert one != ChunkDataset(tmp_path / "m.h5", "train", SAMPLES).windows(3, 7, 50)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normaliser": "quantile"}, r"c\.h5: has the normaliser quantile; .*a\.h5 has medmad"),
        ({"rate": 5000.0}, r"c\.h5: has 5000 Hz; .*a\.h5 has 4000 Hz"),
        ({"held_out": 4}, r"c\.h5: holds no training segments; allowed is a weight of 0"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line_and_write_nothing(two, tmp_path, change, message):
    other = write(tmp_path / "c.h5", 4, **change)
    with pytest.raises(InputError, match=message):
        mix([(two[0], 1.0), (other, 1.0)], tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a.h5=x"], "found the weight 'x'"),
        (["a.h5=-1"], "found the weight '-1'"),
        (["a.h5=inf"], "found the weight 'inf'"),
        (["a.h5=0", "b.h5=0"], "all weights are 0"),
        (["a.h5", "./a.h5=2"], "a.h5: is given twice"),
        (["=2"], "found the weight '2'"),
    ],
)
def test_wrong_weights_are_named(texts, message):
    with pytest.raises(ConfigError, match=message):
        parse_inputs(texts)


def test_an_equals_sign_in_a_path(tmp_path):
    assert parse_inputs([f"{tmp_path}/a=b.h5=2"]) == [(tmp_path / "a=b.h5", 2.0)]

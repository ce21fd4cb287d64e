"""Windows of labelled signal."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import InputError
from biorrn.config.recipe import Augment
from biorrn.nanopore import dataset as chunks
from biorrn.nanopore.dataset import FEWEST, MOST, ChunkDataset, Window
from biorrn.sequences.prepared.files import signal_writer
from biorrn.sequences.prepared.schema import add_optional

ROUGH = Augment(stretch=0.2, scale=0.1, shift=0.1, noise=0.2)
PLAIN = Augment(stretch=0.0, scale=0.0, shift=0.0, noise=0.0)
SAMPLES = 200


def truth(seed=0, lengths=(60, 5, 300, 12), mean=9):
    """Return segments as (signal (T,), bases (L,), starts (L,)); the signal counts its samples, mod 1000."""
    rng = np.random.default_rng(seed)
    segments = []
    for bases in lengths:
        dwell = rng.integers(mean - 5, mean + 6, bases)
        starts = np.concatenate([[0], np.cumsum(dwell)])
        segments.append((np.arange(starts[-1]) % 1000 / 1000, rng.integers(1, 5, bases), starts[:-1]))
    return segments


def write(path, segments, split=lambda i: 0):
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for i, (signal, bases, starts) in enumerate(segments):
            writer.add(f"r{i}", signal, bases, starts, split(i))
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("chunks") / "s.h5", truth())


def expected(segment, start, samples):
    """Return the bases wholly inside, one by one."""
    signal, bases, starts = segment
    ends = [*starts[1:], len(signal)]
    return [int(b) for b, s, e in zip(bases, starts, ends, strict=True) if s >= start and e <= start + samples]


def example(dataset, n=40, epoch=0, seed=0):
    return dataset.windows(epoch, seed, n)


@given(st.integers(0, 2**31), st.integers(0, 5))
@settings(max_examples=25)
def test_labels_are_the_slice_of_the_truth(path, seed, epoch):
    dataset, segments = ChunkDataset(path, "train", SAMPLES, ROUGH), truth()
    for window in example(dataset, 20, epoch, seed):
        assert dataset.labels(window).tolist() == expected(segments[window.segment], window.start, window.samples)


@given(st.integers(0, 3), st.integers(0, 400), st.integers(1, 300))
def test_any_window_has_its_labels(path, row, start, samples):
    dataset, segments = ChunkDataset(path, "train", SAMPLES), truth()
    samples = min(samples, len(segments[row][0]) - min(start, len(segments[row][0]) - 1))
    window = Window(row, min(start, len(segments[row][0]) - 1), samples)
    assert dataset.labels(window).tolist() == expected(segments[row], window.start, window.samples)


@pytest.mark.parametrize("augment", [PLAIN, ROUGH])
def test_the_same_windows_again_and_others_in_the_next_epoch(path, augment):
    one, two = (ChunkDataset(path, "train", SAMPLES, augment) for _ in range(2))
    assert example(one) == example(two)
    assert example(one) != example(one, epoch=1)
    assert example(one) != example(one, seed=1)
    assert example(one, 10) == example(one, 40)[:10]


def test_a_batch_does_not_depend_on_its_other_rows(path):
    dataset = ChunkDataset(path, "train", SAMPLES, ROUGH)
    windows = example(dataset, 12)
    whole = dataset.collate(windows)
    for row in (0, 5, 11):
        alone = ChunkDataset(path, "train", SAMPLES, ROUGH).collate([windows[row]])
        assert np.array_equal(alone.x[0], whole.x[row])
        count = int(alone.target_lengths[0])
        assert alone.targets[0, :count].tolist() == whole.targets[row, :count].tolist()


def test_a_batch_has_its_shapes_and_padding(path):
    dataset = ChunkDataset(path, "train", SAMPLES, ROUGH)
    batch = dataset.collate(example(dataset, 60))
    assert batch.x.shape == (60, SAMPLES, 1)
    assert (str(batch.x.dtype), str(batch.targets.dtype)) == ("torch.float32", "torch.int64")
    assert batch.targets.shape[1] == int(batch.target_lengths.max())
    for x, length, targets, count in zip(batch.x, batch.lengths, batch.targets, batch.target_lengths, strict=True):
        assert not x[length:].any()
        assert (targets[:count] > 0).all()
        assert not targets[count:].any()
    assert (batch.target_lengths > 0).all()
    assert int(batch.lengths.min()) < SAMPLES  # the short segments are used


def test_without_augmentation_the_signal_is_as_stored(path):
    dataset = ChunkDataset(path, "train", SAMPLES, PLAIN)
    for window in [*example(dataset), *dataset.tiles()]:
        stored = truth()[window.segment][0][window.start : window.start + window.samples]
        assert np.allclose(dataset.signal(window), stored, atol=1e-3)
        assert window.factor == 1


def test_stretching_keeps_ends_and_labels(path):
    dataset = ChunkDataset(path, "train", SAMPLES, Augment(stretch=0.2, scale=0.0, shift=0.0, noise=0.0))
    factors = []
    for window in example(dataset):
        signal = dataset.signal(window)
        stored = truth()[window.segment][0][window.start : window.start + window.samples]
        assert np.allclose(signal[[0, -1]], stored[[0, -1]], atol=1e-3)
        assert len(signal) <= SAMPLES
        assert abs(len(signal) * window.factor - window.samples) <= 1
        assert dataset.labels(window).tolist() == dataset.labels(replace(window, factor=1.0, seed=())).tolist()
        factors.append(window.factor)
    assert 0.8 <= min(factors) < 0.9 < 1.1 < max(factors) <= 1.2


def test_disturbance_is_of_the_size_asked_for(path):
    calm = ChunkDataset(path, "train", SAMPLES, PLAIN)
    noisy = ChunkDataset(path, "train", SAMPLES, Augment(stretch=0.0, scale=0.0, shift=0.0, noise=0.3))
    added = [noisy.signal(window) - calm.signal(window) for window in example(noisy)]
    spreads = [part.std() for part in added]
    assert max(spreads) < 0.36
    assert min(spreads) < 0.1 < 0.2 < max(spreads)
    assert np.corrcoef(added[0][:50], added[1][:50])[0, 1] < 0.6  # every window has noise of its own


def test_windows_fall_everywhere(tmp_path):
    lengths = (300, 100)
    dataset = ChunkDataset(write(tmp_path / "s.h5", truth(lengths=lengths)), "train", SAMPLES)
    windows = example(dataset, 2000)
    share = np.mean([window.segment == 0 for window in windows])
    assert abs(share - dataset.lengths[0] / dataset.lengths.sum()) < 0.05
    starts = np.array([window.start for window in windows if window.segment == 0])
    assert starts.min() < 30
    assert starts.max() > dataset.lengths[0] - SAMPLES - 30
    counts, _ = np.histogram(starts, 5)
    assert counts.min() > 0.7 * counts.mean()


def test_without_weights_a_segment_is_drawn_by_whole_samples(path):
    """The windows of a file made before there were weights stay the same."""
    dataset = ChunkDataset(path, "train", SAMPLES, PLAIN)
    ends = np.cumsum(dataset.lengths)
    for place, window in enumerate(example(dataset, 30)):
        rng = np.random.default_rng((0, 0, place))
        segment = int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))
        if dataset.lengths[segment] > 100:  # the labels of the shortest may be passed over
            assert window.segment == segment
            rng.uniform()
            assert window.start == rng.integers(dataset.lengths[segment] - window.samples + 1)


@pytest.mark.parametrize("weights", [[1, 0, 0, 0], [0, 0, 1, 3]])
def test_segments_come_by_samples_times_weight(tmp_path, weights):
    with h5py.File(write(tmp_path / "s.h5", truth()), "r+") as file:
        add_optional(file, "weight", np.array(weights))
    dataset = ChunkDataset(tmp_path / "s.h5", "train", SAMPLES)
    drawn = np.bincount([window.segment for window in example(dataset, 2000)], minlength=4)
    wanted = dataset.lengths * weights
    assert np.abs(drawn / 2000 - wanted / wanted.sum()).max() < 0.04


@pytest.mark.parametrize("weights", [[0, 0, 0, 0], [1, np.nan, 1, 1], [1, -1, 1, 1]])
def test_weights_that_cannot_be_used_are_refused(tmp_path, weights):
    with h5py.File(write(tmp_path / "s.h5", truth()), "r+") as file:
        add_optional(file, "weight", np.array(weights))
    with pytest.raises(InputError, match="weights must be finite"):
        ChunkDataset(tmp_path / "s.h5", "train", SAMPLES)


@pytest.mark.parametrize("augment", [PLAIN, ROUGH])
def test_whole_segments_are_never_cut(tmp_path, augment):
    with h5py.File(write(tmp_path / "s.h5", truth(lengths=(20, 21, 300))), "r+") as file:
        add_optional(file, "whole", np.array([1, 1, 0]))
    dataset = ChunkDataset(tmp_path / "s.h5", "train", 400, augment)
    windows = [window for window in [*example(dataset, 200), *dataset.tiles()] if window.segment < 2]
    assert len(windows) > 10
    for window in windows:
        assert (window.start, window.samples) == (0, dataset.lengths[window.segment])
        assert dataset.labels(window).tolist() == truth(lengths=(20, 21, 300))[window.segment][1].tolist()
        assert 0 < len(dataset.signal(window)) <= 400
    with pytest.raises(InputError, match="may not be cut; expected windows of as many, found 100"):
        ChunkDataset(tmp_path / "s.h5", "train", 100)


def test_tiles_cover_each_segment_once(path):
    dataset = ChunkDataset(path, "train", SAMPLES)
    tiles = dataset.tiles()
    for row, length in enumerate(dataset.lengths):
        mine = [window for window in tiles if window.segment == row]
        assert mine[0].start == 0
        ends = [window.start + window.samples for window in mine]
        assert [window.start for window in mine[1:]] == ends[:-1]
        assert length - ends[-1] < SAMPLES / 4 or len(mine) == 1
    assert all(window.seed == () and window.samples <= SAMPLES for window in tiles)
    assert dataset.tiles() == tiles


def test_a_limit_takes_tiles_evenly(path):
    dataset = ChunkDataset(path, "train", SAMPLES)
    some = dataset.tiles(4)
    assert len(some) == 4
    assert set(some) <= set(dataset.tiles())
    assert {some[0].segment, some[-1].segment} == {0, 3}


@pytest.mark.parametrize(("dwell", "reason"), [(1, f"fewer than {FEWEST} samples a base"), (90, f"more than {MOST}")])
def test_labels_that_cannot_be_right_are_passed_over_and_counted(tmp_path, dwell, reason):
    number = 3000 // dwell
    bad = (np.zeros(number * dwell), np.ones(number, int), np.arange(number) * dwell)
    dataset = ChunkDataset(write(tmp_path / "s.h5", [bad, *truth()]), "train", SAMPLES)
    windows = example(dataset, 50)
    assert len(windows) == 50
    assert all(window.segment > 0 for window in windows)
    assert [key for key in dataset.dropped if key.startswith(reason)]


def test_a_window_that_never_fits_is_given_up(tmp_path):
    bad = (np.zeros(40), np.ones(40, int), np.arange(40))
    dataset = ChunkDataset(write(tmp_path / "s.h5", [bad]), "train", SAMPLES)
    assert example(dataset, 3) == []
    assert dataset.dropped["given up"] == 3


def test_a_window_without_a_base_is_passed_over(tmp_path):
    """One base that lasts longer than a window lies wholly in none."""
    slow = (np.zeros(600), np.array([1, 2]), np.array([0, 300]))
    dataset = ChunkDataset(write(tmp_path / "s.h5", [slow]), "train", 100)
    assert dataset.tiles() == []
    assert dataset.dropped["no base"] == 6


def test_a_file_too_large_for_memory_gives_the_same(path, monkeypatch):
    whole = ChunkDataset(path, "train", SAMPLES, ROUGH)
    monkeypatch.setattr(chunks, "IN_MEMORY", 0)
    lazy = ChunkDataset(path, "train", SAMPLES, ROUGH)
    assert not isinstance(lazy._signal, np.ndarray)
    assert example(lazy) == example(whole)
    assert np.array_equal(lazy.collate(example(lazy)).x, whole.collate(example(whole)).x)


def test_splits_are_apart(tmp_path):
    path = write(tmp_path / "s.h5", truth(), split=lambda i: int(i == 2))
    assert {window.segment for window in example(ChunkDataset(path, "train", 100))} == {0, 1, 3}
    assert {window.segment for window in example(ChunkDataset(path, "valid", 100))} == {2}
    with pytest.raises(InputError, match="split 'test' is empty; 4 segments are in other splits"):
        ChunkDataset(path, "test", 100)

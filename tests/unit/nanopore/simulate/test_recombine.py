"""Walks over real segments: new sequences out of current that was measured."""

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError
from biorrn.nanopore.simulate.labelled_signal import LabelledSignal
from biorrn.nanopore.simulate.recombine import CONTEXT, SIDE, recombine
from biorrn.sequences.prepared.files import SignalFile, signal_writer


def write(path, segments):
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        writer.file.attrs["sources"] = "{}"
        for i, (bases, scale, split) in enumerate(segments):
            noise = np.random.default_rng(i).normal(0, 0.02, len(bases))  # of events; none within them
            level = np.concatenate([np.full(5 + b, b + off) for b, off in zip(bases, noise, strict=True)])
            starts = np.concatenate([[0], np.cumsum(5 + bases)[:-1]])
            writer.add(f"r{i}", (level - 2.5) * scale, bases, starts, split)
    return path


def rows(path):
    file = SignalFile(path)
    data = file.file
    for i in range(len(file)):
        a, b = data["signal_offsets"][i : i + 2]
        c, d = data["base_offsets"][i : i + 2]
        yield data["signal"][a:b].astype(float), data["bases"][c:d].astype(int), data["starts"][c:d]


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    # few kinds of bases, so that contexts come again; the second read was measured at another scale
    segments = [(rng.integers(1, 4, 3000), 1.0, 0), (rng.integers(1, 4, 3000), 0.8, 0), (np.full(3000, 4), 1.0, 2)]
    return write(tmp_path / "real.h5", segments)


def test_contexts_are_centred_and_stay_within_a_segment():
    bases = np.array([1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1], np.uint8)
    segments = np.array([0, 7, 13])
    codes = (
        LabelledSignal(np.zeros(13, np.float32), bases, np.arange(14), segments, np.arange(2), 4000.0)
        .kmers(CONTEXT, SIDE)
        .tolist()
    )
    assert codes[:SIDE] == [-1] * SIDE
    assert codes[3:5] == [1, 4]  # AAAAAC, AAAACA
    assert codes[5:10] == [-1] * 5
    assert codes[10] == 0
    assert codes[11:] == [-1] * 2


def test_every_stretch_of_a_walk_is_measured_and_every_change_agrees(source, tmp_path):
    recombine(source, tmp_path / "new.h5", 20_000, size=2000, run=4.0, seed=1)
    real = [bases for _, bases, _ in rows(source)][:2]
    seen = {tuple(bases[i : i + CONTEXT]) for bases in real for i in range(len(bases) - CONTEXT + 1)}
    longer = {tuple(bases[i : i + 14]) for bases in real for i in range(len(bases) - 13)}
    new = total = 0
    for signal, bases, starts in rows(tmp_path / "new.h5"):
        assert len(signal) >= 2000
        edges = np.append(starts, len(signal))
        assert (np.diff(edges) == 5 + bases).all()  # the dwell of each base is one that it had
        for i in range(len(bases) - CONTEXT + 1):
            assert tuple(bases[i : i + CONTEXT]) in seen
        for i, base in enumerate(bases):  # of one scale by now: the levels tell the base
            assert abs(np.ptp(signal[edges[i] : edges[i + 1]])) < 1e-3
            level = signal[edges[i]] / abs(signal).max()
            assert np.isclose(level, (base - 2.5) / 1.5, atol=0.1)
        new += sum(tuple(bases[i : i + 14]) not in longer for i in range(len(bases) - 13))
        total += max(0, len(bases) - 13)
    assert new > 0.5 * total
    assert 4 not in {base for _, bases, _ in rows(tmp_path / "new.h5") for base in bases}  # the test split stays out


def test_a_seed_repeats_and_another_does_not(source, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        recombine(source, tmp_path / f"{name}.h5", 5000, size=1000, seed=seed)
    found = {name: np.concatenate([signal for signal, _, _ in rows(tmp_path / f"{name}.h5")]) for name in "abc"}
    np.testing.assert_array_equal(found["a"], found["b"])
    assert not np.array_equal(found["a"][:5000], found["c"][:5000])


def test_nothing_that_agrees_is_an_error(tmp_path):
    path = write(tmp_path / "short.h5", [(np.array([1, 2, 3, 4, 1, 2, 3, 4, 4, 4]), 1.0, 0)])
    with pytest.raises(BiorrnError, match="no two places"):
        recombine(path, tmp_path / "new.h5", 1000)

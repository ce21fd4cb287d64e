"""Chunks as numpy files, out and in again."""

import os

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.nanopore.dataset import ChunkDataset
from biorrn.nanopore.labels.prepare import NAMES, export_chunks, import_chunks, mix
from biorrn.sequences.prepared.files import SignalFile, signal_writer
from biorrn.sequences.splits import parse_split

SAMPLES = 200


@pytest.fixture
def prepared(tmp_path):
    rng = np.random.default_rng(0)
    with signal_writer(tmp_path / "a.h5", "quantile", 5000.0, "truth") as writer:
        for number, (bases, split) in enumerate([(100, 0), (55, 0), (10, 0), (64, 1), (41, 2)]):
            starts = np.concatenate([[0], np.cumsum(rng.integers(5, 15, bases))])
            signal = rng.normal(0, 1, starts[-1])
            writer.add(f"r{number}", signal, rng.integers(1, 5, bases), starts[:-1], split)
    return tmp_path / "a.h5"


def load(folder):
    return tuple(np.load(folder / name) for name in NAMES)


def test_chunks_are_the_tiles_of_the_file(prepared, tmp_path):
    counts = export_chunks(prepared, tmp_path / "out", SAMPLES)
    assert set(counts) == {"train", "valid", "test"}
    for split, folder in (("train", "."), ("valid", "validation"), ("test", "test")):
        chunks, references, lengths = load(tmp_path / "out" / folder)
        assert (chunks.dtype, references.dtype, lengths.dtype) == (np.float16, np.uint8, np.uint16)
        assert chunks.shape == (counts[split], SAMPLES)
        assert references.shape == (counts[split], lengths.max())
        data = ChunkDataset(prepared, split, SAMPLES)
        windows = [window for window in data.tiles() if window.samples == SAMPLES]
        assert len(windows) == counts[split] > 0
        for row, window in enumerate(windows):
            assert np.array_equal(chunks[row], data.signal(window).astype(np.float16))
            assert references[row, : lengths[row]].tolist() == data.labels(window).tolist()
            assert not references[row, lengths[row] :].any()
            assert (references[row, : lengths[row]] > 0).all()


def test_out_in_and_out_again_gives_the_same_files(prepared, tmp_path):
    export_chunks(prepared, tmp_path / "one", SAMPLES)
    counts = import_chunks(tmp_path / "one", tmp_path / "b.h5", normaliser="quantile", sample_rate=5000.0, note="n")
    export_chunks(tmp_path / "b.h5", tmp_path / "two", SAMPLES)
    for folder in (".", "validation", "test"):
        for one, two in zip(load(tmp_path / "one" / folder), load(tmp_path / "two" / folder), strict=True):
            assert np.array_equal(one, two)
    with SignalFile(tmp_path / "b.h5") as file:
        assert len(file) == counts["chunks"]
        assert (file.normaliser, file.sample_rate, file.file.attrs["labels"]) == ("quantile", 5000.0, "chunks")
        assert file.file.attrs["note"] == "n"
        assert len(file.sources) == 9
        assert file.file["whole"][:].all()
        for row in range(len(file)):
            starts = file.labels(row)[1]
            assert starts[0] == 0
            assert (np.diff(starts) > 0).all()
            assert len(file.signal(row)) == SAMPLES


def test_imported_chunks_are_trained_on_whole(prepared, tmp_path):
    export_chunks(prepared, tmp_path / "one", SAMPLES)
    import_chunks(tmp_path / "one", tmp_path / "b.h5")
    _, references, lengths = load(tmp_path / "one")
    data = ChunkDataset(tmp_path / "b.h5", "train", 250)
    windows = data.windows(0, 0, 30)
    assert len(windows) == 30
    batch = data.collate(windows)
    for row, window in enumerate(windows):
        assert (window.start, window.samples) == (0, SAMPLES)
        wanted = references[window.segment, : lengths[window.segment]]
        assert batch.targets[row, : len(wanted)].tolist() == wanted.tolist()
        assert batch.target_lengths[row] == len(wanted)
    with pytest.raises(InputError, match="chunks of 200 samples, which may not be cut"):
        ChunkDataset(tmp_path / "b.h5", "train", 150)
    import_chunks(tmp_path / "one", tmp_path / "c.h5", normaliser="quantile", sample_rate=5000.0)
    mix([(prepared, 1.0), (tmp_path / "c.h5", 1.0)], tmp_path / "m.h5")
    with SignalFile(tmp_path / "m.h5") as mixed:
        assert mixed.file["whole"][:].tolist() == [0] * 5 + [1] * (len(mixed) - 5)


def test_a_folder_without_validation_is_split(prepared, tmp_path):
    export_chunks(prepared, tmp_path / "one", 50)
    for name in NAMES:
        (tmp_path / "one" / "validation" / name).unlink()
        (tmp_path / "one" / "test" / name).unlink()
    splitter = parse_split("random:0.5,0.5,0", "signal", 1)
    import_chunks(tmp_path / "one", tmp_path / "b.h5", splitter=splitter)
    with SignalFile(tmp_path / "b.h5") as file:
        assert len(file.rows("train")) == pytest.approx(len(file) / 2, abs=1)


def write(folder, chunks=None, references=None, lengths=None):
    folder.mkdir(exist_ok=True)
    arrays = (
        np.zeros((2, 30), np.float16) if chunks is None else chunks,
        np.array([[1, 2, 3], [4, 0, 0]], np.uint8) if references is None else references,
        np.array([3, 1], np.uint16) if lengths is None else lengths,
    )
    for name, array in zip(NAMES, arrays, strict=True):
        np.save(folder / name, array)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunks": np.zeros(30, np.float16)}, r"chunks.npy: found float16 \(30,\); allowed is a float array"),
        ({"chunks": np.zeros((2, 30), int)}, "chunks.npy: found int64"),
        ({"chunks": np.full((2, 30), np.nan, np.float16)}, "row 0 holds what is no number"),
        ({"references": np.zeros((3, 3), np.uint8)}, r"references.npy: found uint8 \(3, 3\); allowed is .*\(2, L\)"),
        ({"references": np.full((2, 3), 5, np.uint8)}, "row 0: its 3 bases are not all 1, 2, 3 or 4"),
        ({"lengths": np.array([4, 1], np.uint16)}, "row 0: its 4 bases"),
        ({"lengths": np.array([1.0, 2.0])}, "reference_lengths.npy: found float64"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        import_chunks(write(tmp_path / "x", **change), tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


def test_missing_and_damaged_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"holds no chunks\.npy"):
        import_chunks(tmp_path, tmp_path / "b.h5")
    folder = write(tmp_path / "x")
    (folder / NAMES[1]).write_text("hello")
    with pytest.raises(InputError, match=r"references\.npy: is not a readable numpy file"):
        import_chunks(folder, tmp_path / "b.h5")
    (folder / NAMES[1]).unlink()
    with pytest.raises(InputError, match=r"references\.npy: is missing"):
        import_chunks(folder, tmp_path / "b.h5")
    with pytest.raises(ConfigError, match="normaliser"):
        import_chunks(folder, tmp_path / "b.h5", normaliser="medmda")


def test_chunks_without_bases_are_left_out_and_counted(tmp_path):
    counts = import_chunks(write(tmp_path / "x", lengths=np.array([3, 0], np.uint16)), tmp_path / "b.h5")
    assert (counts["chunks"], counts["chunks dropped: no bases"]) == (1, 1)
    with pytest.raises(BiorrnError, match="no chunk could be used"):
        import_chunks(write(tmp_path / "y", lengths=np.array([0, 0], np.uint16)), tmp_path / "c.h5")


def test_chunks_longer_than_every_segment_are_refused(prepared, tmp_path):
    with pytest.raises(InputError, match="holds no segment of 5000 samples"):
        export_chunks(prepared, tmp_path / "one", 5000)


@pytest.mark.parametrize("moves", [0, 1, 2, 3])
def test_a_killed_export_never_mixes_two(prepared, tmp_path, monkeypatch, moves):
    export_chunks(prepared, tmp_path / "out", SAMPLES)
    before = [(tmp_path / "out" / name).read_bytes() for name in NAMES]
    real, left = os.replace, [moves]

    def dying(source, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            export_chunks(prepared, tmp_path / "out", SAMPLES // 2)
    there = [name for name in NAMES if (tmp_path / "out" / name).exists()]
    assert len(there) == moves  # of the new export; none of the old one beside them
    assert all((tmp_path / "out" / name).read_bytes() != old for name, old in zip(NAMES, before, strict=True)
               if name in there)  # fmt: skip

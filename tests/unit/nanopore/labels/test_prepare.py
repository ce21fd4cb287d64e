"""Labelled reads to a prepared file: chunks, limits, mixed sources."""

import json
import os
import weakref
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.nanopore.dataset import ChunkDataset
from biorrn.nanopore.labels.prepare import (
    MIN_BASES,
    NAMES,
    STALL,
    export_chunks,
    import_chunks,
    mix,
    parse_inputs,
    positions,
    prepare_signal,
)
from biorrn.nanopore.signal import NORMALISERS, normalise
from biorrn.sequences.prepared.files import SignalFile, signal_writer
from biorrn.sequences.prepared.schema import SIGNAL
from biorrn.sequences.records import ReadLabels, SignalRecord
from biorrn.sequences.splits import parse_split

ALL = parse_split("reference:chr1:0-1000000=train", "signal")


def read(name="r1", bases=100, seed=0, strand="+", ref_start=1000, lead=50, tail=20, rate=4000.0, dwell=None):
    """Return a read with known labels; before and after them the signal is of another level."""
    rng = np.random.default_rng(seed)
    dwell = rng.integers(5, 15, bases) if dwell is None else np.asarray(dwell)
    letters = rng.integers(1, 5, bases)
    current = np.concatenate([np.full(lead, 900), 400 + 50 * np.repeat(letters, dwell), np.full(tail, 900)])
    raw = (current + rng.integers(-10, 10, len(current))).astype(np.int16)
    starts = lead + np.concatenate([[0], np.cumsum(dwell)])
    labels = ReadLabels(
        letters.astype(np.uint8), starts[:-1], int(starts[-1]), "chr1", ref_start, ref_start + bases, strand
    )
    return SignalRecord(name, raw, 10.0, 0.2, rate, source=Path("none.fast5")), labels


def changed(pair, **fields):
    record, labels = pair
    values = {name: getattr(labels, name) for name in ReadLabels.__slots__}
    return record, ReadLabels(**{**values, **fields})


def prepare(tmp_path, reads, splitter=ALL, **options):
    path = tmp_path / "s.h5"
    return path, prepare_signal(reads, path, splitter, **options)


@given(st.integers(20, 150), st.integers(0, 150), st.integers(1, 150), st.sampled_from("+-"), st.integers(0, 99))
def test_segments_lie_in_one_split_and_hold_the_truth(tmp_path_factory, bases, start, span, strand, seed):
    """Every segment is a slice of the read: same bases, same current, positions in the region of its split."""
    record, labels = read(bases=bases, strand=strand, ref_start=0, seed=seed)
    splitter = parse_split(f"reference:chr1:{start}-{start + span}=valid", "signal")
    region = set(range(start, start + span))
    where = positions(labels)
    usable = max(sum(p in region for p in where), 0)
    path = tmp_path_factory.mktemp("segments") / "s.h5"
    if usable < MIN_BASES:  # too little for a segment: the split would be empty
        with pytest.raises(BiorrnError, match=r"no base lies in|no read could be used"):
            prepare_signal([(record, labels)], path, splitter)
        return
    counts = prepare_signal([(record, labels)], path, splitter)
    normalised = normalise(record.picoamperes()[labels.starts[0] : labels.end], "medmad")
    place = {int(p): i for i, p in enumerate(where)}
    total = 0
    with SignalFile(path) as file:
        for row in range(len(file)):
            letters, starts = file.labels(row)
            low, high = file.file["ref_start"][row], file.file["ref_end"][row]
            inside = {int(p) in region for p in range(low, high)}
            assert inside == {bool(file.file["split"][row])}
            first = place[int(low)] if strand == "+" else place[int(high) - 1]
            assert np.array_equal(letters, labels.bases[first : first + len(letters)])
            assert high - low == len(letters)
            origin = labels.starts[first] - labels.starts[0]
            assert np.array_equal(starts, labels.starts[first : first + len(letters)] - labels.starts[first])
            signal = file.signal(row)
            assert np.array_equal(signal, normalised[origin : origin + len(signal)].astype(np.float16))
            ends = np.append(labels.starts[1:], labels.end)
            assert len(signal) == ends[first + len(letters) - 1] - labels.starts[first]
            total += len(letters)
    assert total + counts["bases dropped: segment too short"] == bases


@pytest.mark.parametrize("name", NORMALISERS)
def test_a_read_is_normalised_from_its_first_label_to_its_last(tmp_path, name):
    record, labels = read()
    path, _ = prepare(tmp_path, [(record, labels)], normaliser=name)
    with SignalFile(path) as file:
        assert file.normaliser == name
        wanted = normalise(record.picoamperes()[labels.starts[0] : labels.end], name)
        assert np.array_equal(file.signal(0), wanted.astype(np.float16))


def test_positions_run_backwards_on_the_other_strand():
    _, forward = read(bases=25, ref_start=10)
    _, backward = read(bases=25, ref_start=10, strand="-")
    assert positions(forward).tolist() == list(range(10, 35))
    assert positions(backward).tolist() == list(range(34, 9, -1))
    assert positions(changed((None, forward), reference="", strand="")[1]).tolist() == [-1] * 25


def test_a_stalled_base_cuts_the_segment(tmp_path):
    dwell = np.full(100, 10)
    dwell[40] = int(STALL * 4000) + 1
    path, counts = prepare(tmp_path, [read(dwell=dwell)])
    assert counts["bases dropped: stalled"] == 1
    with SignalFile(path) as file:
        assert [len(file.labels(row)[0]) for row in range(len(file))] == [40, 59]
        assert file.file["ref_start"][:].tolist() == [1000, 1041]
        assert len(file.signal(0)) == 400


def test_a_base_without_a_letter_cuts_the_segment(tmp_path):
    pair = read()
    letters = pair[1].bases.copy()
    letters[50] = 0
    path, counts = prepare(tmp_path, [changed(pair, bases=letters)])
    assert counts["bases dropped: no letter"] == 1
    with SignalFile(path) as file:
        assert [len(file.labels(row)[0]) for row in range(len(file))] == [50, 49]


BAD = {
    f"fewer than {MIN_BASES} bases": read(bases=5),
    "label starts do not increase": changed(read(), starts=read()[1].starts[::-1]),
    "labels end beyond the signal": changed(read(), end=10**6),
    "labels do not match their span": changed(read(), ref_end=5000),
    "sample rate is not 4000 Hz": read(rate=5000.0),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_read_is_counted_and_the_others_go_on(tmp_path, reason):
    path, counts = prepare(tmp_path, [read("first"), BAD[reason], read("last")])
    assert [number for name, number in counts.items() if reason in name] == [1]
    assert counts["reads kept"] == 2
    with SignalFile(path) as file:
        assert file.strings("read_id") == ["first", "last"]


def test_no_usable_read_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(BiorrnError, match=r"no read could be used \(reads dropped: fewer than 20 bases 1\)"):
        prepare(tmp_path, [read(bases=5)])
    with pytest.raises(BiorrnError, match="found no read with labels"):
        prepare(tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_a_region_without_a_base_is_an_error(tmp_path):
    with pytest.raises(BiorrnError, match=r"no base lies in chr1:9000-9900; the reads cover chr1:1000-1100"):
        prepare(tmp_path, [read()], parse_split("reference:chr1:9000-9900=valid", "signal"))
    with pytest.raises(BiorrnError, match=r"no base lies in chr2:0-50; the reads cover chr1"):
        prepare(tmp_path, [read()], parse_split("reference:chr2:0-50=valid", "signal"))


def test_an_unknown_normaliser_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="normaliser 'medmda' is unknown; did you mean 'medmad'"):
        prepare(tmp_path, [read()], normaliser="medmda")


def test_a_random_split_keeps_reads_whole(tmp_path):
    dwell = np.full(100, 10)
    dwell[50] = 1000
    reads = [read(f"r{i}", dwell=dwell) for i in range(20)]
    path, _ = prepare(tmp_path, reads, parse_split("random:0.8,0.1,0.1", "signal", 1))
    with SignalFile(path) as file:
        names, codes = np.array(file.strings("read_id")), file.file["split"][:]
    assert len(names) == 40
    for name in set(names):
        assert len(set(codes[names == name])) == 1
    assert (np.bincount(codes, minlength=3) == [32, 4, 4]).all()


def test_one_read_is_in_memory_at_a_time(tmp_path):
    alive: list[weakref.ref] = []
    most = 0

    class Tracked(np.ndarray):
        pass

    def reads():
        nonlocal most
        for i in range(30):
            record, labels = read(f"r{i}")
            raw = record.raw.view(Tracked)
            alive.append(weakref.ref(raw))
            pair = (SignalRecord(f"r{i}", raw, 10.0, 0.2, 4000.0), labels)
            del raw, record
            yield pair
            del pair
            most = max(most, sum(reference() is not None for reference in alive))

    _, counts = prepare(tmp_path, reads())
    assert counts["reads kept"] == 30
    assert most <= 2


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


SAMPLES_OF_FILE = 100


def write_prepared(path, segments, bases=40, held_out=1, dwell=10, normaliser="medmad", rate=4000.0, seed=0):
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
    return write_prepared(tmp_path / "a.h5", 3), write_prepared(tmp_path / "b.h5", 12, bases=60, seed=1)


def shares(path, inputs, n=3000, seed=0):
    """Return the part of the training windows that come from each input."""
    with SignalFile(path) as file:
        source = file.file["source"][:]
    drawn = source[[window.segment for window in ChunkDataset(path, "train", SAMPLES_OF_FILE).windows(0, seed, n)]]
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
    assert len(ChunkDataset(tmp_path / "m.h5", "valid", SAMPLES_OF_FILE).rows) == 2  # those of weight 0 too


def test_a_mix_of_a_mix_keeps_its_inner_shares(two, tmp_path):
    mix([(two[0], 3.0), (two[1], 1.0)], tmp_path / "inner.h5")
    other = write_prepared(tmp_path / "c.h5", 5, seed=2)
    mix([(tmp_path / "inner.h5", 1.0), (other, 1.0)], tmp_path / "m.h5")
    assert np.abs(shares(tmp_path / "m.h5", 2) - 0.5).max() < 0.03
    rows = [window.segment for window in ChunkDataset(tmp_path / "m.h5", "train", SAMPLES_OF_FILE).windows(0, 1, 4000)]
    inner = [row for row in rows if row < 15]
    assert np.mean([row < 3 for row in inner]) == pytest.approx(0.75, abs=0.04)


def test_equal_weights_on_equal_files_change_no_share_of_a_segment(tmp_path):
    paths = [write_prepared(tmp_path / f"{name}.h5", 4, seed=seed) for seed, name in enumerate("ab")]
    mix([(path, 1.0) for path in paths], tmp_path / "m.h5")
    with SignalFile(tmp_path / "m.h5") as mixed:
        assert np.allclose(mixed.file["weight"][:], 1)


def test_windows_are_the_same_again(two, tmp_path):
    mix([(two[0], 3.0), (two[1], 1.0)], tmp_path / "m.h5")
    one, other = (ChunkDataset(tmp_path / "m.h5", "train", SAMPLES_OF_FILE).windows(2, 7, 50) for _ in range(2))
    assert one == other
    assert one != ChunkDataset(tmp_path / "m.h5", "train", SAMPLES_OF_FILE).windows(3, 7, 50)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normaliser": "quantile"}, r"c\.h5: has the normaliser quantile; .*a\.h5 has medmad"),
        ({"rate": 5000.0}, r"c\.h5: has 5000 Hz; .*a\.h5 has 4000 Hz"),
        ({"held_out": 4}, r"c\.h5: holds no training segments; allowed is a weight of 0"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line_and_write_nothing(two, tmp_path, change, message):
    other = write_prepared(tmp_path / "c.h5", 4, **change)
    with pytest.raises(InputError, match=message):
        mix([(two[0], 1.0), (other, 1.0)], tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


def test_rna_is_mixed_with_rna_alone(two, tmp_path):
    for path in ("c.h5", "d.h5"):
        write_prepared(tmp_path / path, 4)
        with h5py.File(tmp_path / path, "a") as file:
            file.attrs["rna"] = 1
    with pytest.raises(InputError, match=r"c\.h5: is of RNA; .*a\.h5 is of DNA"):
        mix([(two[0], 1.0), (tmp_path / "c.h5", 1.0)], tmp_path / "m.h5")
    mix([(tmp_path / "c.h5", 1.0), (tmp_path / "d.h5", 1.0)], tmp_path / "m.h5")
    assert ChunkDataset(tmp_path / "m.h5", "train", SAMPLES_OF_FILE).rna
    with h5py.File(tmp_path / "c.h5", "a") as file:
        file.attrs["rna"] = 7
    with pytest.raises(InputError, match="attribute 'rna': found 7; allowed is 0 or 1"):
        ChunkDataset(tmp_path / "c.h5", "train", SAMPLES_OF_FILE)


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

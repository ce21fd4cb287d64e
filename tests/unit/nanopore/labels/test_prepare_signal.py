"""Labelled reads -> segments."""

import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.nanopore.labels.prepare import MIN_BASES, STALL, positions, prepare_signal
from biorrn.nanopore.signal import NORMALISERS
from biorrn.sequences.prepared.files import SignalFile
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
    normalised = NORMALISERS["medmad"](record.picoamperes()[labels.starts[0] : labels.end])
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
        wanted = NORMALISERS[name](record.picoamperes()[labels.starts[0] : labels.end])
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

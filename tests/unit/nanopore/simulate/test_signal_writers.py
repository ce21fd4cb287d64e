"""Every format that is written reads back equal, through our readers and through the formats' own libraries."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.nanopore.labels.sources import labelled_reads, read_truth
from biorrn.nanopore.readers.files import read_signal
from biorrn.nanopore.readers.slow5 import svb_zd
from biorrn.nanopore.simulate.pore_model import PoreModel
from biorrn.nanopore.simulate.reads import (
    SIGNAL_WRITERS,
    Settings,
    encode_svb_zd,
    open_signal,
    open_truth,
    random_genome,
    simulate,
)
from biorrn.sequences.records import SignalRecord

FIELDS = ("read_id", "offset", "scale", "sample_rate", "channel", "mux", "read_number", "start_time")
FIELDS += ("run_id", "flow_cell", "kit", "end_reason")


@pytest.fixture(scope="module")
def reads(small_model: PoreModel) -> list:
    return list(simulate(random_genome("5000", 0), small_model, Settings(800, 4), reads=7, seed=2))


def write(path: Path, records: list[SignalRecord]) -> None:
    with open_signal(path) as append:
        for record in records:
            append(record)


@pytest.mark.parametrize("suffix", SIGNAL_WRITERS)
def test_read_back_equal(suffix: str, reads: list, tmp_path: Path) -> None:
    path = tmp_path / f"sim{suffix}"
    write(path, [record for record, _ in reads])
    again = list(read_signal(path))
    assert [record.read_id for record in again] == [record.read_id for record, _ in reads]
    for found, (record, _) in zip(again, reads, strict=True):
        np.testing.assert_array_equal(found.raw, record.raw)
        np.testing.assert_array_equal(found.picoamperes(), record.picoamperes())
        assert [getattr(found, name) for name in FIELDS] == [getattr(record, name) for name in FIELDS]


def test_the_formats_hold_the_same_picoamperes(reads: list, tmp_path: Path) -> None:
    found = []
    for suffix in SIGNAL_WRITERS:
        write(tmp_path / f"sim{suffix}", [reads[0][0]])
        found.append(next(iter(read_signal(tmp_path / f"sim{suffix}"))).picoamperes())
    for one, other in itertools.pairwise(found):
        np.testing.assert_array_equal(one, other)


def test_the_library_of_slow5_reads_our_blow5(reads: list, tmp_path: Path) -> None:
    pyslow5 = pytest.importorskip("pyslow5")
    write(tmp_path / "sim.blow5", [record for record, _ in reads])
    file = pyslow5.Open(str(tmp_path / "sim.blow5"), "r")
    found = list(file.seq_reads(aux="all"))
    assert file.get_all_headers()["run_id"] == reads[0][0].run_id
    for one, (record, _) in zip(found, reads, strict=True):
        np.testing.assert_array_equal(one["signal"], record.raw)
        assert one["range"] / one["digitisation"] == record.scale
        assert (one["offset"], one["channel_number"]) == (record.offset, str(record.channel))
        assert (one["start_time"], one["start_mux"]) == (record.start_time, record.mux)
        assert file.get_aux_enum_labels("end_reason")[one["end_reason"]] == record.end_reason


@given(st.lists(st.integers(-(2**15), 2**15 - 1), max_size=60))
def test_svb_zd_round_trip(samples: list[int]) -> None:
    signal = np.array(samples, np.int16)
    np.testing.assert_array_equal(svb_zd(encode_svb_zd(signal)), signal)


def test_truth_reads_back_equal_and_joins_the_reads(reads: list, tmp_path: Path) -> None:
    write(tmp_path / "sim.blow5", [record for record, _ in reads])
    with open_truth(tmp_path / "truth.tsv.gz") as append:
        for record, labels in reads:
            append(record.read_id, labels)
    found = dict(read_truth(tmp_path / "truth.tsv.gz"))
    counts: Counter[str] = Counter()
    joined = list(labelled_reads([tmp_path / "sim.blow5"], "truth", tmp_path / "truth.tsv.gz", counts))
    assert len(joined) == len(reads)
    assert not +counts
    for record, labels in reads:
        again = found[record.read_id]
        np.testing.assert_array_equal(again.bases, labels.bases)
        np.testing.assert_array_equal(again.starts, labels.starts)
        assert (again.end, again.reference, again.strand) == (labels.end, labels.reference, labels.strand)
        assert (again.ref_start, again.ref_end) == (labels.ref_start, labels.ref_end)


def test_an_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"allowed are \.pod5, \.blow5, \.fast5"), open_signal(tmp_path / "x.slow6"):
        pass


@pytest.mark.parametrize("suffix", SIGNAL_WRITERS)
def test_a_fault_leaves_no_file(suffix: str, reads: list, tmp_path: Path) -> None:
    broken = replace(reads[0][0], read_id=None)
    with pytest.raises((AttributeError, TypeError)):
        write(tmp_path / f"sim{suffix}", [reads[0][0], broken])
    assert not list(tmp_path.iterdir())

"""Simulated reads and their signal files."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.nanopore.labels.prepare import prepare_signal
from biorrn.nanopore.labels.sources import labelled_reads, read_truth
from biorrn.nanopore.readers.files import read_signal
from biorrn.nanopore.readers.slow5 import svb_zd
from biorrn.nanopore.signal import trim_start
from biorrn.nanopore.simulate.molecules import ADAPTER
from biorrn.nanopore.simulate.pore_model import PoreModel, kmer_index, load_pore_model
from biorrn.nanopore.simulate.reads import (
    Settings,
    Simulator,
    draw_fragment,
    open_truth,
    random_genome,
    read_genome,
    simulate,
    write_genome,
)
from biorrn.nanopore.simulate.writers import SIGNAL_WRITERS, encode_svb_zd, open_signal
from biorrn.sequences.alphabets import decode_bases, reverse_complement
from biorrn.sequences.prepared.files import SignalFile
from biorrn.sequences.records import SignalRecord
from biorrn.sequences.splits import parse_split

GENOME = random_genome("20000:0.45", 3)


def made(model: PoreModel, number: int = 6, seed: int = 0, genome: dict = GENOME, **settings: float) -> list:
    return list(simulate(genome, model, Settings(1500, 4, **settings), reads=number, seed=seed))


def test_same_seed_same_reads_and_more_of_them_change_none(small_model: PoreModel) -> None:
    few, many, other = made(small_model, 3), made(small_model, 6), made(small_model, 3, seed=1)
    for (one, labels), (two, again) in zip(few, many, strict=False):
        np.testing.assert_array_equal(one.raw, two.raw)
        np.testing.assert_array_equal(labels.starts, again.starts)
        assert one.read_id == two.read_id
    assert all(one.read_id != two.read_id for (one, _), (two, _) in zip(few, other, strict=True))
    assert not np.array_equal(few[0][0].raw[:100], other[0][0].raw[:100])


def test_labels_are_the_genome_and_lie_within_the_signal(small_model: PoreModel) -> None:
    reads = made(small_model, 30)
    assert {labels.strand for _, labels in reads} == {"+", "-"}
    assert len({record.read_id for record, _ in reads}) == 30
    for record, labels in reads:
        span = GENOME[labels.reference][labels.ref_start : labels.ref_end]
        np.testing.assert_array_equal(labels.bases, span if labels.strand == "+" else reverse_complement(span))
        assert (np.diff(labels.starts) >= 1).all()
        assert len(ADAPTER) < labels.starts[0] < labels.starts[-1] < labels.end < len(record.raw)
        assert record.raw.dtype == np.int16
        assert 20 < record.picoamperes()[labels.starts[0] : labels.end].mean() < 150


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_events_follow_the_levels(small_model: PoreModel, noise: float) -> None:
    for record, labels in made(small_model, noise=noise):
        edges = np.append(labels.starts, labels.end)
        means = np.add.reduceat(record.picoamperes()[: labels.end], edges[:-1]) / np.diff(edges)
        index = kmer_index(labels.bases, small_model.k)
        expected = small_model.level[index]
        assert np.corrcoef(means[small_model.centre :][: len(index)], expected)[0, 1] > 0.99


def test_the_shipped_model_gives_events_that_follow_its_levels() -> None:
    model = load_pore_model("dna_r9.4.1_6mer")
    record, labels = made(model, 1, noise=0.2)[0]
    edges = np.append(labels.starts, labels.end)
    means = np.add.reduceat(record.picoamperes()[: labels.end], edges[:-1]) / np.diff(edges)
    index = kmer_index(labels.bases, model.k)
    assert np.corrcoef(means[model.centre :][: len(index)], model.level[index])[0, 1] > 0.95


def test_dwell_has_the_mean_and_the_heavy_tail_of_the_table(small_model: PoreModel) -> None:
    model = replace(small_model, device=replace(small_model.device, speed_sd=0.0))
    simulator = Simulator(model, Settings())
    bases = np.random.default_rng(0).integers(1, 5, 40_000)
    _, edges = simulator.current(bases, np.random.default_rng(1))
    dwell = np.diff(edges)
    index = kmer_index(bases, 3)
    expected = model.dwell[index].mean()
    assert dwell.mean() == pytest.approx(expected, rel=0.03)
    assert dwell.min() >= 1
    assert np.quantile(dwell, 0.999) > 3 * expected
    fast = Simulator(model, Settings(speed=800.0)).current(bases, np.random.default_rng(1))[1]
    assert 4000 / np.diff(fast).mean() == pytest.approx(800, rel=0.05)


def test_noise_is_as_large_and_as_correlated_as_the_model_says(small_model: PoreModel) -> None:
    """One event for ever: what is left is the noise alone."""
    device = replace(small_model.device, drift_sd=0.0)
    model = replace(small_model, spread=np.zeros(64), noise=np.full(64, 0.2), device=device)
    noise = Simulator(model, Settings()).wander.current(np.zeros(1, int), np.array([400_000]), np.random.default_rng(0))
    assert noise.std() == pytest.approx(0.2, rel=0.02)
    centred = noise - noise.mean()
    found = [(centred[:-lag] * centred[lag:]).mean() / centred.var() for lag in (1, 2)]
    # Yule and Walker: rho1 = a1 / (1 - a2), rho2 = a1 rho1 + a2
    assert found == pytest.approx([0.3 / 0.9, 0.3 * 0.3 / 0.9 + 0.1], abs=0.01)


def test_the_spread_of_events_is_that_of_the_table(small_model: PoreModel) -> None:
    model = replace(small_model, spread=np.full(64, 0.12), noise=np.full(64, 0.15))
    rng = np.random.default_rng(0)
    kmers, dwell = rng.integers(0, 64, 60_000), np.full(60_000, 10)
    current = Simulator(model, Settings()).wander.current(kmers, dwell, rng)
    inner = current.reshape(-1, 10).mean(1) - model.level[kmers]
    # the filter mixes a little of the neighbours into the mean of an event
    spread = 1.4826 * np.median(np.abs(inner - np.median(inner)))
    assert spread == pytest.approx(0.12, rel=0.1)


def test_the_stall_is_what_trimming_looks_for() -> None:
    """The trimmer cuts within the stall and the adapter, not within the strand, on most reads."""
    model = load_pore_model("dna_r9.4.1_6mer")
    found = Counter(
        0 < trim_start(record.picoamperes(), record.sample_rate) <= labels.starts[0] + 50
        for record, labels in made(model, 20)
    )
    assert found[True] >= 15


def test_coverage_counts_bases(small_model: PoreModel) -> None:
    reads = list(simulate(GENOME, small_model, Settings(1000, 4), coverage=0.5, seed=1))
    total = sum(len(labels.bases) for _, labels in reads)
    assert 10_000 <= total < 10_000 + len(reads[-1][1].bases)


def test_prepare_takes_what_simulate_makes(small_model: PoreModel, tmp_path: Path) -> None:
    reads = made(small_model)
    counts = prepare_signal(reads, tmp_path / "x.h5", parse_split("random:1,0,0", "signal"), labels="truth")
    assert counts["reads kept"] == len(reads)
    assert not [name for name in counts if "dropped" in name and counts[name]]
    with SignalFile(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file.labels(0)[0], reads[0][1].bases)


BAD_SETTINGS = [{"length_mean": 0.0}, {"length_shape": -1.0}, {"noise": -0.1}, {"noise": float("nan")}, {"speed": 0.0}]


@pytest.mark.parametrize("settings", BAD_SETTINGS, ids=str)
def test_settings_out_of_range(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="found"):
        Settings(**settings)


@pytest.mark.parametrize("wanted", [{}, {"reads": 1, "coverage": 1.0}, {"reads": 0}, {"coverage": -1.0}], ids=str)
def test_how_many_must_be_said_once(wanted: dict, small_model: PoreModel) -> None:
    with pytest.raises(ConfigError, match=r"--reads|--coverage"):
        simulate(GENOME, small_model, Settings(), **wanted)


# genomes


def test_fasta_is_read_as_written(tmp_path: Path) -> None:
    write_genome(tmp_path / "g.fa", GENOME)
    again = read_genome(tmp_path / "g.fa")
    np.testing.assert_array_equal(again["random"], GENOME["random"])
    (tmp_path / "h.fa").write_text(">a first\nacgt\nRYN\n\n>b\nU\n")
    assert {name: decode_bases(codes) for name, codes in read_genome(tmp_path / "h.fa").items()} == {
        "a": "ACGTNNN",
        "b": "T",
    }


BAD_FASTA = {
    "": "empty",
    "ACGT\n": "before the first header",
    ">\nACGT\n": "without a name",
    ">a\nAC\n>a\nAC\n": "given twice",
    ">a\n>b\nAC\n": "the sequence is empty",
    ">a\nACXG\n": "'X' at position 3",
}


@pytest.mark.parametrize("text", BAD_FASTA)
def test_bad_fasta(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.fa").write_text(text)
    with pytest.raises(BiorrnError, match=BAD_FASTA[text]):
        read_genome(tmp_path / "bad.fa")


@pytest.mark.parametrize("text", ["x", "10", "1000:2", "-5", "1000:x", ""])
def test_bad_random_genome(text: str) -> None:
    with pytest.raises(ConfigError, match="--random-genome"):
        random_genome(text, 0)


def test_random_genome_has_its_gc() -> None:
    codes = random_genome("50000:0.3", 1)["random"]
    assert np.isin(codes, (2, 3)).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(codes, random_genome("50000:0.3", 1)["random"])


def test_fragments_avoid_unknown_bases_and_fit_in_short_sequences() -> None:
    codes = np.tile([1, 2, 3, 4], 300).astype(np.uint8)
    codes[600] = 0
    genome = {"short": np.array([1, 2, 3], np.uint8), "long": codes}
    rng = np.random.default_rng(0)
    found = [draw_fragment(rng, genome, 200, 2) for _ in range(200)]
    assert all(fragment is not None and fragment.bases.all() for fragment in found)
    tiny = draw_fragment(rng, {"short": genome["short"]}, 200, 2)
    assert tiny is not None
    assert len(tiny.bases) == 3


def test_nothing_but_unknown_bases(small_model: PoreModel) -> None:
    assert draw_fragment(np.random.default_rng(0), {"n": np.zeros(500, np.uint8)}, 200, 2) is None
    with pytest.raises(BiorrnError, match="no fragment"):
        made(small_model, genome={"n": np.zeros(500, np.uint8)})


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


def test_chimeras_have_a_second_molecule_behind_open_pore(small_model: PoreModel) -> None:
    plain, reads = made(small_model, 20), made(small_model, 20, chimeras=0.5)
    double = [labels for _, labels in reads if labels.second]
    assert 4 < len(double) < 16
    for (one, known), (two, labels) in zip(plain, reads, strict=True):
        start, end = labels.open_pore
        assert (labels.ref_start, labels.strand) == (known.ref_start, known.strand)
        if labels.second:
            current = two.picoamperes()
            assert labels.end < start < end < len(current)
            assert current[start:end].mean() > 2 * np.median(current)
            assert labels.second.startswith("random:")
        else:
            assert labels.open_pore == (-1, -1)
            np.testing.assert_array_equal(two.raw, one.raw)


def test_tails_are_where_the_truth_has_them(small_model: PoreModel, tmp_path: Path) -> None:
    settings = Settings(300, 9, noise=0.0, poly_a=(40, 80), chimeras=0.5)
    reads = list(simulate(GENOME, small_model, settings, reads=10, seed=1))
    with open_truth(tmp_path / "truth.tsv", settings) as append:
        for record, labels in reads:
            start, end = labels.poly_a_span
            inside = record.picoamperes()[start + 40 : end - 40]
            assert 40 <= labels.poly_a <= 80
            assert np.ptp(inside) < 1e-3  # one level
            assert end == labels.starts[0] or start == labels.end
            append(record.read_id, labels)
    head, first = (tmp_path / "truth.tsv").read_text().splitlines()[:2]
    assert head.split("\t")[8:] == [
        "poly_a",
        "poly_a_start",
        "poly_a_end",
        "open_pore_start",
        "open_pore_end",
        "second",
    ]
    assert first.split("\t")[8:11] == [str(reads[0][1].poly_a), *map(str, reads[0][1].poly_a_span)]
    assert [name for name, _ in read_truth(tmp_path / "truth.tsv")] == [record.read_id for record, _ in reads]


@pytest.mark.parametrize(("settings", "message"), [({"chimeras": 1.5}, "--chimeras: found 1.5; allowed is 0 to 1"),
                                                   ({"poly_a": (50, 10)}, "--poly-a: found 50-10")])  # fmt: skip
def test_chimeras_and_tails_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**settings)

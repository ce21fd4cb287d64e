"""Labels from calls, Tombo and tables, and the report on them."""

import array
import io
import math
import uuid
from collections import Counter

import h5py
import numpy as np
import pysam
import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.nanopore.basecall.caller import Caller, Scored
from biorrn.nanopore.basecall.decode import DECODERS
from biorrn.nanopore.labels.prepare import positions
from biorrn.nanopore.labels.sources import (
    CALL_LABELS,
    COLUMNS,
    DEFAULTS,
    LABELS,
    TRUTH_COLUMNS,
    USES,
    Facts,
    LabelOptions,
    Limits,
    ReadReport,
    Sources,
    below,
    labelled_reads,
    labels_by_call,
    make_scorer,
    open_labels,
    open_report,
    read_truth,
)
from biorrn.nanopore.labels.transfer import Carried, place_call, settle
from biorrn.nanopore.readers.calls import parse_bases
from biorrn.nanopore.readers.fast5 import labels as tombo_labels
from biorrn.sequences.alphabets import decode_bases, encode_bases, reverse_complement
from biorrn.sequences.records import ReadCall, ReadLabels, SignalRecord

STRIDE, TRIMMED = 2, 30
LEVELS = np.array([0, 300, 400, 500, 600])


class Made:
    """A genome, reads of it in a FAST5, what was read, and calls of them with some errors, in the order of the signal.

    With `rna`, the signal is that of the bases turned round; the strand is the one along which they then lie.
    """

    def __init__(self, folder, reads=4, bases=900, rna=False):
        rng = np.random.default_rng(5)
        self.genome = rng.integers(1, 5, 6000).astype(np.uint8)
        (folder / "ref.fa").write_text(f">g some words\n{decode_bases(self.genome)}\n")
        self.truth, self.calls, self.spans = {}, {}, {}
        self.fast5, self.reference = folder / "reads.fast5", folder / "ref.fa"
        with h5py.File(self.fast5, "w") as file:
            for number in range(reads):
                name = str(uuid.UUID(int=number + 1))
                start, strand = int(rng.integers(0, 6000 - bases)), "+-"[number % 2]
                span = self.genome[start : start + bases]
                span = span if strand == "+" else reverse_complement(span)
                if rna:
                    span, strand = span[::-1], "-+"[number % 2]
                starts = TRIMMED + np.concatenate([[0], np.cumsum(STRIDE * rng.integers(3, 8, bases))])
                raw = np.concatenate([np.full(TRIMMED, 450), np.repeat(LEVELS[span], np.diff(starts))])
                self.truth[name] = (span, starts)
                self.spans[name] = (start, start + bases, strand)
                # every 23rd base is called wrong, every 31st not at all
                kept = np.flatnonzero(np.arange(bases) % 31 != 30)
                wrong = np.where(kept % 23 == 22, span[kept] % 4 + 1, span[kept])
                self.calls[name] = ReadCall(wrong.astype(np.uint8), starts[:-1][kept], int(starts[-1]), 12.0)
                group = file.create_group(f"read_{name}")
                group["Raw/Signal"] = (raw + rng.integers(-5, 6, len(raw))).astype(np.int16)
                group["Raw"].attrs["read_id"] = name
                values = {"digitisation": 8192.0, "range": 1024.0, "offset": 20.0, "sampling_rate": 4000.0}
                group.create_group("channel_id").attrs.update(values)

    def moves(self, name):
        """Return the move table of a call after `TRIMMED` samples."""
        call = self.calls[name]
        table = np.zeros((call.end - TRIMMED) // STRIDE, np.int8)
        table[(call.starts - TRIMMED) // STRIDE] = 1
        return table

    def bam(self, path, aligned=False, skip=()):
        header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "g", "LN": 6000}]}
        with pysam.AlignmentFile(str(path), "wb", header=header) as file:
            for name, call in self.calls.items():
                if name in skip:
                    continue
                record = pysam.AlignedSegment(file.header)
                start, end, strand = self.spans[name]
                record.query_name = name
                letters = call.bases if strand == "+" or not aligned else reverse_complement(call.bases)
                record.flag = 4 if not aligned else 0 if strand == "+" else 16
                record.query_sequence = decode_bases(letters)
                if aligned:
                    steps = [(0, 30), (2, 1)] * (900 // 31) + [(0, 900 % 31)]
                    record.cigartuples = steps if strand == "+" else steps[::-1]
                    record.reference_id, record.reference_start = 0, start
                    assert record.reference_end == end
                record.set_tag("mv", array.array("b", [STRIDE, *self.moves(name)]))
                record.set_tag("ts", TRIMMED)
                file.write(record)
        return path


class Model:
    """Stands in for a `Caller`: certain of its calls, right and wrong ones, at the frames where they begin."""

    def __init__(self, made):
        self.made, self.scored = made, 0

    def fault(self, record):
        return "no samples" if not len(record.raw) else None

    def score(self, record):
        self.scored += 1
        call = self.made.calls[record.read_id]
        scores = np.full(((len(record.raw) - TRIMMED) // STRIDE, 5), 0.02, np.float32)
        scores[:, 0] = 0.92
        frames = (call.starts - TRIMMED) // STRIDE
        scores[frames, 0], scores[frames, call.bases] = 0.02, 0.92
        return Scored(np.log(scores), TRIMMED, STRIDE, len(record.raw))

    def call(self, scored):
        decoded = DECODERS["greedy"](scored.scores)
        starts = TRIMMED + STRIDE * np.flatnonzero(decoded.moves)
        return ReadCall(parse_bases(decoded.bases), starts, scored.samples, 12.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("made"))


def run(made, kind, **sources):
    report = ReadReport()
    found = {}
    for record, labels in labels_by_call([made.fast5], kind, Sources(**sources), report):
        found[record.read_id] = labels
        report.done(record.read_id, None, len(labels.bases))
    return found, report


def check_reference(made, name, labels, off):
    """Assert that labels are the reference at their place; their starts are the true ones but for `off` samples."""
    start, end, strand = made.spans[name]
    span, starts = made.truth[name]
    assert (labels.reference, labels.strand) == ("g", strand)
    assert start <= labels.ref_start < labels.ref_end <= end
    assert labels.ref_end - labels.ref_start == len(labels.bases) > 850
    index = positions(labels) - start if strand == "+" else end - 1 - positions(labels)
    known = labels.bases > 0
    assert known.mean() > 0.9
    assert np.array_equal(labels.bases[known], span[index][known])
    assert np.abs(labels.starts - starts[:-1][index])[known].max() <= off
    assert (np.diff(labels.starts) > 0).all()


@pytest.mark.parametrize("aligned", [True, False])
def test_bam_with_a_reference(made, tmp_path, aligned):
    """The read's own alignment where it has one, minimap2's otherwise."""
    found, report = run(made, "bam", bam=made.bam(tmp_path / "a.bam", aligned), reference=made.reference)
    assert found.keys() == made.calls.keys()
    for name, labels in found.items():
        check_reference(made, name, labels, 30)
    assert report.summary()["kept"]["median"] == pytest.approx(0.925, abs=0.01)


def test_rna_is_labelled_in_the_order_of_its_signal(tmp_path):
    made = Made(tmp_path, rna=True)
    found, report = run(made, "bootstrap", reference=made.reference, scorer=lambda: Model(made), rna=True)
    assert found.keys() == made.calls.keys()
    for name, labels in found.items():
        check_reference(made, name, labels, 30)
    assert report.summary()["kept"]["median"] == pytest.approx(0.925, abs=0.01)
    # the sequences of a file are written 5' to 3', and its moves, if it has some, are not for them
    calls = tmp_path / "calls.fa"
    calls.write_text("".join(f">{name}\n{decode_bases(call.bases[::-1])}\n" for name, call in made.calls.items()))
    for reference in (made.reference, None):
        placed, _ = run(made, "calls", calls=calls, reference=reference, scorer=lambda: Model(made), rna=True)
        assert placed.keys() == made.calls.keys()
        for name, labels in placed.items():
            if reference is not None:
                check_reference(made, name, labels, 30)
            else:
                own = made.calls[name].bases
                known = labels.bases > 0
                assert known.mean() > 0.9
                assert np.array_equal(labels.bases[known], own[: len(known)][known])


def test_bam_without_a_reference_gives_the_calls(made, tmp_path):
    skip = list(made.calls)[1:2]
    found, report = run(made, "bam", bam=made.bam(tmp_path / "a.bam", skip=skip))
    assert report.counts["reads dropped: no call in the file of calls"] == 1
    assert len(found) == 3
    for name, labels in found.items():
        call = made.calls[name]
        assert labels.bases.tolist() == call.bases.tolist()
        assert labels.starts.tolist() == call.starts.tolist()
        assert (labels.end, labels.reference, labels.strand) == (call.end, "", "")


def test_moves_of_paf_stand_in_for_tags(made, tmp_path):
    lines = []
    for name, call in made.calls.items():
        steps = "".join(f"{step}," for step in np.diff(np.append(call.starts, call.end)))
        count = len(call.bases)
        row = [name, call.end, call.starts[0], call.end, "+", name, count, 0, count, count, count, 255, f"ss:Z:{steps}"]
        lines.append("\t".join(map(str, row)))
    (tmp_path / "m.paf").write_text("\n".join(lines) + "\n")
    fastq = "".join(f"@{name}\n{decode_bases(c.bases)}\n+\n{'5' * len(c.bases)}\n" for name, c in made.calls.items())
    (tmp_path / "c.fq").write_text(fastq)
    found, _ = run(made, "calls", calls=tmp_path / "c.fq", moves=tmp_path / "m.paf")
    for name, labels in found.items():
        assert labels.starts.tolist() == made.calls[name].starts.tolist()
    assert len(found) == 4


def test_bootstrap_puts_the_reference_where_the_truth_has_it(made):
    model = Model(made)
    found, report = run(made, "bootstrap", reference=made.reference, scorer=lambda: model)
    assert len(found) == model.scored == 4
    for name, labels in found.items():
        check_reference(made, name, labels, 40)  # a base that the model missed lies anywhere between its neighbours
    assert not [name for name in report.counts if name.startswith("reads dropped")]


def test_calls_without_moves_are_placed_by_the_model(made, tmp_path):
    names = list(made.calls)
    sequences = {name: made.truth[name][0] for name in names[:2]}
    sequences[names[2]] = np.random.default_rng(0).integers(1, 5, 900)  # another sequence altogether
    (tmp_path / "c.fa").write_text("".join(f">{name}\n{decode_bases(bases)}\n" for name, bases in sequences.items()))
    model = Model(made)
    limits = Limits(identity=0.7, coverage=0.5)
    found, report = run(made, "calls", calls=tmp_path / "c.fa", scorer=lambda: model, limits=limits)
    assert list(found) == names[:2]
    assert model.scored == 3  # the fourth has no call
    dropped = {name: count for name, count in report.counts.items() if name.startswith("reads dropped")}
    assert dropped.pop("reads dropped: no call in the file of calls") == 1
    assert sum(dropped.values()) == 1
    for name, labels in found.items():
        span, starts = made.truth[name]
        first = int(np.argmin(np.abs(starts - labels.starts[0])))
        known = labels.bases > 0
        assert np.array_equal(labels.bases[known], span[first : first + len(labels.bases)][known])
        assert np.abs(labels.starts - starts[first : first + len(labels.bases)])[known].max() <= 40
    assert report.summary()["kept"]["median"] == pytest.approx(0.925, abs=0.01)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(identity=0.99), "identity below 0.99"),
        (Limits(mean_q=13), "mean quality below 13"),
        (Limits(dwell=(20, 60)), "dwell beyond 20 to 60 samples a base"),
    ],
)
def test_limits_drop_reads_and_name_the_reason(made, limits, reason):
    found, report = run(made, "bootstrap", reference=made.reference, scorer=lambda: Model(made), limits=limits)
    assert found == {}
    assert report.counts == {f"reads dropped: {reason}": 4}


def test_reads_of_something_else_map_nowhere(made, tmp_path):
    other = np.random.default_rng(9).integers(1, 5, 5000)
    (tmp_path / "other.fa").write_text(f">x\n{decode_bases(other)}\n")
    found, report = run(made, "bootstrap", reference=tmp_path / "other.fa", scorer=lambda: Model(made))
    assert found == {}
    assert report.counts == {"reads dropped: maps nowhere on the reference": 4}


def test_a_lead_moves_every_start(made, tmp_path):
    bam = made.bam(tmp_path / "a.bam")
    plain, later = (run(made, "bam", bam=bam, lead=lead)[0] for lead in (0, 3))
    for name in plain:
        assert later[name].bases.tolist() == plain[name].bases[:-3].tolist()
        assert later[name].starts.tolist() == plain[name].starts[3:].tolist()


def test_a_call_that_contradicts_itself_is_reported_and_left_out(made, tmp_path):
    header = {"HD": {"VN": "1.6"}}
    with pysam.AlignmentFile(str(tmp_path / "a.bam"), "wb", header=header) as file:
        for number, name in enumerate(made.calls):
            record = pysam.AlignedSegment(file.header)
            record.query_name, record.flag = name, 4
            record.query_sequence = decode_bases(made.calls[name].bases)
            moves = made.moves(name)
            record.set_tag("mv", array.array("b", [STRIDE, *(moves if number else moves[:-200])]))
            record.set_tag("ts", TRIMMED)
            file.write(record)
    problems, report = [], ReadReport()
    sources = Sources(bam=tmp_path / "a.bam")
    found = list(labels_by_call([made.fast5], "bam", sources, report, problems.append))
    assert len(found) == 3
    assert len(problems) == 1
    assert report.counts["reads dropped: call cannot be used"] == 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bam", "--labels bam: needs the file of calls; name it with --bam"),
    ],
)
def test_files_that_labels_need(made, kind, message):
    with pytest.raises(ConfigError, match=message):
        run(made, kind, scorer=lambda: Model(made))


def test_no_model_and_no_moves_is_one_line(made, tmp_path):
    name = next(iter(made.calls))
    (tmp_path / "c.fa").write_text(f">{name}\nACGT\n")
    with pytest.raises(ConfigError, match="needs a model to place the bases"):
        run(made, "calls", calls=tmp_path / "c.fa")


def test_calls_within_other_formats_do_not_exist(tmp_path):
    (tmp_path / "a.blow5").write_bytes(b"")
    with pytest.raises(InputError, match="holds no calls; --labels calls needs FAST5"):
        list(labels_by_call([tmp_path / "a.blow5"], "calls", Sources(), ReadReport()))


def test_every_kind_of_labels_has_its_options():
    assert set(CALL_LABELS) == set(DEFAULTS) < set(USES)
    assert {name for names in USES.values() for name in names} == set(LabelOptions.__slots__)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ("bsm", {}, "did you mean 'bam'"),
        ("events", {"bam": "x.bam"}, "--bam: is for --labels bam; found --labels events"),
        ("bam", {"threads": 2}, "--threads: is for --labels calls or bootstrap; found --labels bam"),
        ("bootstrap", {}, "--labels bootstrap: needs the sequenced genome as --reference; without one, assemble"),
        ("truth", {"min_identity": 0.9}, "--min-identity: is for --labels bam or calls or bootstrap"),
    ],
)
def test_options_of_other_labels_are_refused(labels, options, message):
    with pytest.raises(ConfigError, match=message):
        open_labels([], labels, LabelOptions(**options), ReadReport())


def test_labels_of_files_need_nothing_here():
    assert open_labels([], "events", LabelOptions(), ReadReport()) is None


def test_a_call_of_another_sequence_is_not_placed():
    rng = np.random.default_rng(0)
    own = ReadCall(rng.integers(1, 5, 300).astype(np.uint8), np.arange(300) * 10, 3000)
    scored = Scored(np.zeros((600, 5), np.float32), 0, 5, 3000)
    given = ReadCall(rng.integers(1, 5, 300).astype(np.uint8))
    assert place_call(own, given, scored) is None
    assert place_call(own, ReadCall(encode_bases("")), scored) is None


@pytest.mark.parametrize("state_len", [0, 1, 3])
def test_settling_puts_starts_where_the_model_is_sure(state_len):
    """CTC and CRF alike; a masked base parts two stretches, each of which keeps its span."""
    rng = np.random.default_rng(state_len)
    bases = rng.integers(1, 5, 120).astype(np.uint8)
    frames = np.cumsum(rng.integers(2, 6, 120))
    count = int(frames[-1]) + 4
    states = 4**state_len
    scores = np.full((count, 5 * states), -6.0, np.float32)
    scores[:, :states] = 0.0  # staying, or the blank
    codes = bases.astype(int) - 1
    for i in range(state_len, 120):
        state = int("".join(map(str, codes[i - state_len + 1 : i + 1])) or "0", 4)
        column = bases[i] if not state_len else (1 + codes[i - state_len]) * states + state
        scores[frames[i]] = -6.0
        scores[frames[i], column] = 4.0
    if not state_len:
        scores[frames[:1], 0] = -6.0
    truth = TRIMMED + STRIDE * frames
    rough = np.maximum.accumulate(truth + STRIDE * rng.integers(-1, 2, 120))
    rough[[0, 60, 61]] = truth[[0, 60, 61]]
    letters = bases.copy()
    letters[60] = 0
    labels = ReadLabels(letters, rough, TRIMMED + STRIDE * count)
    settled = settle(Carried(labels, 1.0, 1.0, 1), Scored(scores, TRIMMED, STRIDE, 10_000)).labels
    sure = np.r_[state_len:60, 61 + state_len : 120]
    assert (rough[sure] != truth[sure]).any()
    assert settled.starts[sure].tolist() == truth[sure].tolist()
    assert settled.bases.tolist() == letters.tolist()
    assert (np.diff(settled.starts) > 0).all()


EARLY = 3  # frames, of the shipped models


@pytest.fixture(scope="module", params=["fast", "hac"])
def scorer(request):
    return make_scorer(f"dna_r9.4.1_{request.param}", 1)


def record_of(samples, rate=4000.0):
    raw = np.random.default_rng(0).integers(300, 600, samples).astype(np.int16)
    return SignalRecord("r", raw, 10.0, 0.2, rate)


@pytest.mark.parametrize("samples", [1, 10, 3000, 9000])
def test_the_scorer_covers_the_read(scorer, samples):
    scored = scorer.score(record_of(samples))
    assert scored.samples == samples
    trimmed = scored.trimmed - EARLY * scored.stride
    assert len(scored.scores) == -(-(samples - trimmed) // scored.stride)
    call = scorer.call(scored)
    assert len(call.bases) == len(call.starts)
    assert not len(call.starts) or scored.trimmed <= call.starts[0] < call.starts[-1] + 1 <= call.end <= samples


def test_the_scorer_refuses_what_it_cannot_score(scorer):
    assert scorer.fault(record_of(0)) == "no samples"
    assert "needs 4000 Hz" in scorer.fault(record_of(10, 5000.0))
    assert scorer.fault(record_of(10)) is None
    from biorrn.nn.store import load_model

    with pytest.raises(ConfigError, match="is a model for regression"):
        Caller(load_model("stability"))


@pytest.mark.parametrize("kind", ["bootstrap", "calls"])
def test_real_reads_get_the_labels_that_tombo_gave_them(shared_data, scorer, kind):
    """Two lambda reads, by our own call and by Guppy's: the reference bases, and their starts within a few samples."""
    folder = shared_data / "nanopore" / "lambda_r941"
    paths = sorted((folder / "fast5").glob("*.fast5"))[1:2]
    sources = Sources(reference=folder / "reference.fasta", scorer=lambda: scorer)
    ((record, labels),) = labels_by_call(paths, kind, sources, ReadReport())
    with h5py.File(paths[0], "r") as file:
        truth = tombo_labels(file, len(record.raw))
    assert (labels.reference, labels.strand) == (truth.reference, truth.strand)
    place = dict(zip(positions(truth).tolist(), range(len(truth.bases)), strict=True))
    pairs = [(i, place[p]) for i, p in enumerate(positions(labels).tolist()) if p in place and labels.bases[i]]
    ours, theirs = np.array(pairs).T
    assert len(ours) > 0.9 * len(truth.bases)
    assert np.array_equal(labels.bases[ours], truth.bases[theirs])
    off = labels.starts[ours] - truth.starts[theirs]
    assert abs(np.median(off)) <= 10
    assert np.quantile(np.abs(off - np.median(off)), 0.9) <= 25


def test_guppys_moves_explain_the_current(shared_data):
    """The mean current of each base goes with the level of its 6-mer in the public model, three bases earlier."""
    folder = shared_data / "nanopore" / "human_r941"
    lines = (shared_data / "nanopore" / "kmer_models" / "r9.4_450bps_6mer.tsv").read_text().splitlines()
    rows = [line.split() for line in lines if line[:1] in "ACGT"]
    levels = {row[0]: float(row[1]) for row in rows if len(row[0]) == 6}
    sources = Sources(bam=folder / "guppy_sup.bam", moves=folder / "guppy_sup.moves.paf", lead=3)
    found = []
    for record, labels in labels_by_call([folder / "reads.blow5"], "bam", sources, ReadReport()):
        text, current = decode_bases(labels.bases), record.picoamperes()
        edges = np.append(labels.starts, labels.end)
        pairs = [
            (current[edges[i + 2] : edges[i + 3]].mean(), levels[text[i : i + 6]])
            for i in range(len(text) - 6)
            if text[i : i + 6] in levels
        ]
        found.append(np.corrcoef(np.array(pairs).T)[0, 1])
        if len(found) == 6:
            break
    assert np.median(found) > 0.75


STRICT = Limits(identity=0.9, coverage=0.8, mean_q=10, dwell=(3, 60))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(0.95, 0.9, 12, 10), None),
        (Facts(), None),  # what is not known is not held against a read
        (Facts(identity=0.89), "identity below 0.9"),
        (Facts(coverage=0.79), "coverage below 0.8"),
        (Facts(mean_q=9.9), "mean quality below 10"),
        (Facts(dwell=2.9), "dwell beyond 3 to 60 samples a base"),
        (Facts(dwell=61), "dwell beyond 3 to 60 samples a base"),
    ],
)
def test_limits(facts, reason):
    assert below(facts, STRICT) == reason


def test_each_read_is_a_row_and_a_count():
    stream = io.StringIO()
    report = ReadReport(stream=stream)
    report.drop("r1", "identity below 0.9", Facts(identity=0.5, coverage=1.0))
    report.keep("r2", Facts(0.95, 0.9, 12.5, 10, "chr1"))
    report.done("r2", None, 321)
    report.keep("r3", Facts(identity=0.91))
    report.done("r3", "reads dropped: no usable segment", 0)
    report.done("r4", None, 50)  # labels that came with the read: nothing is known of an alignment
    rows = [line.split("\t") for line in stream.getvalue().splitlines()]
    assert rows[0] == list(COLUMNS)
    assert rows[1:] == [
        ["r1", "dropped", "identity below 0.9", "0.5000", "1.0000", ".", "0", "."],
        ["r2", "kept", ".", "0.9500", "0.9000", "12.5000", "321", "chr1"],
        ["r3", "dropped", "no usable segment", "0.9100", ".", ".", "0", "."],
        ["r4", "kept", ".", ".", ".", ".", "50", "."],
    ]
    assert report.counts == {"reads dropped: identity below 0.9": 1}
    summary = report.summary()
    assert summary["kept"]["reads"] == 1
    assert summary["kept"]["median"] == pytest.approx(0.95)
    assert summary["dropped"]["reads"] == 2
    assert ReadReport().summary() == {}


def test_a_table_appears_whole_or_not_at_all(tmp_path):
    with open_report(tmp_path / "r.tsv") as report:
        report.done("r1", None, 1)
        assert not (tmp_path / "r.tsv").exists()
    assert len((tmp_path / "r.tsv").read_text().splitlines()) == 2
    with pytest.raises(ValueError, match="stop"), open_report(tmp_path / "s.tsv"):
        raise ValueError("stop")
    assert not (tmp_path / "s.tsv").exists()
    with open_report(None) as report:
        report.drop("r1", "no reason", Facts(identity=math.nan))
    assert report.counts.total() == 1


IDS = [str(uuid.UUID(int=i)) for i in range(1, 5)]
HEADER = "\t".join(TRUTH_COLUMNS)


def write_fast5(path, read_ids, samples=60):
    """Write a minimal multi-read FAST5."""
    with h5py.File(path, "w") as file:
        file.attrs["file_version"] = "2.0"
        for number, read_id in enumerate(read_ids):
            group = file.create_group(f"read_{read_id}")
            channel = group.create_group("channel_id")
            for name, value in {
                "offset": 10.0,
                "range": 1400.0,
                "digitisation": 8192.0,
                "sampling_rate": 4000.0,
            }.items():
                channel.attrs[name] = value
            channel.attrs["channel_number"] = "1"
            group.create_group("tracking_id").attrs["run_id"] = "run"
            raw = group.create_group("Raw")
            raw.attrs["read_id"] = read_id
            raw.attrs["read_number"] = number
            raw.attrs["start_time"] = np.uint64(0)
            raw["Signal"] = np.arange(samples, dtype=np.int16) + number
    return path


def line(read_id, bases="ACGT", starts="5,15,25,35", end="45", place=("chr1", "7", "11", "+")):
    name, start, stop, strand = place
    return "\t".join([read_id, name, start, stop, strand, bases, starts, end])


def table(folder, *rows, header=HEADER):
    path = folder / "truth.tsv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def reads(tmp_path):
    return write_fast5(tmp_path / "reads.fast5", IDS[:3])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_rows_are_joined_with_reads_in_any_order(tmp_path, reads, order):
    truth, counts = table(tmp_path, *[line(IDS[i], end=str(41 + i)) for i in order]), Counter()
    pairs = list(labelled_reads([reads], "truth", truth, counts))
    assert [record.read_id for record, _ in pairs] == IDS[:3]
    assert [labels.end for _, labels in pairs] == [41, 42, 43]
    assert not +counts


def test_a_row_is_read_as_it_is_written(tmp_path):
    [(read_id, labels)] = read_truth(table(tmp_path, line(IDS[0], place=("chr1", "7", "11", "-"))))
    assert read_id == IDS[0]
    assert labels.bases.tolist() == [1, 2, 3, 4]
    assert labels.starts.tolist() == [5, 15, 25, 35]
    assert (labels.end, labels.reference, labels.ref_start, labels.ref_end, labels.strand) == (45, "chr1", 7, 11, "-")


def test_a_row_of_any_length_can_be_read(tmp_path):
    """Longer than the 131,072 characters that Python's csv module allows a cell."""
    bases = "ACGT" * 50_000
    starts = ",".join(str(5 * i) for i in range(len(bases)))
    [(_, labels)] = read_truth(table(tmp_path, line(IDS[0], bases, starts)))
    assert len(labels.starts) == 200_000


def test_reads_and_rows_without_a_partner_are_counted(tmp_path, reads):
    counts = Counter()
    pairs = list(labelled_reads([reads], "truth", table(tmp_path, line(IDS[3]), line(IDS[1])), counts))
    assert [record.read_id for record, _ in pairs] == [IDS[1]]
    assert counts == {"reads dropped: no row in the truth table": 2, "truth rows without a read": 1}


def test_a_read_that_comes_twice_is_used_once(tmp_path, reads):
    write_fast5(tmp_path / "again.fast5", IDS[:1])
    counts = Counter()
    truth = table(tmp_path, *[line(read_id) for read_id in IDS[:3]])
    assert len(list(labelled_reads([tmp_path], "truth", truth, counts))) == 3
    assert counts["reads dropped: read id came before"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([line(IDS[0], bases="ACG")], "found 3 bases and 4 starts"),
        ([line(IDS[0], bases="ACGZ")], "base 'Z' at position 4"),
        ([line(IDS[0], starts="5,15,x,35")], "invalid literal"),
        ([line(IDS[0], end="")], "invalid literal"),
        ([line(IDS[0], place=("chr1", "7", "11", "?"))], r"column 'strand': found '\?'; allowed is \+ or -"),
        (["a\tb"], "row 1 has 2 cells; the header names 8 columns"),
    ],
)
def test_a_bad_row_is_named(tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as error:
        list(read_truth(table(tmp_path, *rows)))
    assert "truth.tsv: " in str(error.value)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(InputError, match="column 'bases' is missing; found read_id"):
        list(read_truth(table(tmp_path, header=HEADER.replace("bases", "base"))))


def test_a_read_given_twice_in_the_table(tmp_path, reads):
    truth = table(tmp_path, line(IDS[1]), line(IDS[1]), line(IDS[0]))
    with pytest.raises(InputError, match=f"record '{IDS[1]}': the read is given twice"):
        list(labelled_reads([reads], "truth", truth, Counter()))


def test_choices_that_do_not_fit(tmp_path, reads):
    with pytest.raises(ConfigError, match="--labels 'event' is unknown; did you mean 'events'"):
        labelled_reads([reads], "event", None, Counter())
    with pytest.raises(ConfigError, match="needs the table of labels; name it with --truth"):
        labelled_reads([reads], "truth", None, Counter())
    with pytest.raises(ConfigError, match="is for --labels truth"):
        labelled_reads([reads], "events", tmp_path / "t.tsv", Counter())


@pytest.mark.parametrize("labels", LABELS)
def test_a_damaged_file_among_good_ones_is_reported(tmp_path, shared_data, labels):
    good = sorted((shared_data / "nanopore" / "lambda_r941" / "fast5").iterdir())[:2]
    bad = tmp_path / "bad.fast5"
    bad.write_bytes(b"no")
    truth, problems = None, []
    if labels == "truth":
        ids = [record.read_id for record, _ in labelled_reads(good, "events", None, Counter())]
        truth = table(tmp_path, *[line(read_id) for read_id in ids])
    pairs = list(labelled_reads([good[0], bad, good[1]], labels, truth, Counter(), problems.append))
    assert len(pairs) == 2
    assert [problem.source for problem in problems] == [str(bad)]


def test_events_agree_with_their_reference(shared_data):
    """Tombo's bases are those of the reference, on both strands, at the places that the labels name."""
    from Bio import SeqIO

    from biorrn.nanopore.labels.prepare import positions
    from biorrn.sequences.alphabets import encode_bases, reverse_complement

    folder = shared_data / "nanopore" / "lambda_r941"
    reference = encode_bases(str(next(SeqIO.parse(next(folder.glob("*.fasta")), "fasta")).seq))
    strands = set()
    for _, labels in labelled_reads(sorted((folder / "fast5").iterdir())[:6], "events", None, Counter()):
        there = reference[positions(labels)]
        wanted = there if labels.strand == "+" else reverse_complement(there)[::-1]
        assert np.array_equal(labels.bases, wanted)
        strands.add(labels.strand)
    assert strands == {"+", "-"}


def test_nothing_usable_is_an_error(tmp_path, reads):
    with pytest.raises(BiorrnError):
        list(labelled_reads([reads], "events", None, Counter()))

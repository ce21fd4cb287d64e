"""Calls do not depend on company, order or batch size, come in input order, and memory does not grow with the reads."""

import dataclasses
import math
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import Chunks, parse_recipe
from biorrn.kernels.lstm.layers import KINDS, kinds
from biorrn.nanopore.basecall import caller as module
from biorrn.nanopore.basecall import chunking as pieces
from biorrn.nanopore.basecall.caller import Call, Caller, basecall
from biorrn.nanopore.basecall.decode import DECODERS, Decoded, move_table
from biorrn.nanopore.basecall.engine import ENGINES, TOLERANCE
from biorrn.nanopore.basecall.formats import fastq_text
from biorrn.nanopore.labels.transfer import align_to, columns
from biorrn.nanopore.readers.calls import parse_bases
from biorrn.nanopore.signal import medmad_scaling, normalise, trim_start
from biorrn.nanopore.simulate.pore_model import load_pore_model
from biorrn.nanopore.simulate.reads import Settings, simulate
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, Weights, load_model, short_names
from biorrn.sequences.alphabets import decode_bases
from biorrn.sequences.records import ReadCall, SignalRecord

CUT = Chunks(samples=200, overlap=100)  # short: some reads have many chunks


@pytest.fixture(scope="module")
def stored() -> Stored:
    """An untrained caller whose scores are spread enough that it calls bases."""
    torch.manual_seed(3)
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "basecalling",
            "model": {
                "frontend": {
                    "name": "conv",
                    "layers": [{"width": 4, "kernel": 5}, {"width": 16, "kernel": 9, "stride": 5}],
                },
                "core": {"cell": "lstm", "hidden": 16, "layers": 2, "direction": "alternating"},
                "head": {"name": "ctc"},
            },
            "chunks": CUT.model_dump(),
        }
    )
    model = build_model(recipe.model, 5).eval()
    with torch.no_grad():
        model.head.output[-1].weight.mul_(30)
    facts = {"task": "basecalling", "normaliser": "medmad", "sample_rate": 4000.0, "stride": 5}
    return Stored.of(model, recipe, facts, Path("tiny"))


def read(name: str, samples: int, seed: int = 0, **changes: object) -> SignalRecord:
    rng = np.random.default_rng(seed + samples)
    raw = (np.repeat(rng.normal(500, 90, samples // 10 + 1), 10)[:samples] + rng.normal(0, 15, samples)).astype(
        np.int16
    )
    return dataclasses.replace(SignalRecord(name, raw, 10.0, 0.18, 4000.0, channel=7), **changes)


def reads(count: int, longest: int = 2000) -> list[SignalRecord]:
    lengths = np.random.default_rng(1).integers(1, longest, count)
    return [read(f"r{i}", int(n), seed=i) for i, n in enumerate(lengths)]


def texts(calls: Iterator[Call]) -> dict[str, str]:
    return {call.read_id: fastq_text(call) for call in calls}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_text_for_any_batch_size_order_and_number_of_threads(
    stored: Stored, decoder: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "FRAMES", 200)  # the longer reads are decoded in pieces
    monkeypatch.setattr(pieces, "SHARED", 40)
    if engine in KINDS.values() and engine not in [KINDS[kind] for kind in kinds()]:
        pytest.skip(f"this processor has no kernels for {engine}")
    for kind in TOLERANCE:  # an untrained network is further from float32 than a trained one
        monkeypatch.setitem(TOLERANCE, kind, 1.0)
    records = reads(40)
    one = texts(basecall(stored, records, batch_size=1, decoder=decoder, engine=engine))
    assert len(one) > 30
    assert list(one) == [record.read_id for record in records if record.read_id in one]
    for batch_size in (7, 64):
        again = basecall(stored, records, batch_size=batch_size, decoder=decoder, engine=engine, threads=2)
        assert texts(again) == one
    shuffled = [records[i] for i in np.random.default_rng(2).permutation(len(records))]
    turned = texts(basecall(stored, shuffled, batch_size=64, decoder=decoder, engine=engine))
    assert list(turned) == [record.read_id for record in shuffled if record.read_id in one]
    assert turned == one


def test_scores_of_many_states_are_gathered_in_smaller_batches(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Caller(stored, engine="float32")
    assert made._pipeline(made._decode).batch_size == 96
    monkeypatch.setattr(module, "SCORES", 4 * 5 * 60 * 30)  # of 30 chunks of 300 samples
    assert made._pipeline(made._decode).batch_size == 30
    monkeypatch.setattr(module, "SCORES", 1)
    assert made._pipeline(made._decode).batch_size == module.FEWEST


def test_a_read_in_one_chunk_is_called_as_by_the_bare_model(stored: Stored) -> None:
    record = read("r", 1003)
    [call] = basecall(stored, [record], decoder="greedy", chunks=Chunks(samples=1200, overlap=100), engine="torch")
    signal = normalise(record.picoamperes()[call.trimmed :])
    with torch.no_grad():
        scores = stored.model(torch.from_numpy(signal)[None, :, None], torch.tensor([len(signal)]))[0][0]
    direct, trimmed = move_table(DECODERS["greedy"](scores.numpy()), 1003, call.trimmed, 5)
    assert call.bases == direct.bases
    np.testing.assert_array_equal(call.quals, direct.quals)
    np.testing.assert_array_equal(call.moves, direct.moves)
    assert call.trimmed == trim_start(record.picoamperes(), 4000.0) == trimmed
    assert call.scaling == medmad_scaling(record.picoamperes()[trimmed:])


def test_chunked_equals_unchunked_where_the_model_sees_no_further_than_the_overlap(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the recurrent core taken out, context is a few samples, and every cut must vanish."""
    local = build_model(stored.recipe.model, 5).eval()
    local.load_state_dict(stored.model.state_dict())
    monkeypatch.setattr(local, "core", torch.nn.Identity())
    local.core.forward = lambda x, lengths: (x, lengths)
    bare = dataclasses.replace(stored, weights=Weights.of(local))
    records = reads(25)
    cut = texts(basecall(bare, records, batch_size=8, engine="torch"))
    whole = texts(basecall(bare, records, batch_size=8, engine="torch", chunks=Chunks(samples=4000, overlap=0)))
    assert len(cut) > 15
    assert cut == whole


def test_metadata_goes_with_the_call(stored: Stored) -> None:
    record = read("r", 900, read_number=4, start_time=123)
    [call] = basecall(stored, [record])
    assert (call.samples, call.stride, call.record.channel, call.record.read_number) == (900, 5, 7, 4)
    assert len(call.record.raw) == 0
    assert len(call.quals) == len(call.bases) == call.moves.sum()
    assert len(call.moves) == (900 - call.trimmed) // 5


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (read("bad", 0), "no samples"),
        (read("bad", 500, scale=math.nan), "calibration is not usable"),
        (read("bad", 500, offset=math.inf), "calibration is not usable"),
        (read("bad", 500, scale=0.0), "calibration is not usable"),
        (read("bad", 500, sample_rate=5000.0), "sample rate 5000 Hz where the model needs 4000 Hz"),
        (read("bad", 500, sample_rate=math.nan), "sample rate nan Hz where the model needs 4000 Hz"),
    ],
)
def test_a_read_that_cannot_be_called_is_skipped_by_name(stored: Stored, record: SignalRecord, reason: str) -> None:
    skips: list[tuple[str, int, str]] = []
    samples: list[int] = []
    calls = basecall(
        stored,
        [read("a", 700), record, read("b", 600)],
        on_skip=lambda record, *rest: skips.append((record.read_id, *rest)),
        advance=samples.append,
    )
    assert [call.read_id for call in calls] == ["a", "b"]
    assert skips == [("bad", len(record.raw), reason)]
    assert sum(samples) == 1300 + len(record.raw)


@pytest.mark.parametrize("samples", [1, 4, 5, 10, CUT.samples - 1, CUT.samples, CUT.samples + 1, 300, 301, 305])
@pytest.mark.parametrize("level", [None, 0, 32767])
def test_every_length_and_a_constant_signal_give_a_call_or_a_skip(
    stored: Stored, samples: int, level: int | None
) -> None:
    record = read("r", samples)
    if level is not None:
        record = dataclasses.replace(record, raw=np.full(samples, level, np.int16))
    skips: list[tuple[str, int, str]] = []
    calls = list(basecall(stored, [record], on_skip=lambda record, *rest: skips.append((record.read_id, *rest))))
    assert len(calls) + len(skips) == 1
    assert all(skip == ("r", samples, "no bases in the signal") for skip in skips)
    assert all(set(call.bases) <= set("ACGT") for call in calls)


def test_a_read_of_five_million_samples_is_decoded_in_pieces(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is left out: what counts is that chunks stream, pieces are few at a time and the frames add up."""
    held: list[int] = []

    class Frames(torch.nn.Module):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.cat([x[:, ::5]] * 5, dim=2), lengths

    def every_third(scores: np.ndarray, calibration: object = None) -> Decoded:
        """A base at each frame whose place in the whole read, which its score tells, is a multiple of three."""
        held.append(len(scores))
        frames = (scores[:, 0] / 5).astype(np.int64)
        moves = (frames % 3 == 0).astype(np.uint8)
        letters = "".join("ACGT"[frame // 3 % 4] for frame in frames[moves > 0])
        return Decoded(letters, (frames[moves > 0] % 41).astype(np.uint8), moves)

    monkeypatch.setitem(module.DECODERS, "check", every_third)
    monkeypatch.setattr(module, "trim_start", lambda current, rate: 0)
    monkeypatch.setattr(module, "scaled", lambda current, scaling: current)
    record = SignalRecord("long", np.zeros(5_000_003, np.int16), 0.0, 1.0, 4000.0)
    monkeypatch.setattr(SignalRecord, "picoamperes", lambda self: np.arange(5_000_003, dtype=np.float32))
    big = dataclasses.replace(stored, weights=Weights.of(Frames().eval()))
    [call] = basecall(big, [record], decoder="check", engine="torch", chunks=Chunks(samples=8000, overlap=300))
    assert len(held) > 49
    assert max(held) <= pieces.FRAMES
    np.testing.assert_array_equal(call.moves, np.arange(1_000_000) % 3 == 0)
    assert call.bases == ("ACGT" * 83_334)[: len(call.bases)]
    np.testing.assert_array_equal(call.quals, np.arange(0, 1_000_001, 3) % 41)


@pytest.mark.parametrize("seconds", [0.0, 0.005])
def test_reads_are_pulled_only_when_they_are_needed(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """With a decoder slower than the model, too."""
    taken, finished = 0, 0
    ahead: list[int] = []

    def count() -> Iterator[SignalRecord]:
        nonlocal taken
        for number in range(200):
            taken += 1
            ahead.append(taken - finished)
            yield read(f"r{number}", 450, seed=number)

    def finish(samples: int) -> None:
        nonlocal finished
        finished += 1

    def slow(scores: np.ndarray, calibration: object = None) -> Decoded:
        time.sleep(seconds)
        return DECODERS["greedy"](scores)

    monkeypatch.setitem(module.DECODERS, "slow", slow)
    batch_size, threads = 8, 2
    for _ in basecall(stored, count(), batch_size=batch_size, threads=threads, decoder="slow", advance=finish):
        pass
    assert finished == 200
    # several chunks a read here: the reads of the batch gathered, of the blocks under way, being decoded, and in hand
    assert max(ahead) <= batch_size + (threads + 1) * batch_size // 2 + 4 * threads + 1


def test_memory_does_not_grow_with_the_reads(stored: Stored) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        calls = basecall(stored, (read(f"r{i}", 4000, seed=i) for i in range(count)), batch_size=8)
        assert sum(1 for _ in calls) > 0.9 * count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is made once
    assert peak(60) < 1.3 * peak(15)


def test_stopping_early_ends_the_decoding_threads(stored: Stored) -> None:
    before = threading.active_count()
    calls = basecall(stored, reads(30), batch_size=8, threads=3)
    next(calls)
    calls.close()
    assert threading.active_count() == before


def test_a_fault_in_decoding_comes_out(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(scores: np.ndarray, calibration: object = None) -> Decoded:
        raise BiorrnError("the model's scores hold NaN")

    monkeypatch.setitem(module.DECODERS, "fail", fail)
    with pytest.raises(BiorrnError, match="hold NaN"):
        list(basecall(stored, reads(5), decoder="fail"))


def test_no_reads(stored: Stored) -> None:
    assert list(basecall(stored, [])) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, r"--batch-size: found 0; allowed is 1 or more"),
        ({"threads": 0}, r"--threads: found 0; allowed is 1 or more"),
        ({"decoder": "greddy"}, r"decoder 'greddy' is unknown; did you mean 'greedy'\?"),
        ({"chunks": Chunks(samples=201, overlap=100)}, r"chunks.samples: found 201"),
        ({"chunks": Chunks(samples=200, overlap=105)}, r"chunks.overlap: found 105"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_read(
    stored: Stored, changes: dict, message: str
) -> None:
    with pytest.raises(BiorrnError, match=message):
        basecall(stored, reads(1), **changes)


def test_a_regression_model_is_refused(stored: Stored) -> None:
    wrong = dataclasses.replace(stored, facts={"task": "regression"}, path=Path("runs/stability"))
    with pytest.raises(ConfigError, match=r"runs/stability: is a model for regression; .*biorrn predict"):
        basecall(wrong, [])


@pytest.mark.parametrize("engine", ["torch", "float32"])
def test_the_scorer_of_labels_calls_what_is_called(
    stored: Stored, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one way from a read to its call: labels and squiggles are of the bases that `biorrn basecall` writes."""
    monkeypatch.setattr(pieces, "FRAMES", 300)
    monkeypatch.setattr(pieces, "SHARED", 40)
    monkeypatch.setenv("BIORRN_ENGINE", engine)
    records = [read(f"r{size}", size) for size in (150, 900, 5003)]
    scorer = Caller(stored, threads=2)
    for record, call in zip(records, basecall(stored, records, threads=2), strict=True):
        own = scorer.call(scorer.score(record))
        assert decode_bases(own.bases) == call.bases
        assert own.starts is not None
        assert len(own.starts) == len(call.bases)


@pytest.mark.parametrize("name", short_names().values())
def test_moves_stand_where_the_bases_begin(name: str) -> None:
    """On simulated reads, whose truth is known, the starts of a shipped caller's bases are not off as a whole."""
    stored = load_model(name)
    assert stored.facts["early"] > 0
    genome = {"random": np.random.default_rng(5).integers(1, 5, 4000).astype(np.uint8)}
    settings = Settings(length_mean=1500.0, noise=0.5)
    off = []
    for record, truth in simulate(genome, load_pore_model("dna_r9.4.1_6mer"), settings, reads=3, seed=1):
        (call,) = basecall(stored, [record])
        starts = call.trimmed + call.stride * np.flatnonzero(call.moves)
        hit = align_to(ReadCall(parse_bases(call.bases)), truth.bases)
        assert hit is not None
        places, own, _ = columns(hit)
        places = places + hit.ref_start
        same = truth.bases[places] == parse_bases(call.bases)[own]
        off.append(starts[own[same]] - truth.starts[places[same]])
    assert len(np.concatenate(off)) > 1000
    assert abs(np.median(np.concatenate(off))) <= stored.facts["stride"]


def test_rna_is_turned_round_and_its_moves_stay(stored: Stored) -> None:
    """The signal of RNA runs 3' to 5'."""
    rna = dataclasses.replace(stored, facts=stored.facts | {"reversed": True})
    for forward, back in zip(basecall(stored, reads(5)), basecall(rna, reads(5)), strict=True):
        assert back.bases == forward.bases[::-1]
        assert back.quals.tolist() == forward.quals[::-1].tolist()
        assert back.moves.tolist() == forward.moves.tolist()
        assert back.trimmed == forward.trimmed
        assert back.evidence is not None
        assert forward.evidence is not None
        assert (back.evidence == forward.evidence[::-1]).all()


def test_chunks_of_the_maker_count() -> None:
    assert module.calling_chunks(Chunks(samples=2400), 6, {"samples": 12000, "overlap": 600}).samples == 12000
    assert module.calling_chunks(Chunks(samples=2400), 6, {}).samples == 3600

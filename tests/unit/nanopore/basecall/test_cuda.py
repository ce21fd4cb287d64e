"""The engine on CUDA calls what the CPU calls. Without a GPU its code runs on the CPU, with the reference decoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import parse_recipe
from biorrn.nanopore.basecall import chunking as pieces
from biorrn.nanopore.basecall.caller import Call, Caller
from biorrn.nanopore.basecall.cuda import CudaEngine
from biorrn.nanopore.basecall.decode import DECODERS, NOT_FINITE, greedy
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored
from biorrn.sequences.records import SignalRecord

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def stored(**head: object) -> Stored:
    """An untrained caller whose scores are spread enough that it calls bases."""
    torch.manual_seed(3)
    layers = [{"width": 4, "kernel": 5}, {"width": 16, "kernel": 9, "stride": 5}]
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "basecalling",
            "model": {
                "frontend": {"name": "conv", "layers": layers},
                "core": {"cell": "lstm", "hidden": 16, "layers": 2, "direction": "alternating"},
                "head": head,
            },
            "chunks": {"samples": 200, "overlap": 100},
        }
    )
    model = build_model(recipe.model, 5).eval()
    with torch.no_grad():
        model.head.output[-1].weight.mul_(30)
    facts = {"task": "basecalling", "normaliser": "medmad", "sample_rate": 4000.0, "stride": 5}
    return Stored.of(model, recipe, facts, Path("tiny"))


CRF = {"name": "crf", "state_len": 2}


def reads(count: int = 12, longest: int = 1500) -> list[SignalRecord]:
    rng = np.random.default_rng(1)
    found = []
    for number, samples in enumerate(rng.integers(1, longest, count).tolist()):
        levels = np.repeat(rng.normal(500, 90, samples // 10 + 1), 10)[:samples]
        found.append(
            SignalRecord(f"r{number}", (levels + rng.normal(0, 15, samples)).astype(np.int16), 10.0, 0.18, 4000.0)
        )
    return found


def caller_on_device(net: Stored, batch_size: int = 64, **options: Any) -> tuple[Caller, CudaEngine]:
    """Return a caller and its engine, which is the one on CUDA."""
    made = Caller(net, batch_size=batch_size, engine="torch", **options)
    engine = made._engine = CudaEngine(net.model, DEVICE, batch_size, made._cut.samples)
    return made, engine


def compare(found: Sequence[Call], expected: Sequence[Call]) -> None:
    """Half precision may change a base; float32 none."""
    assert [call.read_id for call in found] == [call.read_id for call in expected]
    assert len(found) > 8
    if DEVICE == "cuda":
        same = sum(a.bases == b.bases for a, b in zip(found, expected, strict=True))
        assert same > len(found) / 2
        return
    for a, b in zip(found, expected, strict=True):
        assert a.bases == b.bases
        np.testing.assert_array_equal(a.moves, b.moves)
        assert a.trimmed == b.trimmed
        assert a.evidence is not None
        assert b.evidence is not None
        np.testing.assert_allclose(a.evidence, b.evidence, rtol=0, atol=1e-4)


HEADS = [CRF, {"name": "crf", "state_len": 1, "blank": None, "scale": 3.0}, {"name": "ctc"}]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("head", HEADS)
def test_calls_are_those_of_the_cpu(head: dict[str, object], decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "FRAMES", 150)  # the longer reads are decoded in pieces
    monkeypatch.setattr(pieces, "SHARED", 40)
    net = stored(**head)
    caller, _ = caller_on_device(net, 7, threads=2, decoder=decoder)
    compare(list(caller.calls(reads())), list(Caller(net, decoder=decoder, engine="torch").calls(reads())))


@pytest.mark.parametrize(
    ("head", "decoder", "way"),
    [
        *((CRF, name, "_fetch" if name == "beam" else "_call") for name in DECODERS),
        *(({"name": "ctc"}, name, "_fetch") for name in DECODERS),
    ],
)
def test_the_device_decodes_best_paths_of_a_crf_alone(
    head: dict[str, object], decoder: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, engine = caller_on_device(stored(**head), decoder=decoder)
    monkeypatch.setattr(engine, "_call" if way == "_fetch" else "_fetch", None)
    assert len(list(caller.calls(reads(4)))) > 1


def test_scores_of_a_whole_read_come_back() -> None:
    [record] = reads(1)
    caller, _ = caller_on_device(stored(**CRF))
    found = caller.score(record)
    assert found.scores.dtype == np.float32
    assert found.scores.shape == (-(-(len(record.raw) - found.trimmed) // 5), 80)
    assert len(caller.call(found).bases)


def test_memory_that_runs_out_halves_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net = stored(**CRF)
    caller, engine = caller_on_device(net)
    plain = list(caller.calls(reads()))
    forward, decode = engine.model.forward, engine._decode

    def narrow(x: torch.Tensor, lengths: torch.Tensor) -> Any:
        if len(x) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(x, lengths)

    def few(scores: torch.Tensor, starts: torch.Tensor, *rest: Any) -> Any:
        if len(starts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(scores, starts, *rest)

    monkeypatch.setattr(engine.model, "forward", narrow)
    monkeypatch.setattr(engine, "_decode", few)
    compare(list(caller.calls(reads())), plain)
    assert engine.limit.rows <= 16
    assert capsys.readouterr().err.count("memory ran out with --batch-size") == 2


def test_a_piece_for_which_memory_does_not_suffice_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    caller, engine = caller_on_device(stored(**CRF))

    def none(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine, "_decode", none)
    with pytest.raises(BiorrnError, match="memory ran out with the scores of one piece"):
        list(caller.calls(reads()))


def test_scores_that_are_no_numbers_end_in_the_line_of_the_cpu() -> None:
    made = CudaEngine(stored(**CRF).model, DEVICE, 8, 200)
    room = made.room(30)
    room[:] = torch.nan
    finish = made.launch([made.room(10).zero_(), room], greedy)
    with pytest.raises(BiorrnError, match=NOT_FINITE):
        finish()


def test_chunks_are_queued_a_few_batches_ahead() -> None:
    made = CudaEngine(stored(**CRF).model, DEVICE, 8, 200)
    x = np.zeros((3, 200), np.float32)
    for _ in range(9):
        made.score(x, np.full(3, 200), [[], [(0, 40, made.room(40))], []])
        assert len(made._sent) <= 3

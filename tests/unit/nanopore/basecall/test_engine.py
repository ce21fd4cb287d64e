"""The kernels give what torch gives, are chosen by model and processor alone, and say why when they cannot serve."""

from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import Recipe, load_recipe, parse_recipe, recipe_names
from biorrn.kernels.lstm.layers import FLOAT, INT8, INT16, described, kinds
from biorrn.nanopore.basecall import engine as module
from biorrn.nanopore.basecall.engine import ENGINES, TOLERANCE, VARIABLE, FastEngine, choose, difference, unsupported
from biorrn.nanopore.basecall.torch_engine import TorchEngine
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, load_model

KINDS = kinds()
HEADS = {
    "ctc": {"name": "ctc"},
    "ctc with a hidden layer": {"name": "ctc", "hidden": 9},
    "crf": {"name": "crf", "state_len": 2},
    "crf with learned stays": {"name": "crf", "state_len": 1, "blank": None, "scale": 3.0},
    "crf of two matrices": {
        "name": "crf",
        "state_len": 2,
        "squash": "none",
        "bias": False,
        "hidden": 9,
        "activation": "none",
    },
}


def stored(recipe: Recipe) -> Stored:
    """An untrained model."""
    torch.manual_seed(1)
    return Stored.of(build_model(recipe.network, 5).eval(), recipe, {}, Path("tiny"))


def fast(made: Stored, kind: np.dtype) -> FastEngine:
    return FastEngine(made.recipe.network, made.tensors, kind)


def model(head: str = "ctc", hidden: int = 20, **core: object) -> Stored:
    """A small untrained model of odd widths."""
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "basecalling",
            "model": {
                "frontend": {
                    "name": "conv",
                    "layers": [
                        {"width": 3, "kernel": 5},
                        {"width": 17, "kernel": 3, "stride": 2, "activation": "tanh"},
                        {"width": 10, "kernel": 7, "stride": 3},
                    ],
                },
                "core": {"cell": "lstm", "hidden": hidden, "layers": 3, "direction": "alternating", **core},
                "head": HEADS[head],
            },
        }
    )
    return stored(recipe)


def scored(engine: module.Engine, x: np.ndarray, lengths: np.ndarray, stride: int = 6) -> list[np.ndarray]:
    outs = [np.full((steps, engine.symbols), np.nan, np.float32) for steps in -(-lengths // stride)]
    engine.score(x, lengths, [[(0, len(out), out)] for out in outs])
    return outs


def signal(rows: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    lengths = rng.integers(1, samples + 1, rows)
    lengths[0] = samples
    x = np.zeros((rows, samples), np.float32)
    for row, length in zip(x, lengths, strict=True):
        row[:length] = rng.normal(size=length)
    return x, lengths


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", HEADS)
def test_scores_are_those_of_torch(head: str, kind: np.dtype) -> None:
    net = model(head)
    x, lengths = signal(9, 301)
    found, expected = scored(fast(net, kind), x, lengths), scored(TorchEngine(net.model, "cpu", 64, 301), x, lengths)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 if kind == FLOAT else 0.08)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_has_the_same_bits_in_any_company(kind: np.dtype) -> None:
    engine = fast(model("crf"), kind)
    x, lengths = signal(14, 200)
    together = scored(engine, x, lengths)
    for row, expected in enumerate(together):
        [alone] = scored(engine, x[row : row + 1, : lengths[row]], lengths[row : row + 1])
        np.testing.assert_array_equal(alone, expected)


def test_only_the_frames_asked_for_are_written() -> None:
    for engine in (fast(model("crf"), FLOAT), TorchEngine(model("crf").model, "cpu", 64, 300)):
        x, lengths = np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32), np.array([300, 300])
        [whole, _] = scored(engine, x, lengths)
        a, b = np.full((2, 80), 7, np.float32), np.full((9, 80), 7, np.float32)
        engine.score(x, lengths, [[(3, 5, a), (11, 20, b)], []])
        np.testing.assert_array_equal(a, whole[3:5])
        np.testing.assert_array_equal(b, whole[11:20])


CALLERS = [name for name in recipe_names() if load_recipe(name).task == "basecalling"]


@pytest.mark.parametrize("name", [*CALLERS, "stability_gru"])
def test_every_recipe_is_run_or_the_reason_is_named(name: str) -> None:
    recipe = load_recipe(name)
    if recipe.task != "basecalling":
        assert unsupported(recipe)
        return
    engine = choose(stored(recipe), "cpu", batch_size=16, size=500, name="auto")
    if unsupported(recipe) or not kinds():
        assert engine.name == "torch, cpu"
    else:
        # bytes have room for the states of trained models; those of others differ by more than is allowed
        assert engine.name in map(described, kinds()[:2])


@pytest.mark.parametrize(
    ("core", "reason"),
    [
        ({"cell": "gru"}, "recurrent layers other than LSTM"),
        ({"direction": "bidirectional"}, "recurrent layers other than LSTM in one direction"),
        ({"skip": True}, "skip connections"),
        ({"layer_norm": True}, "layer norm"),
    ],
)
def test_what_the_kernels_do_not_know_is_run_by_torch(core: dict, reason: str) -> None:
    net = model(**core)
    assert reason in str(unsupported(net.recipe))
    assert choose(net, "cpu", batch_size=8, size=300, name="auto").name == "torch, cpu"
    with pytest.raises(BiorrnError, match=rf"found 'fast', which does not support this model's .*{reason}"):
        choose(net, "cpu", batch_size=8, size=300, name="fast")


def test_kernels_that_disagree_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(FastEngine):
        def score(self, x: np.ndarray, lengths: np.ndarray, wanted: module.Wanted) -> None:
            super().score(-x, lengths, wanted)

    monkeypatch.setattr(module, "FastEngine", Wrong)
    assert choose(model(), "cpu", batch_size=8, size=300, name="auto").name == "torch, cpu"
    with pytest.raises(BiorrnError, match="scores differ from the reference"):
        choose(model(), "cpu", batch_size=8, size=300, name="fast")


def test_the_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "float32")
    assert choose(model(), "cpu", batch_size=8, size=300).name == described(FLOAT)
    assert choose(model(), "cpu", batch_size=8, size=300, name="torch").name == "torch, cpu"
    monkeypatch.setenv(VARIABLE, "quick")
    with pytest.raises(BiorrnError, match=rf"{VARIABLE}: found 'quick'; allowed is one of {', '.join(ENGINES)}"):
        choose(model(), "cpu", batch_size=8, size=300)


def test_the_tolerance_lies_between_rounding_and_a_fault() -> None:
    net, shipped = model("crf"), load_model("dna_r9.4.1_fast")
    for kind in KINDS:
        assert 0 < difference(fast(shipped, kind), shipped) < TOLERANCE[kind] * (0.9 if kind == INT8 else 0.5)
        if kind != INT8:
            assert 0 < difference(fast(net, kind), net) < TOLERANCE[kind] / 2
    turned = model("crf", direction="backward")
    assert difference(fast(turned, FLOAT), net) > 2 * max(TOLERANCE.values())


@pytest.mark.parametrize("present", [[], [FLOAT], [INT16, FLOAT]])
def test_a_processor_gets_what_it_can_run(present: list[np.dtype], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "kinds", lambda: [kind for kind in present if kind in kinds()])
    chosen = choose(model(), "cpu", batch_size=8, size=300, name="auto").name
    assert chosen == (described(module.kinds()[0]) if module.kinds() else "torch, cpu")
    if not present:
        with pytest.raises(BiorrnError, match="no compiled kernels"):
            choose(model(), "cpu", batch_size=8, size=300, name="fast")

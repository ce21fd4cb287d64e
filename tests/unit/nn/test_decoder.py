"""The decoder with attention, and the search for its likeliest sequence."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.beam_search import ALPHA, beam_search, greedy
from biorrn.nn.decoder import ATTENTIONS, END, STEPS, Decoder
from biorrn.nn.sequence import build_model

LENGTHS = torch.tensor([11, 1, 6, 0])
HEADS = [
    config.DecoderHead(
        cell=cell, attention=attention, hidden=7, embedding=3, attention_width=5, kernel=5, feeding=feeding
    )
    for attention, feeding in ((name, name != "dot") for name in ATTENTIONS)
    for cell in STEPS
]


def name(head: config.DecoderHead) -> str:
    return f"{head.attention}-{head.cell}"


def decoder(head: config.DecoderHead, outputs: int = 4, sharp: float = 1.0) -> Decoder:
    """Return an untrained decoder; `sharp` scales the scores, for sequences that are unlike."""
    torch.manual_seed(5)
    made = Decoder(6, outputs, head).eval()
    with torch.no_grad():
        made.output.weight *= sharp
    return made


def memory(rows: int = 4, time: int = 11) -> Tensor:
    return torch.randn(rows, time, 6, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("head", HEADS, ids=name)
def test_attention_sums_to_one_on_what_is_there(head: config.DecoderHead) -> None:
    symbols = torch.randint(0, 4, (4, 5))
    scores, weights = decoder(head).teacher_force(memory(), LENGTHS, symbols)
    assert scores.shape == (4, 5, 4)
    assert scores.isfinite().all()
    assert torch.allclose(weights.sum(2), torch.ones(4, 5), atol=1e-6)
    assert (weights >= 0).all()
    assert (weights[2, :, 6:] == 0).all()


@pytest.mark.parametrize("head", HEADS, ids=name)
def test_padded_equals_alone(head: config.DecoderHead) -> None:
    made, values, symbols = decoder(head), memory(), torch.randint(0, 4, (4, 5))
    together, weights = made.teacher_force(values, LENGTHS, symbols)
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            alone, seen = made.teacher_force(
                values[row : row + 1, :length], LENGTHS[row : row + 1], symbols[row : row + 1]
            )
            assert torch.allclose(alone[0], together[row], atol=1e-5)
            assert torch.allclose(seen[0], weights[row, :, :length], atol=1e-5)


@pytest.mark.parametrize("head", HEADS, ids=name)
def test_teaching_is_stepping_through_the_same_symbols(head: config.DecoderHead) -> None:
    made, values, symbols = decoder(head), memory(), torch.randint(0, 4, (4, 5))
    taught, weights = made.teacher_force(values, LENGTHS, symbols)
    looked, state = made.start(values, LENGTHS)
    for step in range(5):
        scores, state = made.step(symbols[:, step], state, looked)
        assert torch.allclose(scores, torch.log_softmax(taught[:, step], -1), atol=1e-5)
        assert torch.allclose(state.weights, weights[:, step], atol=1e-5)


@pytest.mark.parametrize("cell", STEPS)
def test_cell_is_torchs(cell: str) -> None:
    torch.manual_seed(0)
    theirs = {"gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}[cell](5, 7)
    x, hidden, kept = torch.randn(3, 5), torch.randn(3, 7), torch.randn(3, 7)
    made = decoder(config.DecoderHead(cell=cell, hidden=7))
    _, state = made.start(memory(3), torch.tensor([11, 11, 11]))
    gates = torch.nn.functional.linear(x, theirs.weight_ih, theirs.bias_ih)
    found = STEPS[cell](gates, state._replace(hidden=hidden, cell=kept), theirs)
    expected = theirs(x, (hidden, kept)) if cell == "lstm" else (theirs(x, hidden),) * 2
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("head", HEADS, ids=name)
def test_gradients_reach_every_weight(head: config.DecoderHead) -> None:
    made = decoder(head).train()
    made.teacher_force(made(memory()), LENGTHS, torch.randint(0, 4, (4, 5)))[0].square().sum().backward()
    for place, weight in made.named_parameters():
        assert weight.grad is not None, place
        assert weight.grad.isfinite().all(), place


@pytest.mark.parametrize("head", HEADS, ids=name)
def test_low_precision_is_near(head: config.DecoderHead) -> None:
    made, values, symbols = decoder(head), memory(), torch.randint(0, 4, (4, 5))
    full, _ = made.teacher_force(values, LENGTHS, symbols)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, weights = made.teacher_force(values.bfloat16(), LENGTHS, symbols)
    assert low.dtype == torch.float32
    assert torch.allclose(low, full, atol=0.05)
    assert torch.allclose(weights.float().sum(2), torch.ones(4, 5), atol=0.02)


@pytest.mark.parametrize("head", HEADS, ids=name)
def test_a_symbol_that_is_to_come_is_not_seen(head: config.DecoderHead) -> None:
    made, symbols = decoder(head), torch.zeros(1, 5, dtype=torch.long)
    changed = symbols.clone()
    changed[0, 3] = 2
    one, other = (made.teacher_force(memory(1), torch.tensor([11]), given)[0] for given in (symbols, changed))
    assert torch.equal(one[0, :3], other[0, :3])
    assert not torch.allclose(one[0, 3], other[0, 3])


@pytest.mark.parametrize("head", HEADS, ids=name)
@pytest.mark.parametrize("sharp", [1.0, 6.0])
def test_beam_of_one_is_greedy(head: config.DecoderHead, sharp: float) -> None:
    made, limits = decoder(head, sharp=sharp), torch.tensor([9, 3, 12, 1])
    plain = greedy(made, memory(), LENGTHS, limits, attention=True)
    beam = beam_search(made, memory(), LENGTHS, limits, 1, attention=True)
    for one, other, limit in zip(plain, beam, limits.tolist(), strict=True):
        assert one.symbols == other.symbols
        assert len(one.symbols) <= limit
        assert one.ended == other.ended
        assert math.isclose(one.log_probability, other.log_probability, abs_tol=1e-4)
        if one.symbols or one.ended:
            assert one.attention is not None
            assert other.attention is not None
            assert len(one.attention) == len(one.symbols) + one.ended
            assert torch.allclose(one.attention, other.attention, atol=1e-6)


def log_probability(made: Decoder, values: Tensor, symbols: list[int]) -> float:
    """Return that of a sequence and its end, by teaching."""
    given = torch.tensor([[END, *symbols]])
    scores = torch.log_softmax(made.teacher_force(values, torch.tensor([values.shape[1]]), given)[0][0], -1)
    return sum(float(scores[step, symbol]) for step, symbol in enumerate([*symbols, END]))


@pytest.mark.parametrize("head", HEADS, ids=name)
def test_wide_beam_is_brute_force(head: config.DecoderHead) -> None:
    made, limit = decoder(head, outputs=3, sharp=4.0), 4
    for row in range(3):
        values = memory()[row : row + 1]
        every = [list(some) for size in range(limit + 1) for some in itertools.product([1, 2], repeat=size)]
        with torch.no_grad():
            known = {tuple(some): log_probability(made, values, some) for some in every}
        best = max(known, key=lambda some: known[some] / (len(some) + 1) ** ALPHA)
        found = beam_search(made, values, torch.tensor([11]), torch.tensor([limit]), 3**5)[0]
        assert tuple(found.symbols) == best
        assert found.ended
        assert math.isclose(found.log_probability, known[best], abs_tol=1e-4)
        assert math.isclose(found.score, known[best] / (len(best) + 1), abs_tol=1e-4)


@pytest.mark.parametrize("width", [1, 3])
def test_rows_are_searched_as_alone(width: int) -> None:
    made, limits = decoder(HEADS[-1], sharp=5.0), torch.tensor([9, 9, 9])
    lengths = LENGTHS[:3]
    together = beam_search(made, memory(3), lengths, limits, width)
    for row, length in enumerate(lengths.tolist()):
        alone = beam_search(made, memory(3)[row : row + 1, :length], lengths[row : row + 1], limits[:1], width)[0]
        assert alone.symbols == together[row].symbols
        assert math.isclose(alone.log_probability, together[row].log_probability, abs_tol=1e-4)


def test_what_never_ends_is_cut_and_says_so() -> None:
    made = decoder(HEADS[0])
    with torch.no_grad():
        made.output.bias[END] = -1e4
    for found in (
        greedy(made, memory(1), LENGTHS[:1], torch.tensor([4]))[0],
        beam_search(made, memory(1), LENGTHS[:1], torch.tensor([4]), 2)[0],
    ):
        assert len(found.symbols) == 4
        assert not found.ended


def model(**fields: Any) -> config.Model:
    return config.Model(
        frontend=config.Embedding(width=5, symbols=9), core=config.Core(hidden=4, layers=1),
        head=config.DecoderHead(hidden=6, embedding=3, attention_width=4, kernel=3, **fields),
    )  # fmt: skip


def test_encoder_padded_equals_alone() -> None:
    made = build_model(model(), 4).eval()
    x = torch.randint(1, 10, (4, 11)) * (torch.arange(11) < LENGTHS[:, None])
    values, lengths = made(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            alone, _ = made(x[row : row + 1, :length], LENGTHS[row : row + 1])
            assert torch.allclose(alone[0], values[row, :length], atol=1e-6)
    assert lengths is LENGTHS


def test_moving_attention_begins_at_its_pace() -> None:
    made = decoder(config.DecoderHead(attention="moving", attention_width=5, pace=2.0, hidden=7, embedding=3))
    with torch.no_grad():
        made.attention.score.weight.zero_()
        made.attention.spread.fill_(-2.0)
        _, weights = made.teacher_force(memory(1), LENGTHS[:1], torch.zeros(1, 5, dtype=torch.long))
    assert weights[0].argmax(1).tolist() == [2, 4, 6, 8, 10]


def test_recipes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="head 'decoder' needs an empty 'pool'"):
        build_model(model().model_copy(update={"pool": ["mean"]}), 4)
    with pytest.raises(ValueError, match="kernel 4 is even"):
        config.DecoderHead(kernel=4)
    with pytest.raises(ValueError, match="features of 21 residues; found 9 symbols"):
        config.Embedding(symbols=9, table="blosum62")

"""Self-attention: fused and sliding forms equal the formula, padding is not seen, and each option does its job."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.attention import (
    BLOCK,
    HEADS,
    Heads,
    MultiHead,
    SelfAttention,
    attend,
    attention_weights,
    rotate,
    seen,
    sinusoids,
    slide,
)
from biorrn.nn.batch import valid


def attend_plainly(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, window: int | None, causal: bool
) -> Tensor:
    """Return what `attend` returns, by the plain formula."""
    weights = attention_weights(query, key, seen(lengths, query.shape[2], window, causal))
    return weights.to(value.dtype) @ value


LENGTHS = torch.tensor([150, 1, 70, 0])
TIME = 150  # longer than a block and its window, so that the window slides
WINDOWS = [None, 0, 3, 40, 1000]
POSITIONS = ["none", "sinusoidal", "rotary"]
VARIANTS = [
    config.SelfAttention(width=8, heads=2, layers=2, window=window, position=position, causal=causal, feed_forward=wide)
    for window in WINDOWS
    for position in POSITIONS
    for causal, wide in ((False, 12), (True, 0))
]


def named(recipe: config.SelfAttention) -> str:
    return f"{recipe.position}-{recipe.window}-{'causal' if recipe.causal else 'both'}"


def projections(time: int, heads: int = 2, width: int = 4, rows: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return list(2 * torch.randn(3, rows, heads, time, width, generator=generator))


@settings(max_examples=40, deadline=None)
@given(time=st.integers(1, 140), window=st.none() | st.integers(0, 150), causal=st.booleans(), part=st.floats(0, 1))
def test_fast_equals_the_formula(time: int, window: int | None, causal: bool, part: float) -> None:
    lengths = torch.tensor([time, math.ceil(part * time), 1, 0])
    query, key, value = projections(time)
    expected = attend_plainly(query, key, value, lengths, window, causal)
    found = attend(query, key, value, lengths, window, causal)
    assert found.isfinite().all()
    there = valid(lengths, time)[:, None, :, None].expand_as(found)
    assert torch.allclose(found[there], expected[there], atol=1e-5)
    if window is not None:  # at any length, so below a block too
        assert torch.allclose(slide(query, key, value, lengths, window, causal), expected, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_the_sliding_form_equal_those_of_the_formula(causal: bool) -> None:
    gradients = []
    for form in (attend_plainly, slide):
        parts = [part.requires_grad_() for part in projections(TIME)]
        query, key, value = parts
        found = form(query, key, value, LENGTHS, 9, causal)
        (found * valid(LENGTHS, TIME)[:, None, :, None]).square().sum().backward()
        gradients.append([part.grad for part in parts])
    for plain, slid in zip(*gradients, strict=True):
        assert torch.allclose(plain, slid, atol=1e-4)


def test_a_window_slides_over_long_input_without_a_square() -> None:
    """No tensor of T x T scores is made: of 30,000 steps it would have 900 million entries a head."""
    time = 30_000
    query, key, value = projections(time, heads=1, rows=1)
    found = attend(query, key, value, torch.tensor([time]), 4, False)
    middle = slice(14_996, 15_005)
    scores = query[0, 0, 15_000] @ key[0, 0, middle].T / 2
    assert torch.allclose(found[0, 0, 15_000], torch.softmax(scores, 0) @ value[0, 0, middle], atol=1e-5)


def test_heads_equal_torchs_own_layer() -> None:
    torch.manual_seed(0)
    ours = Heads(config.SelfAttention(width=8, heads=2, position="none"))
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, lengths = torch.randn(3, 9, 8), torch.tensor([9, 4, 2])
    padding = ~valid(lengths, 9)
    expected, weights = theirs(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    there = valid(lengths, 9)
    assert torch.allclose(ours(x, lengths)[there], expected[there], atol=1e-5)
    for row, length in enumerate(lengths.tolist()):
        assert torch.allclose(ours.weights(x, lengths)[row, :, :length], weights[row, :, :length], atol=1e-5)


@pytest.mark.parametrize("recipe", VARIANTS, ids=named)
def test_padded_equals_alone(recipe: config.SelfAttention) -> None:
    torch.manual_seed(0)
    core = SelfAttention(5, recipe).eval()
    x = torch.randn(4, TIME, 5)  # padding holds what must not be seen
    with torch.no_grad():
        out, lengths = core(x, LENGTHS)
        assert lengths is LENGTHS
        assert out.shape == (4, TIME, core.width)
        for row, length in enumerate(LENGTHS.tolist()):
            assert (out[row, length:] == 0).all()
            if length:
                alone, _ = core(x[row : row + 1, :length], LENGTHS[row : row + 1])
                assert torch.allclose(alone[0], out[row, :length], atol=1e-5)


@pytest.mark.parametrize("recipe", VARIANTS, ids=named)
def test_gradients_are_finite_and_reach_every_weight(recipe: config.SelfAttention) -> None:
    torch.manual_seed(0)
    core = SelfAttention(5, recipe)
    core(torch.randn(4, TIME, 5), LENGTHS)[0].pow(3).sum().backward()
    for name, weight in core.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        if name.endswith(".key.bias"):  # adds the same to all scores of a query, unless it is turned
            continue
        if recipe.window != 0 or (".query." not in name and ".key." not in name):  # of one step, all weights are one
            assert weight.grad.any(), name


@pytest.mark.parametrize(("window", "causal"), [(None, True), (2, False), (2, True), (0, False)])
def test_a_step_is_reached_by_those_it_sees_and_by_no_other(window: int | None, causal: bool) -> None:
    torch.manual_seed(0)
    core = SelfAttention(3, config.SelfAttention(width=8, heads=2, window=window, causal=causal))
    x = torch.randn(1, 60, 3, requires_grad=True)
    core(x, torch.tensor([60]))[0][0, 30].pow(3).sum().backward()
    assert x.grad is not None
    reached = x.grad[0].abs().sum(1).nonzero().flatten().tolist()
    first = 0 if window is None else 30 - window
    last = 30 if causal else 59 if window is None else 30 + window
    assert reached == list(range(first, last + 1))


@pytest.mark.parametrize(("position", "moves"), [("none", False), ("sinusoidal", True), ("rotary", True)])
def test_only_a_position_tells_an_order(position: Any, moves: bool) -> None:
    torch.manual_seed(0)
    core = SelfAttention(4, config.SelfAttention(width=8, heads=2, position=position)).eval()
    x = torch.randn(1, 12, 4)
    order = torch.randperm(12)
    lengths = torch.tensor([12])
    with torch.no_grad():
        same = torch.allclose(core(x, lengths)[0][:, order], core(x[:, order], lengths)[0], atol=1e-5)
    assert same != moves


def test_rotary_scores_depend_on_distance_and_keep_lengths() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 6)
    turned_query, turned_key = rotate(query.expand(40, 6)), rotate(key.expand(40, 6))
    scores = turned_query @ turned_key.T
    for distance in (-5, 0, 11):
        along = scores.diagonal(distance)
        assert torch.allclose(along, along[0].expand_as(along), atol=1e-4)
    assert torch.allclose(turned_query.norm(dim=1), query.norm().expand(40), atol=1e-5)
    assert torch.allclose(turned_query[0], query)


@pytest.mark.parametrize("width", [1, 7, 8])
def test_sinusoids_tell_positions_apart(width: int) -> None:
    codes = sinusoids(50, width, torch.device("cpu"))
    assert codes.shape == (50, width)
    assert codes.abs().max() <= 1
    assert torch.cdist(codes, codes).fill_diagonal_(9).min() > 1e-3
    assert torch.allclose(codes[3, 0], torch.tensor(3.0).sin())


@pytest.mark.parametrize(("window", "causal"), [(None, False), (3, False), (None, True), (3, True)])
def test_weights_of_a_query_sum_to_one_over_what_it_sees(window: int | None, causal: bool) -> None:
    query, key, _ = projections(20)
    mask = seen(torch.tensor([20, 7, 1, 0]), 20, window, causal)
    weights = attention_weights(query, key, mask)
    assert torch.allclose(weights.sum(-1), torch.ones(4, 2, 20))
    assert (weights[~mask.expand_as(weights)] == 0).all()


def test_dropout_is_of_training_only() -> None:
    torch.manual_seed(0)
    core = SelfAttention(4, config.SelfAttention(width=8, heads=2, dropout=0.5))
    x, lengths = torch.randn(1, 9, 4), torch.tensor([9])
    assert not torch.equal(core(x, lengths)[0], core(x, lengths)[0])
    core.eval()
    assert torch.equal(core(x, lengths)[0], core(x, lengths)[0])


def test_half_precision_stays_near() -> None:
    torch.manual_seed(0)
    core = SelfAttention(4, config.SelfAttention(width=8, heads=2, window=BLOCK, causal=True)).eval()
    x = torch.randn(4, TIME, 4)
    with torch.no_grad():
        whole = core(x, LENGTHS)[0]
        with torch.autocast("cpu", torch.bfloat16):
            half = core(x, LENGTHS)[0]
    assert torch.allclose(whole, half.float(), atol=0.15)


def test_pool_heads_have_their_own_weights() -> None:
    torch.manual_seed(0)
    pool = MultiHead(8, "f")
    lengths = torch.tensor([20, 5, 0])
    x = torch.randn(3, 20, 8)
    weights = pool.weights(x, lengths)
    assert weights.shape == (3, HEADS, 20)
    assert torch.allclose(weights.sum(-1)[:2], torch.ones(2, HEADS))
    assert not weights[2].any()
    assert not weights[1, :, 5:].any()
    assert not torch.allclose(weights[0, 0], weights[0, 1], atol=1e-3)
    part = 8 // HEADS
    values = pool.value(x)[0, :, part : 2 * part]  # of the second head
    assert torch.allclose(pool(x, lengths)[0, part : 2 * part], weights[0, 1] @ values, atol=1e-5)
    with pytest.raises(ConfigError, match="width 6 does not divide into 4 heads"):
        MultiHead(6, "f")

"""Sampling of sequences from a language model."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.language.generate import (
    ROUNDING,
    Generated,
    Language,
    Plan,
    Sampling,
    distribution,
    draw,
    generate,
    softmax,
    top_k,
    top_p,
    uniforms,
)
from biorrn.nn.cells import CELLS
from biorrn.nn.sequence import Stepper, build_model
from biorrn.sequences.alphabets import DNA, RESIDUES
from biorrn.sequences.tokenisers import BOS, EOS, Tokeniser, kmer_tokeniser, residue_tokeniser

RESIDUE = residue_tokeniser(RESIDUES)
GREEDY = Sampling(temperature=0)


class Cycle:
    """After a symbol the next of `order` is likely, as is the end after the last; the state counts the steps."""

    def __init__(self, order: list[int], size: int, sure: float = 5.0) -> None:
        self.table = torch.zeros(size, size, dtype=torch.float64)
        for before, after in itertools.pairwise(order):
            self.table[before, after] = sure

    def start(self, batch: int) -> Any:
        return torch.zeros(batch)

    def step(self, tokens: torch.Tensor, state: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
        return self.table[tokens], torch.zeros(len(tokens), 1), state + 1


def spelling(text: str, tokeniser: Tokeniser = RESIDUE, sure: float = 5.0) -> Cycle:
    return Cycle([BOS, *tokeniser.encode(text).tolist(), EOS], tokeniser.size, sure)


def run(model: Any, count: int = 1, tokeniser: Tokeniser = RESIDUE, **options: Any) -> list[Generated]:
    backward, size = options.pop("backward", False), options.pop("batch_size", 64)
    return list(generate(Language(model, tokeniser, backward), count, Plan(**options), batch_size=size))


def test_greedy_follows_the_model_to_its_end() -> None:
    (found,) = run(spelling("MKVLATD"), sampling=GREEDY)
    assert (found.sequence, found.ended, found.number) == ("MKVLATD", True, 1)
    sure = math.exp(5) / (math.exp(5) + RESIDUE.size - 1)
    assert math.isclose(found.log_likelihood, math.log(sure))  # the end counts as one of 8 symbols


@pytest.mark.parametrize(
    ("options", "text", "ended"),
    [
        ({"longest": 4}, "MKVL", False),
        ({"longest": 7}, "MKVLATD", False),  # cut before the end could be drawn
        ({"longest": 8}, "MKVLATD", True),
        ({"prompt": "VLA"}, "VLATD", True),
        ({"prompt": "VLA", "longest": 3}, "VLA", False),
        ({"prompt": "MKVLATD"}, "MKVLATD", True),
    ],
)
def test_prompt_and_length(options: dict[str, Any], text: str, ended: bool) -> None:
    (found,) = run(spelling("MKVLATD"), sampling=GREEDY, **options)
    assert (found.sequence, found.ended) == (text, ended)
    assert math.isnan(found.log_likelihood) == (text == options.get("prompt") and not ended)


def test_it_does_not_end_before_the_least_length() -> None:
    found = run(spelling("MK"), 40, shortest=12, longest=15)
    assert all(12 <= len(one.sequence) <= 15 for one in found)
    assert all(one.ended == (len(one.sequence) < 15) or len(one.sequence) == 15 for one in found)


def test_a_backward_model_writes_from_the_end() -> None:
    ids = RESIDUE.encode("MKVLATD").tolist()
    model = Cycle([EOS, *ids[::-1], BOS], RESIDUE.size)
    assert run(model, sampling=GREEDY, backward=True)[0].sequence == "MKVLATD"
    assert run(model, sampling=GREEDY, backward=True, prompt="VLA")[0].sequence == "MKVLA"


def test_words_of_several_letters_do_not_pass_the_greatest_length() -> None:
    words = kmer_tokeniser(DNA, 3)
    (found,) = run(spelling("ACGTTGCAACGG", words), tokeniser=words, sampling=GREEDY)
    assert (found.sequence, found.ended) == ("ACGTTGCAACGG", True)
    for one in run(spelling("ACGTTGCAACGG", words, 0.0), 30, words, longest=10):
        assert len(one.sequence) == 10 or one.ended
        assert len(one.sequence) <= 10


def same(a: list[Generated], b: list[Generated]) -> bool:
    return [(x.sequence, x.ended, x.log_likelihood) for x in a] == [(y.sequence, y.ended, y.log_likelihood) for y in b]


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
def test_the_batch_changes_nothing(batch: int) -> None:
    model, options = spelling("MKVLATD", sure=2.0), {"longest": 25, "seed": 4}
    whole = run(model, 11, **options)
    assert same(run(model, 11, batch_size=batch, **options), whole)
    assert same(run(model, 5, batch_size=batch, **options), whole[:5])
    assert not same(run(model, 11, longest=25, seed=5), whole)
    assert [one.number for one in whole] == list(range(1, 12))
    assert len({one.sequence for one in whole}) > 5


def test_padding_beginning_and_the_unknown_letter_are_never_drawn() -> None:
    model = spelling("MK", sure=0.0)
    model.table[:, [0, BOS, 3]] = 9.0  # what the model would like most
    found = run(model, 20, longest=30)
    assert all(set(one.sequence) <= set(RESIDUES[:-1]) for one in found)
    assert max(len(one.sequence) for one in found) > 1
    assert all(one.log_likelihood < math.log(0.01) for one in found)  # but their mass counts


def test_a_flat_model_draws_all_residues_alike() -> None:
    found = run(spelling("MK", sure=0.0), 100, shortest=200, longest=200)
    counts = np.array([sum(one.sequence.count(letter) for one in found) for letter in RESIDUES[:-1]])
    assert counts.sum() == 20_000
    assert abs(counts - 1000).max() < 6 * math.sqrt(950)  # six standard deviations


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"longest": 0}, "--max-length: found 0"),
        ({"shortest": 9, "longest": 8}, "--min-length: found 9; allowed is 0 to --max-length, 8"),
        ({"prompt": "MKV", "longest": 2}, "--prompt: has 3 letters"),
        ({"seed": -1}, "--seed: found -1"),
        ({"prompt": "MKZ"}, "--prompt: letter 'Z' at position 3 is not one of"),
        ({"prompt": "MX"}, "--prompt: letter 'X' is ambiguous"),
        ({"batch_size": 0}, "--batch-size: found 0"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        run(spelling("MK"), **options)


def test_none_asked_for() -> None:
    with pytest.raises(ConfigError, match="-n: found 0"):
        run(spelling("MK"), 0)


# -- with every core there is ------------------------------------------------------------------------------------------
CORES: list[Any] = [
    {"cell": cell, "hidden": 8, "layers": 2, "direction": direction}
    for cell in CELLS
    for direction in ("forward", "backward")
]
CORES += [{"name": "self_attention", "width": 8, "heads": 2, "causal": True}]


@pytest.mark.parametrize("core", CORES, ids=lambda core: f"{core.get('cell', 'attention')}-{core.get('direction', '')}")
def test_likelihoods_are_those_of_the_whole_model_for_any_batch(core: dict[str, Any]) -> None:
    parts = {"frontend": {"name": "tokens", "size": RESIDUE.size, "width": 6}, "core": core, "head": {"name": "tokens"}}
    recipe = parse_recipe({"name": "t", "task": "language", "model": parts})
    torch.manual_seed(0)
    model, backward = build_model(recipe.network, RESIDUE.size).eval().double(), core.get("direction") == "backward"
    made = {
        size: list(generate(Language(Stepper(model), RESIDUE, backward), 9, Plan(longest=20), batch_size=size))
        for size in (1, 4, 9)
    }
    assert [one.sequence for one in made[1]] == [one.sequence for one in made[4]] == [one.sequence for one in made[9]]
    for one in made[9]:
        ids = [BOS, *RESIDUE.encode(one.sequence).tolist(), EOS]
        with torch.no_grad():
            scores = torch.log_softmax(model(torch.tensor([ids]), torch.tensor([len(ids)]))[0][0].double(), -1)
        drawn = len(ids) - 2 + one.ended
        steps = range(len(ids) - 1, len(ids) - 1 - drawn, -1) if backward else range(drawn)
        told = [float(scores[step, ids[step - 1 if backward else step + 1]]) for step in steps]
        assert math.isclose(np.mean(told), one.log_likelihood, rel_tol=1e-5)


SCORES = np.log([0.1, 0.4, 0.3, 0.2])
scores = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-30, 30))


def test_temperature_one_is_what_the_model_says() -> None:
    assert np.allclose(distribution(SCORES, Sampling()), [0.1, 0.4, 0.3, 0.2])


@pytest.mark.parametrize(("k", "kept"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])])
def test_top_k_keeps_k(k: int, kept: list[int]) -> None:
    assert np.flatnonzero(distribution(SCORES, Sampling(top_k=k))).tolist() == kept


@pytest.mark.parametrize(("p", "kept"), [(0.01, 1), (0.4, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.91, 4), (1.0, 4)])
def test_top_p_keeps_the_smallest_set(p: float, kept: int) -> None:
    assert np.count_nonzero(distribution(SCORES, Sampling(top_p=p))) == kept


def test_of_equals_the_lower_code_is_kept() -> None:
    assert np.flatnonzero(top_k(np.full(5, 0.2), 3)).tolist() == [0, 1, 2]
    assert np.flatnonzero(top_p(np.full(4, 0.25), 0.5)).tolist() == [0, 1]
    assert distribution(np.zeros(3), Sampling(temperature=0)).tolist() == [1, 0, 0]


def test_the_nucleus_is_of_what_top_k_left() -> None:
    # of the best three 0.4, 0.3, 0.2 the first has mass 4/9, the first two 7/9
    assert np.count_nonzero(distribution(SCORES, Sampling(top_k=3, top_p=0.5))) == 2
    assert np.count_nonzero(distribution(SCORES, Sampling(top_k=3, top_p=0.44))) == 1


@given(scores, st.integers(1, 12))
def test_top_k_of_any_scores(found: np.ndarray, k: int) -> None:
    probabilities = softmax(found)
    left = top_k(probabilities, k)
    assert np.allclose(left.sum(-1), 1)
    for row, kept in zip(probabilities, left, strict=True):
        assert np.count_nonzero(kept) == min(k, len(row))
        assert row[kept > 0].min() >= max(row[kept == 0], default=0)


@given(scores, st.floats(0.01, 1.0))
def test_top_p_of_any_scores(found: np.ndarray, p: float) -> None:
    probabilities = softmax(found)
    for row, kept in zip(probabilities, top_p(probabilities, p), strict=True):
        mass = row[kept > 0].sum()
        assert mass >= p - (1.01 * ROUNDING if p < 1 else 1e-9)  # a nucleus is the smallest up to rounding; all are all
        assert mass - row[kept > 0].min() < p + 1e-9  # without its least symbol it is too small
        assert row[kept > 0].min() >= max(row[kept == 0], default=0)


@given(scores, st.floats(0.0, 0.999999))
def test_temperature_zero_is_greedy(found: np.ndarray, u: float) -> None:
    taken = draw(distribution(found, Sampling(temperature=0)), np.full(len(found), u))
    assert taken.tolist() == found.argmax(-1).tolist()


@given(scores, st.floats(0.0, 0.999999), st.floats(1e-3, 50), st.integers(0, 9), st.floats(0.05, 1))
def test_what_has_no_mass_is_never_drawn(found: np.ndarray, u: float, heat: float, k: int, p: float) -> None:
    found[:, ::2] = np.where(np.arange(found.shape[1])[::2] == 0, found[:, ::2], -np.inf)
    probabilities = distribution(found, Sampling(heat, k, p))
    taken = draw(probabilities, np.full(len(found), u))
    assert (np.take_along_axis(probabilities, taken[:, None], -1) > 0).all()


def test_draws_come_as_often_as_they_should() -> None:
    grid = (np.arange(1000) + 0.5) / 1000  # every quantile once: no chance
    taken = draw(np.tile(softmax(SCORES), (1000, 1)), grid)
    assert np.bincount(taken).tolist() == [100, 400, 300, 200]


def test_a_tiny_temperature_is_nearly_greedy_and_finite() -> None:
    assert np.allclose(distribution(np.array([500.0, 501.0]), Sampling(temperature=1e-300)), [0, 1])


def test_one_stream_a_sequence() -> None:
    whole = uniforms(5, 0, 6, 7)
    assert np.array_equal(np.concatenate([uniforms(5, 0, 2, 7), uniforms(5, 2, 4, 7)]), whole)
    assert np.array_equal(uniforms(5, 0, 6, 3), whole[:, :3])
    assert not np.array_equal(uniforms(6, 0, 6, 7), whole)
    assert len(np.unique(whole)) == whole.size


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"temperature": -0.1}, "--temperature: found -0.1; allowed is 0 or more"),
        ({"temperature": math.nan}, "--temperature: found nan"),
        ({"temperature": math.inf}, "--temperature: found inf"),
        ({"top_k": -1}, "--top-k: found -1"),
        ({"top_p": 0.0}, "--top-p: found 0; allowed is above 0, at most 1"),
        ({"top_p": 1.1}, "--top-p: found 1.1"),
        ({"top_p": math.nan}, "--top-p: found nan"),
    ],
)
def test_numbers_out_of_range(options: dict[str, float], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Sampling(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("p", [0.1, 0.3, 0.4, 0.7, 0.9, 1.0])
def test_a_nucleus_is_not_made_larger_by_rounding(p: float) -> None:
    parts = np.array([0.4, 0.3, 0.2, 0.1])
    wanted = int(np.flatnonzero(np.array([4, 7, 9, 10]) >= round(10 * p))[0]) + 1
    assert (top_p(parts, p) > 0).sum() == wanted
    assert (top_p(np.exp(np.log(parts).astype(np.float32)), p) > 0).sum() == wanted

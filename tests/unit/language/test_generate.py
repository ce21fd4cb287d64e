"""Generation, with models whose every score is known."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.language.generate import Generated, Language, Plan, Sampling, generate
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

"""Windows of truncated backpropagation: every step once, rows that go on do, and no chance but (seed, epoch)."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biorrn.config.recipe import parse_recipe
from biorrn.language import task as language
from biorrn.language.data import IGNORED, SymbolDataset, count, plan, windows
from biorrn.nn.batch import Batch
from biorrn.nn.sequence import build_model, next_states
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.tokenisers import residue_tokeniser
from biorrn.training.batches import ProteinDataset

LENGTHS = [3, 30, 1, 17, 8, 40, 25, 16]


@pytest.fixture
def rows(tmp_path: Path) -> ProteinDataset:
    rng = np.random.default_rng(0)
    with protein_writer(tmp_path / "p.h5", []) as writer:
        for number, length in enumerate(LENGTHS):
            writer.add(f"p{number}", tokens("".join(rng.choice(list("ACDEX"), length))), [])
    return ProteinDataset(tmp_path / "p.h5", "train")


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 20))
def test_a_plan_takes_every_step_once_and_in_order(steps: list[int], streams: int, width: int) -> None:
    done = np.zeros(len(steps), int)
    previous = np.full(streams, -1)
    for row, place, number in plan(np.array(steps), np.arange(len(steps)), streams, lambda: width):
        for stream in np.flatnonzero(row >= 0):
            assert done[row[stream]] == place[stream]
            assert place[stream] == 0 or previous[stream] == row[stream]  # a sequence stays in its stream
            done[row[stream]] += number[stream]
        assert (number[row < 0] == 0).all()
        assert number.max() <= width
        previous = row
    assert done.tolist() == steps


@pytest.mark.parametrize("backward", [False, True])
def test_windows_hold_every_symbol(rows: ProteinDataset, backward: bool) -> None:
    data = SymbolDataset(rows, residue_tokeniser(), backward)
    whole = data.collate(range(len(data)))
    assert whole.targets is not None
    for epoch in range(2):
        found = list(windows(data, 3, 8, epoch, 5))
        told = torch.cat([batch.targets[batch.targets != IGNORED] for batch in found])  # type: ignore[index]
        assert sorted(told.tolist()) == sorted(whole.targets[whole.targets != IGNORED].tolist())
        assert sum(int(batch.lengths.sum()) for batch in found) == int(whole.lengths.sum())
        for batch, after in itertools.pairwise(found):
            assert batch.carried is not None
            assert after.carried is not None
            # a row that goes on was not padded, else its state were that after padding
            assert (batch.lengths[after.carried] == batch.x.shape[1]).all()
        again = list(windows(data, 3, 8, epoch, 5))
        assert all(torch.equal(one.x, other.x) for one, other in zip(found, again, strict=True))
    assert not torch.equal(next(windows(data, 3, 8, 0, 5)).x, next(windows(data, 3, 8, 0, 6)).x)
    assert 0 < count(data, 3, 8) < sum(LENGTHS)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_windows_give_what_whole_sequences_give(rows: ProteinDataset, way: str, cell: str) -> None:
    parts = {
        "frontend": {"name": "tokens", "size": 24, "width": 6},
        "core": {"cell": cell, "hidden": 7, "layers": 2, "direction": way},
        "head": {"name": "tokens"},
    }
    recipe = parse_recipe({"name": "t", "task": "language", "model": parts})
    torch.manual_seed(0)
    model = build_model(recipe.network, 24)
    data = SymbolDataset(rows, residue_tokeniser(), way == "backward")

    def nats(outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        return language.loss(model, outputs, batch.lengths, batch, recipe) * language.share(batch, recipe)

    def windowed(bptt: int) -> torch.Tensor:
        states, total = None, torch.zeros(())
        for batch in windows(data, 3, bptt, 0, 0):
            assert batch.carried is not None
            outputs, _, states = model.run_from(batch.x, batch.lengths, next_states(states, batch.carried))
            total = total + nats(outputs, batch)
        return total

    whole = data.collate(range(len(data)))
    plain = nats(model(whole.x, whole.lengths)[0], whole)
    short, long = windowed(8), windowed(200)  # 200 holds every sequence at once, also when a window is halved
    assert torch.allclose(short, plain, rtol=1e-5)
    assert torch.allclose(long, plain, rtol=1e-5)
    # the gradient of windows that hold whole sequences is that of plain training; that of shorter ones is cut
    flat = [
        torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])
        for loss in (plain, long, short)
    ]
    assert torch.allclose(flat[0], flat[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(flat[0], flat[2], rtol=1e-3, atol=1e-4)

"""Rows and streams of symbols for language models."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import load_recipe, parse_recipe
from biorrn.language import task as language
from biorrn.language.data import IGNORED, SymbolDataset, count, plan, windows
from biorrn.nn.batch import Batch
from biorrn.nn.sequence import build_model, next_states
from biorrn.proteins.embedding import read_sequences, sentences
from biorrn.proteins.prepare import prepare_proteins
from biorrn.proteins.task import ProteinData
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.splits import parse_split
from biorrn.sequences.tokenisers import BOS, EOS, residue_tokeniser
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


PROTEINS = ["MKV", "ACDEFGHIKLM", "W", "AXA"]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    path = tmp_path / "p.h5"
    with protein_writer(path, []) as writer:
        for number, protein in enumerate(PROTEINS):
            writer.add(f"p{number}", tokens(protein), [])
    return path


def symbols(path: Path, backward: bool = False, longest: int = 100) -> SymbolDataset:
    return SymbolDataset(ProteinDataset(path, None), residue_tokeniser(), backward, longest)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("longest", [2, 3, 4, 100])
def test_every_symbol_is_a_target_once(prepared: Path, longest: int, backward: bool) -> None:
    pieces = symbols(prepared, backward, longest)
    assert pieces.lengths.max() <= longest
    batch = pieces.collate(range(len(pieces)))
    assert batch.targets is not None
    found = sorted(batch.targets[batch.targets != IGNORED].tolist())
    residues = [int(code) + 3 for protein in PROTEINS for code in tokens(protein.replace("X", ""))]
    assert found == sorted([*residues, *[BOS if backward else EOS] * len(PROTEINS)])
    assert batch.target_lengths is not None
    assert int(batch.target_lengths.sum()) == len(residues)
    time = torch.arange(batch.x.shape[1])
    assert (batch.targets[time[None] >= batch.lengths[:, None]] == IGNORED).all()
    assert (batch.x[time[None] >= batch.lengths[:, None]] == 0).all()


def test_a_step_is_to_tell_the_next_or_the_one_before(prepared: Path) -> None:
    mkv = [14, 12, 21]
    for backward, x, y in ((False, [BOS, *mkv], [*mkv, EOS]), (True, [*mkv, EOS], [BOS, *mkv])):
        batch = symbols(prepared, backward).collate([0])
        assert batch.targets is not None
        assert (batch.x[0, :4].tolist(), batch.targets[0, :4].tolist()) == (x, y)


def test_sentences_of_each_frame() -> None:
    assert list(sentences(["MKVLA"], 2)) == [["MK", "VL"], ["KV", "LA"]]
    assert list(sentences(["MK", "M"], 2)) == [["MK"]]
    assert list(sentences(["AXCDA"], 1)) == [["A"], ["C", "D", "A"]]
    assert list(sentences(["AAAAXAAAA"], 3)) == [["AAA"], ["AAA"], ["AAA"], ["AAA"]]


def test_unlabelled_proteins_prepare_and_read(tmp_path: Path) -> None:
    fasta, table, out = tmp_path / "a.fa", tmp_path / "a.csv", tmp_path / "a.h5"
    fasta.write_text("".join(f">p{number}\n{protein}\n" for number, protein in enumerate(PROTEINS)))
    table.write_text("sequence\n" + "\n".join(PROTEINS) + "\n")
    split = parse_split("random:0.5,0.5,0", "protein")
    for source in (fasta, table):
        account = prepare_proteins(source, out, split, [], unlabelled=True)
        assert account["counts"]["kept"] == 4
        assert ProteinDataset(out, None).targets.shape == (4, 0)
        assert read_sequences(source) == read_sequences(out) == PROTEINS
        assert len(read_sequences(out, split="valid")) == 2
        with pytest.raises(InputError, match="task regression needs a target"):
            ProteinData(out, load_recipe("stability_net"))
    with pytest.raises(ConfigError, match="--no-target: cannot be with --target"):
        prepare_proteins(table, out, split, ["x"], unlabelled=True)
    with pytest.raises(ConfigError, match="found none; name at least one column of numbers, or --no-target"):
        prepare_proteins(table, out, split, [])
    with pytest.raises(ConfigError, match="has no column 'set'"):
        prepare_proteins(fasta, out, parse_split("column:set", "protein"), [], unlabelled=True)


def test_targets_of_a_labelled_file_are_left_alone(tiny_proteins: Path) -> None:
    rows = ProteinDataset(tiny_proteins, "train")
    assert np.array_equal(SymbolDataset(rows, residue_tokeniser()).lengths, rows.lengths + 1)

"""What a language model reads: every symbol is a target once, whole or in pieces, either way."""

from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import load_recipe
from biorrn.language.data import IGNORED, SymbolDataset
from biorrn.proteins.prepare import prepare_proteins
from biorrn.proteins.task import ProteinData
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.sequence_set import read_sequences, sentences
from biorrn.sequences.splits import parse_split
from biorrn.sequences.tokenisers import BOS, EOS, residue_tokeniser
from biorrn.training.batches import ProteinDataset

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

"""Pairs of sequences for translation, and made-up genes."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from Bio.Data.CodonTable import standard_dna_table
from Bio.Seq import Seq

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.prepared.summary import lines
from biorrn.sequences.splits import parse_split
from biorrn.translation.data import (
    CODONS,
    STANDARD,
    Pair,
    PairDataset,
    PairFile,
    coding_pairs,
    export_sources,
    pair_writer,
    prepare_pairs,
    read_pair_fasta,
    read_pair_table,
    translate,
)

PAIRS = [Pair("a", "ATGGCC", "MA", "train"), Pair("b", "atggcctaa", "ma", "valid"), Pair("c", "ATGGCC", "MX", "test")]


def prepared(folder: Path, pairs: list[Pair] = PAIRS, split: str = "column:split") -> Path:
    path = folder / "pairs.h5"
    prepare_pairs(pairs, path, parse_split(split, "pairs"), "codons", "residues", note="made up")
    return path


def test_written_then_read(tmp_path: Path) -> None:
    path = prepared(tmp_path)
    with PairFile(path) as file:
        assert file.strings("id") == ["a", "b", "c"]
        assert [file.alphabet(side).name for side in ("source", "target")] == ["codons", "residues"]
        assert file.alphabet("source").decode(file.symbols("source", 1)) == "ATGGCCTAA"
        assert file.alphabet("target").decode(file.symbols("target", 2)) == "MX"
        assert file.file.attrs["note"] == "made up"


def test_account_tells_what_train_has_too(tmp_path: Path) -> None:
    account = prepare_pairs(
        PAIRS, tmp_path / "p.h5", parse_split("column:split", "pairs"), "codons", "residues"
    )  # fmt: skip
    assert account["splits"]["valid"] == {
        "pairs": 1, "source_symbols": 3, "target_symbols": 2, "longest_source": 3, "longest_target": 2,
    }  # fmt: skip
    assert account["leakage"]["test"] == {"pairs": 1, "source_in_train": 1}
    assert account["leakage"]["valid"]["source_in_train"] == 0
    assert any("train: 1 pair, 2 target symbols" in line for line in lines(account))


def test_batches_are_padded(tmp_path: Path) -> None:
    data = PairDataset(prepared(tmp_path), None)
    batch = data.collate([1, 0])
    assert batch.targets is not None
    assert batch.x.shape == (2, 8)
    assert batch.lengths.tolist() == [3, 2]
    assert (batch.x[1, 2:] == 0).all()
    assert batch.targets.tolist() == [[11, 1], [11, 1]]
    assert batch.ids == ["b", "a"]


def test_sources_are_exported(tmp_path: Path) -> None:
    export_sources(prepared(tmp_path), {"valid": tmp_path / "v.fa"})
    assert (tmp_path / "v.fa").read_text() == ">b\nATGGCCTAA\n"
    with pytest.raises(ConfigError, match="split 'vaild' is unknown"):
        export_sources(tmp_path / "pairs.h5", {"vaild": tmp_path / "v.fa"})


def test_table_and_fasta_give_the_same_pairs(tmp_path: Path) -> None:
    table, sources, targets = tmp_path / "p.tsv", tmp_path / "s.fa", tmp_path / "t.fa"
    table.write_text("id\tsource\ttarget\na\tATG\tM\nb\tGCC\tA\n")
    sources.write_text(">a\nAT\nG\n>b\nGCC\n")
    targets.write_text(">b\nA\n>a said\nM\n")
    assert list(read_pair_table(table, id_column="id")) == list(read_pair_fasta(sources, targets))
    assert [pair.id for pair in read_pair_table(table)] == ["row1", "row2"]


@pytest.mark.parametrize(
    ("pair", "fault"),
    [
        (Pair("a", "ATGC", "M", "train"), "record 'a': 4 letters are no whole number of codons"),
        (Pair("a", "ATG", "M7", "train"), "record 'a': letter '7' at position 2"),
        (Pair("a", "ATG", "", "train"), "record 'a': the sequence is empty"),
        (Pair("a", "ATG", "M", "trian"), "column 'split': found 'trian'; allowed is train, valid, test"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pair: Pair, fault: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fault):
        prepared(tmp_path, [pair])
    assert not list(tmp_path.iterdir())


def test_no_pairs_and_no_alphabet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pair"):
        prepared(tmp_path, [])
    with pytest.raises(ConfigError, match="source alphabet 'codon' is unknown; did you mean 'codons'"):
        prepare_pairs(PAIRS, tmp_path / "p.h5", parse_split("random", "pairs"), "codon", "residues")
    with pytest.raises(ConfigError, match="'cluster' cannot split pairs data; allowed is column, random"):
        parse_split("cluster:0.5", "pairs")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (">a\nM\n>a\nM\n", "record 'a': the id is given twice"),
        (">b\nM\n", "record 'a': has no record of this id in"),
        ("", "the file is empty"),
        ("M\n", "before the first header"),
    ],
)
def test_targets_that_do_not_fit_are_refused(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "s.fa").write_text(">a\nATG\n")
    (tmp_path / "t.fa").write_text(text)
    with pytest.raises(InputError, match=fault):
        list(read_pair_fasta(tmp_path / "s.fa", tmp_path / "t.fa"))


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("source", 66, "source: found 1 to 66; allowed is 1 to 65|source: found .* to 66; allowed is 1 to 65"),
        ("target", 0, "target: found 0 to"),
        ("target_offsets", 5, "target_offsets do not rise from 0"),
    ],
)
def test_damaged_file_is_refused(name: str, value: int, fault: str, tmp_path: Path) -> None:
    path = prepared(tmp_path)
    with h5py.File(path, "a") as file:
        file[name][-1] = value
    with pytest.raises(InputError, match=fault):
        PairDataset(path, None)


def test_alphabet_of_another_version_is_refused(tmp_path: Path) -> None:
    with pair_writer(tmp_path / "p.h5", "dna", "klingon") as writer:
        writer.add("a", np.array([1], np.uint8), np.array([1], np.uint8))
    with pytest.raises(InputError, match="attribute 'target_alphabet': found klingon; allowed is dna, rna"):
        PairDataset(tmp_path / "p.h5", None)


def test_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split 'valid' is empty; the file holds 1 pairs in other splits"):
        PairDataset(prepared(tmp_path, PAIRS[:1]), "valid")


def test_code_is_that_of_table_1() -> None:
    assert {codon: letter for codon, letter in STANDARD.items() if letter != "*"} == standard_dna_table.forward_table
    assert sorted(CODONS["*"]) == sorted(standard_dna_table.stop_codons)
    assert sum(map(len, CODONS.values())) == 64


def test_pairs_are_what_biopython_translates() -> None:
    pairs = list(coding_pairs(60, 3, 9, seed=4))
    assert {len(pair.target) for pair in pairs} == set(range(3, 10))
    for pair in pairs:
        assert pair.source.startswith("ATG")
        assert str(Seq(pair.source).translate(cds=True)) == pair.target == translate(pair.source)
    assert {letter for pair in pairs for letter in pair.target} == set(CODONS) - {"*"}


@pytest.mark.parametrize("seed", [0, 7])
def test_same_seed_same_pairs_and_more_begin_alike(seed: int) -> None:
    few, many = list(coding_pairs(3, 5, 9, seed)), list(coding_pairs(6, 5, 9, seed))
    assert few == many[:3]
    assert [pair.source for pair in few] != [pair.source for pair in coding_pairs(3, 5, 9, seed + 1)]

"""The account of a preparation, its summary and its exports."""

import json

import numpy as np
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.proteins.prepare import export_fastas, parse_exports
from biorrn.sequences.alphabets import RESIDUES, THREE, tokens
from biorrn.sequences.fasta import read_fasta
from biorrn.sequences.prepared.files import protein_writer, signal_writer
from biorrn.sequences.prepared.schema import KINDS
from biorrn.sequences.prepared.summary import account, lines, protein_summary, signal_summary, write_account
from biorrn.tagging.prepare import tag_writer
from biorrn.translation.data import pair_writer

PROTEINS = [("MKV", 1.0, 0), ("AAAA", np.nan, 0), ("W", 3.0, 1)]


def write(path, kind):
    if kind == "protein":
        with protein_writer(path, [{"name": "tm", "unit": ""}]) as writer:
            for i, (text, target, code) in enumerate(PROTEINS):
                writer.add(f"p{i}", tokens(text), (target,), 2.0, code)
    elif kind == "tags":
        with tag_writer(path, RESIDUES, THREE) as writer:
            for i, (text, _, code) in enumerate(PROTEINS):
                writer.add(f"p{i}", tokens(text), tokens(text) % 3, code)
    elif kind == "pairs":
        with pair_writer(path, "residues", "residues") as writer:
            for i, (text, _, code) in enumerate(PROTEINS):
                writer.add(f"p{i}", tokens(text), tokens(text), code)
    else:
        with signal_writer(path, "medmad", 4000.0, "truth") as writer:
            writer.add("r1", np.zeros(50), np.array([1, 1, 4]), np.array([0, 10, 30]), 0, "chr1", 0, 3, "+")
            writer.add("r1", np.zeros(200), np.array([2, 3]), np.array([0, 100]), 1, "chr1", 5, 7, "-")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_an_account_goes_through_json(tmp_path, kind):
    path = write(tmp_path / "f.h5", kind)
    content = account(path, {"kept": 3, "dropped: nothing": 0}, "made up")
    write_account(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text()) == content
    assert (content["kind"], content["note"], content["counts"]) == (kind, "made up", {"kept": 3})
    assert set(content["splits"]) == {"train", "valid"}
    text = "\n".join(lines(content))
    assert "train: " in text
    assert "leakage, valid" in text
    assert "leakage, test" not in text


def test_values_that_contradict_one_another_are_in_the_account(tmp_path):
    rows = [(f"p{k}", "MKV" + "ACDEFGHIKL"[k % 10], k % 10 + 0.01 * (k > 9)) for k in range(20)]
    rows[13] = (*rows[13][:2], 30.0)
    with protein_writer(tmp_path / "f.h5", [{"name": "tm", "unit": ""}]) as writer:
        for name, text, value in rows:
            writer.add(name, tokens(text), (value,), 1.0, 0)
    content = account(tmp_path / "f.h5", {})
    (line,) = content["repeats"]
    assert line.startswith("tm: 1 of 10 proteins that were measured several times")
    assert "worst p3 and p13: 3 and 30" in line
    assert f"  {line}" in lines(content)


def test_protein_numbers(tmp_path):
    summary = protein_summary(write(tmp_path / "f.h5", "protein"))
    assert summary["splits"]["train"] == {
        "proteins": 2,
        "residues": 7,
        "shortest_length": 3,
        "median_length": 3.5,
        "longest_length": 4,
        "sum_of_weights": 4.0,
    }
    assert summary["composition"]["train"]["A"] == pytest.approx(4 / 7)
    assert summary["composition"]["valid"]["W"] == 1
    assert summary["targets"]["tm"]["statistics"]["train"]["n"] == 1
    assert summary["targets"]["tm"]["statistics"]["train"]["missing"] == 1
    assert summary["targets"]["tm"]["statistics"]["valid"]["mean"] == 3
    assert sum(summary["lengths"]["train"]["counts"]) == 2
    assert sum(summary["targets"]["tm"]["histograms"]["train"]["counts"]) == 1


def test_signal_numbers(tmp_path):
    summary = signal_summary(write(tmp_path / "f.h5", "signal"))
    train = summary["splits"]["train"]
    assert (train["segments"], train["reads"], train["samples"], train["bases"]) == (1, 1, 50, 3)
    assert train["samples_a_base"] == pytest.approx(50 / 3)
    assert train["seconds"] == pytest.approx(50 / 4000)
    assert summary["composition"]["train"] == {"A": pytest.approx(2 / 3), "C": 0, "G": 0, "T": pytest.approx(1 / 3)}
    dwell = summary["samples_a_base"]
    assert [i + 1 for i, n in enumerate(dwell["train"]["counts"]) for _ in range(n)] == [10, 20, 20]
    assert dwell["valid"]["counts"][-1] == 2  # 100 samples each: counted in the last bin
    assert len(dwell["train"]["edges"]) == len(dwell["train"]["counts"]) + 1


def test_an_export_reads_back(tmp_path):
    path = write(tmp_path / "f.h5", "protein")
    export_fastas(path, parse_exports([f"train={tmp_path}/t.fasta", f"valid={tmp_path}/v.fasta.gz"]))
    found = [(record.id, record.sequence) for record in read_fasta(tmp_path / "t.fasta")]
    assert found == [("p0", "MKV"), ("p1", "AAAA")]
    assert [record.sequence for record in read_fasta(tmp_path / "v.fasta.gz")] == ["W"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["valid"], "found 'valid'; allowed is SPLIT=PATH"),
        (["valid="], "allowed is SPLIT=PATH"),
        (["vald=a.fa"], "split 'vald' is unknown; did you mean 'valid'"),
        (["valid=a.fa", "valid=b.fa"], "split 'valid' is given twice"),
    ],
)
def test_a_bad_export_is_one_clear_line(texts, message):
    with pytest.raises(ConfigError, match=message):
        parse_exports(texts)


def test_an_empty_split_is_not_exported(tmp_path):
    with pytest.raises(InputError, match="split 'test' is empty"):
        export_fastas(write(tmp_path / "f.h5", "protein"), parse_exports([f"test={tmp_path}/t.fasta"]))

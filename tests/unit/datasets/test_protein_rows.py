"""Proteins from tables and from FASTA joined with a table."""

from collections import Counter

import numpy as np
import pytest

from biorrn.datasets.protein_rows import is_fasta, protein_rows
from biorrn.errors import ConfigError, InputError

TABLE = "id,sequence,tm,w,set\na,MKV,1.5,2,train\nb,acd,,1,valid\na,WWW,3,1,test\n"


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def rows(path, targets=("tm",), **options):
    counts = Counter()
    return list(protein_rows(path, targets, counts, **options)), counts


def test_a_table_gives_its_rows(tmp_path):
    found, counts = rows(write(tmp_path, "t.csv", TABLE), weight_column="w", split_column="set")
    assert [row.id for row in found] == ["a", "b", "a#2"]
    assert [row.sequence for row in found] == ["MKV", "ACD", "WWW"]
    assert np.array_equal([row.targets[0] for row in found], [1.5, np.nan, 3], equal_nan=True)
    assert [row.weight for row in found] == [2, 1, 1]
    assert [row.split for row in found] == ["train", "valid", "test"]
    assert counts == {"renamed: id came before": 1}


def test_ids_are_made_different_whatever_they_are(tmp_path):
    text = "id,sequence,tm\n" + "".join(f"{name},ACD,1\n" for name in ["a", "a#2", "a", "a", "a#2"])
    found, counts = rows(write(tmp_path, "t.csv", text))
    names = [row.id for row in found]
    assert len(set(names)) == 5
    assert names[:2] == ["a", "a#2"]
    assert counts["renamed: id came before"] == 3


def test_a_table_without_ids_is_numbered(tmp_path):
    path = write(tmp_path, "t.tsv", "sequence\ttm\nACD\t1\nWWW\t2\n")
    assert [row.id for row in rows(path)[0]] == ["row1", "row2"]
    with pytest.raises(InputError, match="column 'id' is missing"):
        rows(path, id_column="id")


def test_fasta_is_joined_by_id(tmp_path):
    fasta = write(tmp_path, "p.fasta", ">c odd\nWW\n>a\nMK\nV\n>z\nAAA\n")
    table = write(tmp_path, "t.csv", "id,tm,set\na,1,train\nb,2,train\nc,3,valid\n")
    found, counts = rows(fasta, table=table, split_column="set")
    assert [(row.id, row.sequence, row.targets, row.split) for row in found] == [
        ("c", "WW", (3.0,), "valid"),
        ("a", "MKV", (1.0,), "train"),
    ]
    assert counts == {"dropped: no row in the table": 1, "table rows without a protein": 1}


def test_several_targets(tmp_path):
    path = write(tmp_path, "t.csv", "id,sequence,b,a\nx,ACD,1,2\n")
    assert rows(path, ["a", "b"])[0][0].targets == (2.0, 1.0)


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("a.fa", "", True),
        ("a.fasta.gz", "", True),
        ("a.csv", ">", False),
        ("a.txt", ">a", True),
        ("b.txt", "id", False),
    ],
)
def test_what_is_fasta(tmp_path, name, text, answer):
    assert is_fasta(write(tmp_path, name, text)) is answer


@pytest.mark.parametrize(
    ("targets", "table", "error", "message"),
    [
        ([], None, ConfigError, "--target: found none"),
        (["tm", "tm"], None, ConfigError, "'tm' is given twice"),
        (["tm"], "t.csv", ConfigError, "is for FASTA input"),
        (["mt"], None, InputError, "column 'mt' is missing; did you mean 'tm'"),
        (["set"], None, InputError, "row 1: column 'set': found 'train'; allowed is a finite number"),
    ],
)
def test_bad_choices_of_a_table(tmp_path, targets, table, error, message):
    path = write(tmp_path, "t.csv", TABLE)
    with pytest.raises(error, match=message):
        rows(path, targets, table=table)


def test_bad_choices_of_fasta(tmp_path):
    fasta = write(tmp_path, "p.fasta", ">a\nMKV\n")
    with pytest.raises(ConfigError, match="is FASTA, which holds no values; name their table with --targets"):
        rows(fasta)
    with pytest.raises(InputError, match=r"no id of the FASTA is in column 'id' of .*, which has ids as 'q'"):
        rows(fasta, table=write(tmp_path, "t.csv", "id,tm\nq,1\n"))
    with pytest.raises(InputError, match="record 'a': column 'id': the id is given twice"):
        rows(fasta, table=write(tmp_path, "u.csv", "id,tm\na,1\na,1\n"))

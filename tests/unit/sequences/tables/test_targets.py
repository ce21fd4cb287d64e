"""Tables of measured values: formats, missing cells, and the faults that name their row."""

import gzip
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.records import ProteinRow
from biorrn.sequences.tables.targets import read_targets

CSV = "id,sequence,stability,tm,set,weight\np1,mkvl*,0.5,60,train,1\np2,MKB,-1e-3,,valid,0.5\n"
ALL = {"sequence_column": "sequence", "weight_column": "weight", "split_column": "set"}


def write(path):
    """Write the table `CSV` in the format of a path's suffix."""
    text = CSV if ".csv" in path.suffixes else CSV.replace(",", "\t")
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix in (".parquet", ".pq"):
        columns = list(zip(*(line.split(",") for line in CSV.splitlines()), strict=True))
        table = {name: list(cells) for name, *cells in columns}
        for name in ("stability", "tm", "weight"):
            table[name] = [float(cell) if cell else None for cell in table[name]]
        pq.write_table(pa.table(table), path)
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.tab", "a.csv.gz", "a.tsv.gz", "a.parquet", "a.pq"])
def test_every_format_gives_the_same_rows(name, tmp_path):
    one, two = read_targets(write(tmp_path / name), ["stability", "tm"], **ALL)
    assert one == ProteinRow("p1", "MKVL", (0.5, 60.0), 1.0, "train")
    assert (two.id, two.sequence, two.weight, two.split, two.targets[0]) == ("p2", "MKX", 0.5, "valid", -1e-3)
    assert math.isnan(two.targets[1])


def test_columns_not_asked_for_keep_their_defaults(tmp_path):
    one, _ = read_targets(write(tmp_path / "a.csv"), ["tm"], id_column=None)
    assert one == ProteinRow("row1", "", (60.0,), 1.0, "")


@pytest.mark.parametrize("cell", ["", " ", "NA", "nan", "NaN", "null", "None", "n/a"])
def test_missing_cells(cell, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"id,y\na,{cell}\n")
    assert math.isnan(next(read_targets(path, ["y"])).targets[0])


def test_quotes_and_blank_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,y,note\n"a,b",1,"said ""so"""\n\nc,2,\n')
    assert [(row.id, row.targets[0]) for row in read_targets(path, ["y"])] == [("a,b", 1.0), ("c", 2.0)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "the table is empty"),
        ("id,y\n", {}, "the table has no rows"),
        (
            "id,stabilty\na,1\n",
            {"target_columns": ["stability"]},
            "column 'stability' is missing; did you mean 'stabilty'?",
        ),
        ("id:y\na:1\n", {}, "column 'y' is missing. Columns: id:y"),
        ("name,y\na,1\n", {}, "column 'id' is missing"),
        ("id,y,y\na,1,2\n", {}, "column 'y' is given twice"),
        ("id,y\na,1\nb,high\n", {}, "row 2: column 'y': found 'high'; allowed is a finite number"),
        ("id,y\na,inf\n", {}, "row 1: column 'y': found 'inf'"),
        ("id,y\na,1_000\n", {}, "row 1: column 'y': found '1_000'"),
        ("id,y\na,1\nb\n", {}, "row 2 has 1 cells; the header names 2 columns"),
        ("id,y\n ,1\n", {}, "row 1: column 'id' is empty"),
        ("id,y,w\na,1,-2\n", {"weight_column": "w"}, "row 1: column 'w': found -2; allowed is a number of 0 or more"),
        ("id,y,w\na,1,\n", {"weight_column": "w"}, "row 1: column 'w': found nan"),
        ("id,y,s\na,1,M1\n", {"sequence_column": "s"}, "record 'a': residue '1' at position 2"),
    ],
)
def test_bad_tables_are_one_line(text, options, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        list(read_targets(path, **{"target_columns": ["y"], **options}))
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_faults_of_parquet_are_one_line(tmp_path):
    path = write(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="column 'stabilit' is missing; did you mean 'stability'"):
        list(read_targets(path, ["stabilit"]))
    with pytest.raises(InputError, match="row 1: column 'set': found 'train'"):
        list(read_targets(path, ["set"]))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"^[^\n]*a\.parquet: damaged: [^\n]*$"):
        list(read_targets(path, ["stability"]))
    with pytest.raises(InputError, match="No such file"):
        list(read_targets(tmp_path / "b.parquet", ["stability"]))


def test_asking_for_nothing_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="name at least one target column"):
        list(read_targets(write(tmp_path / "a.csv"), [], id_column=None))


def test_rows_before_a_fault_are_yielded(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,y\na,1\nb,x\n")
    rows = read_targets(path, ["y"])
    assert next(rows).id == "a"
    with pytest.raises(InputError, match="row 2"):
        next(rows)

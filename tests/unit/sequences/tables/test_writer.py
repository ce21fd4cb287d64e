"""Scans and attributions are the same table in every format."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biorrn.base.errors import ConfigError
from biorrn.proteins.explain.attribution import Attribution, attributions_table
from biorrn.proteins.predicted import Prediction
from biorrn.proteins.scan import Effect, Mutant, effects_table
from biorrn.sequences.tables.writer import FORMATS, open_table

WILD = Effect(None, Prediction("p\tq", np.array([1.0, 2.0]), 3), np.zeros(2))


def effect(mutation: str, position: str, **more: np.ndarray) -> Effect:
    values = np.array([1.23456789, -0.5])
    mutant = Mutant(position, "A", "G", mutation, "MGK")
    return Effect(mutant, Prediction("p\tq", values, 3, ["a", "b"], **more), values - WILD.prediction.values)


def read(path: Path) -> pd.DataFrame:
    if path.suffix in (".parquet", ".pq"):
        return pd.read_parquet(path)
    if path.suffix == ".xlsx":
        return pd.read_excel(path)
    return pd.read_csv(path, sep="," if ".csv" in path.name else "\t")


@pytest.mark.parametrize("suffix", [*FORMATS, ".csv.gz", ".tsv.gz", ".txt"])
def test_every_format_holds_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    with effects_table(path, ["x", "y"]) as write:
        write(WILD)
        write(effect("A2G", "2"))
    table = read(path)
    assert list(table) == (
        ["id", "position", "wild_type", "mutant", "mutation", "x", "x_difference", "y", "y_difference", "flags"]
    )
    assert len(table) == 1
    assert table["position"].tolist() == [2]
    assert table["flags"].tolist() == ["a,b"]
    assert table["x"].tolist() == pytest.approx([1.2346], abs=1e-4)
    assert table["y_difference"].tolist() == pytest.approx([-2.5])
    if "csv" in suffix or "p" in suffix:
        assert table["id"].tolist() == ["p\tq"]  # a table of tabs has a space there
    assert [made.name for made in tmp_path.iterdir()] == [path.name]


def test_text_is_the_same_bytes_and_quoted_where_needed(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        with open_table(tmp_path / name, {"id": str, "n": int, "x": float}) as write:
            write(['a,"b', 3, 0.1234567])
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    with gzip.open(tmp_path / "a.csv.gz", "rt", newline="") as stream:
        assert list(csv.reader(stream)) == [["id", "n", "x"], ['a,"b', "3", "0.12346"]]


def test_intervals_have_columns_where_they_are(tmp_path: Path) -> None:
    ends = {"lower": np.array([0.0, 1.0]), "upper": np.array([2.0, 3.0]), "spread": np.array([0.5, 0.6])}
    with effects_table(tmp_path / "scan.tsv", ["x", "y"], position=str) as write:
        write(Effect(None, effect("A2G", "2", **ends).prediction, np.zeros(2)))
        write(effect("A2G:K3R", "2:3", **ends))
    table = read(tmp_path / "scan.tsv")
    assert list(table)[5:11] == ["x", "x_difference", "x_lower", "x_upper", "x_spread", "y"]
    assert table["position"].tolist() == ["2:3"]
    assert table["y_upper"].tolist() == [3.0]


@pytest.mark.parametrize("spread", [None, np.full((3, 2), 0.5)])
@pytest.mark.parametrize("attention", [None, np.array([0.2, 0.3, 0.5])])
def test_attributions(tmp_path: Path, spread: np.ndarray | None, attention: np.ndarray | None) -> None:
    scores = np.arange(6.0).reshape(3, 2)
    found = Attribution("p", "MAK", "gradients", np.ones(2), np.zeros(2), scores, spread, attention)
    with attributions_table(tmp_path / "e.parquet", ["x", "y"], offset=10) as write:
        write(found)
    table = read(tmp_path / "e.parquet")
    assert table["position"].tolist() == [11, 12, 13]
    assert "".join(table["residue"]) == "MAK"
    assert table["y_attribution"].tolist() == [1.0, 3.0, 5.0]
    assert ("x_spread" in table) == (spread is not None)
    assert ("attention" in table) == (attention is not None)


def broken_off(path: Path) -> None:
    with effects_table(path, ["x", "y"]) as write:
        write(WILD)
        raise ZeroDivisionError


def test_a_fault_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        broken_off(tmp_path / "scan.tsv")
    with pytest.raises(ConfigError, match="parquet is packed in itself"), open_table(tmp_path / "a.parquet.gz", {}):
        pass
    assert not list(tmp_path.iterdir())


def test_long_parquet_is_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from biorrn.sequences.tables import writer as tables

    monkeypatch.setattr(tables, "ROWS", 4)
    with open_table(tmp_path / "a.parquet", {"n": int}) as write:
        for number in range(10):
            write([number])
    assert read(tmp_path / "a.parquet")["n"].tolist() == list(range(10))

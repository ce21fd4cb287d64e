"""The table and the figure of `biorrn cells`, scores that are no numbers among them."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from biorrn.experiments.cell_comparison import (
    COLUMNS,
    CellRow,
    best_first,
    cells_figure,
    table_lines,
    write_json,
    write_table,
)
from biorrn.stats.figures import as_bytes

ROW = CellRow("stability", "lstm", "spearman", 0.5, "test", 20, 900, 1000, 1234.5, 1.25, 60.0, False)
ROWS = [
    ROW,
    replace(ROW, cell="rnn", score=float("nan"), stopped=True),
    replace(ROW, cell="gru", score=0.75),
    replace(ROW, task="synthetic", metric="r2", cell="rnn", score=-3.0),
]


def test_table_is_read_back(tmp_path: Path) -> None:
    write_table(tmp_path / "t.tsv", ROWS)
    with open(tmp_path / "t.tsv") as stream:
        read = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["cell"] for row in read] == ["lstm", "rnn", "gru", "rnn"]
    assert tuple(read[0]) == COLUMNS
    assert float(read[2]["score"]) == 0.75
    write_json(tmp_path / "t.json", ROWS, {"budget": 900})
    content = json.loads((tmp_path / "t.json").read_text())
    assert content["settings"] == {"budget": 900}
    assert CellRow(**content["rows"][0]) == ROW
    assert content["rows"][1]["score"] is None


def test_best_comes_first_and_what_broke_last() -> None:
    assert [row.cell for row in best_first(ROWS, "stability")] == ["gru", "lstm", "rnn"]
    lines = table_lines(ROWS)
    assert lines[0] == "stability (test)"
    assert [line.split()[0] for line in lines[2:5]] == ["gru", "lstm", "rnn"]
    assert lines[4].endswith("stopped by the time limit")
    assert lines[6] == "synthetic (test)"


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[1:2], ROWS[3:]])
def test_figure_can_be_drawn(rows: list[CellRow]) -> None:
    assert as_bytes(cells_figure(rows).figure, "png").startswith(b"\x89PNG")

"""`experiments.cell_comparison`: budgets, synthetic tasks, what is measured, and results that are taken up again."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Core
from biorrn.experiments.cell_comparison import (
    COLUMNS,
    RECIPES,
    CellRow,
    LongMemory,
    best_first,
    cells_figure,
    compare_cells,
    kept_for_backward,
    size_core,
    table_lines,
    write_json,
    write_table,
)
from biorrn.experiments.long_memory import COPIED, SYMBOLS, SYNTHETIC, Recall, Settings
from biorrn.nn.cells import CELLS, Stack
from biorrn.stats.figures import as_bytes

OPTIONS = {"max_minutes": None, "seed": 0, "device": "cpu", "threads": 1, "changes": [], "replace": False}


def problem(kind: str = "adding", length: int = 8, steps: int = 2, **options: object) -> LongMemory:
    return LongMemory(kind, length, Settings(steps=steps, batch_size=8), {**OPTIONS, **options})


def learned(module: nn.Module) -> int:
    return sum(part.numel() for part in module.parameters())


@pytest.mark.parametrize("cell", list(CELLS))
@given(inputs=st.integers(1, 60), budget=st.integers(1500, 60_000), both=st.booleans(), layers=st.integers(1, 2))
@example(inputs=1, budget=16384, both=False, layers=1)  # 4096 units of minGRU, no parameter to spare
@settings(max_examples=5, deadline=None)
def test_core_has_the_most_units_within_its_budget(
    cell: str, inputs: int, budget: int, both: bool, layers: int
) -> None:
    base = Core(layers=layers, direction="bidirectional" if both else "forward")
    core, size = size_core(base, cell, inputs, budget)
    assert (core.cell, core.layers, core.direction) == (cell, base.layers, base.direction)
    assert learned(Stack(inputs, core)) == size <= budget
    assert learned(Stack(inputs, core.model_copy(update={"hidden": core.hidden + 1}))) > budget


def test_budget_below_one_unit_is_an_error() -> None:
    with pytest.raises(ConfigError, match="--budget: found 5; cell lstm with one unit has"):
        size_core(Core(), "lstm", 10, 5)


@pytest.mark.parametrize("name", list(SYNTHETIC))
@pytest.mark.parametrize("length", [2, 31])
def test_a_perfect_answer_scores_one(name: str, length: int) -> None:
    task = SYNTHETIC[name]
    x, targets = task.make(200, length, torch.Generator().manual_seed(0))
    assert x.shape[0] == 200
    assert x.shape[2] == task.inputs
    perfect = torch.zeros(200, x.shape[1], task.outputs)
    if name == "adding":
        perfect[:, -1, 0] = (x[:, :, 0] * x[:, :, 1]).sum(1)
        assert (x[:, :, 1].sum(1) == 2).all()
        mean = torch.full_like(perfect, float(targets.mean()))
        assert task.score(mean, targets) == pytest.approx(0, abs=1e-5)
    else:
        perfect[:, -COPIED:] = 100.0 * x[:, :COPIED, :SYMBOLS]
        assert (x[:, -COPIED - 1].argmax(1) == SYMBOLS + 1).all()
        assert 0.05 < task.score(torch.zeros_like(perfect), targets) < 0.25  # one symbol in eight
    assert task.score(perfect, targets) == pytest.approx(1, abs=1e-5)
    assert float(task.loss(perfect, targets)) == pytest.approx(0, abs=1e-5)


def test_batches_are_those_of_their_seed() -> None:
    first, second, other = (SYNTHETIC["adding"].make(4, 9, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_it_can_learn_a_short_sum(tmp_path: Path) -> None:
    task = LongMemory("adding", 4, Settings(steps=300, batch_size=64, lr=1e-2), OPTIONS)
    found = task.run(Core(cell="gru_simple", hidden=24, layers=1, direction="forward"), tmp_path)
    assert found["score"] > 0.9


def test_memory_grows_with_the_steps_and_leaves_weights_out() -> None:
    model = Recall(3, 2, Core(cell="mut2", hidden=16, layers=1, direction="forward"))

    def bytes_of(steps: int) -> int:
        x, lengths = torch.randn(4, steps, 3), torch.full((4,), steps)
        return kept_for_backward(lambda: model(x, lengths).sum().backward())

    assert bytes_of(40) > 1.5 * bytes_of(20) > 0
    weight = nn.Parameter(torch.randn(1000, 10))
    x = torch.randn(1, 10)
    assert kept_for_backward(lambda: (x @ weight.T).sum().backward()) <= 40 + 4000


def test_a_finished_cell_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compare_cells([problem()], ["rnn", "mingru"], tmp_path, 300)
    assert [(row.cell, row.task) for row in first] == [("rnn", "synthetic"), ("mingru", "synthetic")]
    assert all(row.core_parameters <= 300 and row.steps_per_second > 0 and row.memory_mb > 0 for row in first)
    trained: list[str] = []
    own = LongMemory.run

    def run(self: LongMemory, core: Core, folder: Path) -> dict[str, object]:
        trained.append(core.cell)
        return own(self, core, folder)

    monkeypatch.setattr(LongMemory, "run", run)
    assert compare_cells([problem()], ["rnn", "mingru"], tmp_path, 300) == first
    assert not trained
    # one cell more: that one alone is trained
    rows = compare_cells([problem()], ["rnn", "irnn", "mingru"], tmp_path, 300)
    assert trained == ["irnn"]
    assert [row.score for row in rows if row.cell != "irnn"] == [row.score for row in first]
    with pytest.raises(ConfigError, match="holds a result with another length"):
        compare_cells([problem(length=9)], ["rnn"], tmp_path, 300)
    assert compare_cells([problem(length=9)], ["rnn"], tmp_path, 300, replace=True)[0].split == "adding, length 9"


def test_the_time_limit_ends_a_training_and_says_so(tmp_path: Path) -> None:
    row = compare_cells([problem(steps=10**6, max_minutes=1e-9)], ["rnn"], tmp_path, 300)[0]
    assert row.stopped


def test_a_length_too_short_is_an_error() -> None:
    with pytest.raises(ConfigError, match="--length: found 1; allowed for adding is 2 or more"):
        problem(length=1)


def test_all_cells_share_all_but_the_cell() -> None:
    assert all("cell" not in recipe["model"]["core"] for recipe in RECIPES.values())


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

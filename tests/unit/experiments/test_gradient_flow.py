"""How far a gradient reaches: exact where theory says so, and the same for every cell, stack and window."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import parse_recipe
from biorrn.experiments.gradient_flow import (
    HALF,
    HUNDREDTH,
    INITS,
    Curve,
    Reach,
    cell_curves,
    curve_lines,
    first_recipe,
    flow_figure,
    fresh,
    last_steps,
    loudest,
    model_curves,
    passes,
    prepared_steps,
    random_steps,
    reach,
    set_recurrent,
    share,
    write_curves,
)
from biorrn.nn.cells import CELLS
from biorrn.nn.store import load_model, save_model
from biorrn.proteins import task as regression

STEPS = 12


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_a_scaled_identity_multiplies_by_its_scale_each_step(factor: float) -> None:
    """The states of a ReLU network that stays above zero: d h_T / d h_t is the matrix to the power of T - t."""
    (cell,) = fresh("irnn", 3, 5, 1, seed=0)
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            weight.copy_(
                factor * torch.eye(5, dtype=weight.dtype) if name == "weight_hh_l0" else torch.full_like(weight, 0.1)
            )
    found = reach([cell], torch.rand(4, STEPS, 3, generator=seeded(), dtype=torch.float64), seeded())
    np.testing.assert_allclose(found.norms, factor ** np.arange(STEPS), rtol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_by_small_changes_of_its_state(name: str) -> None:
    """The norm is that of the derivative: the state at each step is changed a little, each number by itself."""
    (cell,) = fresh(name, 3, 4, 1, seed=1)
    x = torch.rand(1, 5, 3, generator=seeded(), dtype=torch.float64)
    found = reach([cell], x, seeded(7))
    readout = torch.randn(1, 4, generator=seeded(7), dtype=torch.float64)
    readout = readout / readout.norm()
    assert found.norms[0] == pytest.approx(1.0)
    for back in (1, 3):
        with torch.no_grad():
            _, state = cell(x[:, : 5 - back])
            parts = state if isinstance(state, tuple) else (state,)
            slopes = []
            for number, part in enumerate(parts):
                for place in range(part.numel()):
                    ends = []
                    for change in (1e-6, -1e-6):
                        moved = [one.clone() for one in parts]
                        moved[number].view(-1)[place] += change
                        ends.append(
                            (
                                cell(x[:, 5 - back :], tuple(moved) if len(moved) > 1 else moved[0])[0][:, -1] * readout
                            ).sum()
                        )
                    slopes.append(float(ends[0] - ends[1]) / 2e-6)
        assert found.norms[back] == pytest.approx(float(np.linalg.norm(slopes)), rel=1e-5)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_window_with_the_state_before_it_is_the_end_of_the_whole(name: str) -> None:
    (cell,) = fresh(name, 3, 4, 1, seed=0)
    x, lengths = torch.rand(2, STEPS, 3, generator=seeded(), dtype=torch.float64), torch.tensor([STEPS, 7])
    last, state = last_steps(cell, x, lengths, 5)
    assert last.shape == (2, 5, 3)
    for row, length in enumerate(lengths.tolist()):
        own = tuple(part[:, row : row + 1] for part in state) if isinstance(state, tuple) else state[:, row : row + 1]
        window = reach([cell], last[row : row + 1], seeded(), state=own)
        whole = reach([cell], x[row : row + 1, :length], seeded())
        np.testing.assert_allclose(window.norms, whole.norms[:5], rtol=1e-9)


def test_a_skip_connection_leads_around_a_layer_that_lets_nothing_through() -> None:
    cells = fresh("gru", 4, 4, 2, seed=0)
    with torch.no_grad():
        for weight in cells[1].parameters():
            weight.zero_()
    x = random_steps(2, STEPS, seeded())[:, :, :4]
    assert reach(cells, x, seeded()).norms.max() == 0
    assert reach(cells, x, seeded(), skip=True).norms[0] == pytest.approx(1.0)


def test_clipping_scales_and_lengthens_nothing() -> None:
    runs = tuple(Reach(norms, 50.0) for norms in (1.1 ** np.arange(STEPS), 0.5 ** np.arange(STEPS)))
    for run in runs:
        curve = Curve("", "", (run,))
        ratio = curve.norms(2.0) / curve.norms()
        np.testing.assert_allclose(ratio, share(run, 2.0))
        assert share(run, 2.0) == pytest.approx(0.04)
        assert share(run, 60.0) == share(run, math.inf) == 1.0
    assert share(Reach(np.zeros(2), 0.0), 1.0) == 1.0


def test_half_length() -> None:
    falling, growing = (Curve("", "", (Reach(base ** np.arange(20.0), 1.0),)) for base in (0.5, 2.0))
    assert (falling.steps(HALF), falling.steps(HUNDREDTH)) == (1, 7)
    assert (growing.steps(HALF), growing.steps(HUNDREDTH)) == (None, None)
    assert falling.rate == pytest.approx(0.5)
    assert "> 19" in curve_lines([growing], 1.0)[1]


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("name", ["lstm", "mingru"])
def test_first_matrices(name: str, init: str) -> None:
    (cell,) = fresh(name, 3, 4, 1, seed=0)
    before = {key: weight.detach().clone() for key, weight in cell.named_parameters()}
    there = set_recurrent(cell, init)
    assert there == (name != "mingru")  # whose next state is no product with a matrix
    for key, weight in cell.named_parameters():
        if not key.startswith("weight_hh"):
            assert torch.equal(weight, before[key])
            continue
        for gate, old in zip(weight.split(4), before[key].split(4), strict=True):
            if init == "identity":
                assert torch.equal(gate, torch.eye(4, dtype=gate.dtype))
            elif init == "orthogonal":
                torch.testing.assert_close(gate @ gate.T, torch.eye(4, dtype=gate.dtype))
            else:
                torch.testing.assert_close(gate, old * {"default": 1.0, "small": 0.5, "large": 1.5}[init])


def test_inputs_from_prepared_files(tiny_proteins: Path, tiny_signal: Path, tmp_path: Path) -> None:
    residues = prepared_steps(tiny_proteins, 4, 20, seeded())
    assert residues.shape == (4, 20, 20)
    assert bool((residues.sum(-1) == 1).all())
    signal = prepared_steps(tiny_signal, 9, 50, seeded())
    assert signal.shape == (6, 50, 1)
    longest = prepared_steps(tiny_proteins, 60, 1000, seeded())
    assert longest.shape[0] == 60
    assert 12 <= longest.shape[1] < 30  # what all of them reach
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match=r"text\.h5"):
        prepared_steps(tmp_path / "text.h5", 4, 20, seeded())


def test_table_figure_and_progress_of_all_cells(tmp_path: Path) -> None:
    done: list[int] = []
    inits = ["default", "identity", "large"]
    curves = cell_curves(list(CELLS), length=STEPS, hidden=4, seeds=2, layers=2, inits=inits, advance=done.append)
    assert sum(done) == passes(list(CELLS), inits, 2, 2)
    panels = [*inits, "2 layers", "2 layers, skip connections"]
    assert list(dict.fromkeys(curve.panel for curve in curves)) == panels
    assert {curve.name for curve in curves if curve.panel == "default"} == set(CELLS)
    assert all(np.isfinite(curve.norms()).all() for curve in curves)
    write_curves(tmp_path / "flow.tsv", curves, 0.01)
    with open(tmp_path / "flow.tsv") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len(rows) == len(curves) * 2 * STEPS
    assert all(float(row["clipped_norm"]) <= float(row["norm"]) for row in rows)
    drawing = flow_figure(curves, 0.01)
    shown = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert len(shown) == len(panels) + 1  # the loudest once more, clipped
    assert "0.01" in drawing.caption
    assert loudest(curves, math.inf) is None
    assert len([axes for axes in flow_figure(curves, 1e9).figure.axes if axes.get_visible()]) == len(panels)


def test_layers_of_a_model_trained_and_untrained(tiny_proteins: Path, tmp_path: Path) -> None:
    content = {
        "name": "tiny",
        "task": "regression",
        "model": {
            "frontend": {"name": "embedding", "width": 4},
            "core": {"cell": "gru", "hidden": 4, "layers": 2, "direction": "alternating"},
            "pool": ["mean"],
        },
    }
    recipe = parse_recipe(content)
    data = regression.open_data(tiny_proteins, recipe)
    model = regression.make_model(recipe, data)
    with torch.no_grad():
        for layer in model.core.layers:  # so that the trained one forgets at once
            for cell in layer.cells:
                for weight in cell.parameters():
                    weight.zero_()
    save_model(tmp_path / "model", model, recipe, data.facts)
    stored = load_model(tmp_path / "model")
    assert first_recipe(stored) == recipe
    curves = model_curves(stored, data.valid(), length=10, seeds=2)
    assert [(curve.panel, curve.name) for curve in curves] == [
        (panel, name) for panel in ("trained", "untrained") for name in ("gru 1 backward", "gru 2 forward")
    ]
    for curve in curves:
        assert curve.norms().shape == (10,)
        assert curve.norms()[0] == pytest.approx(1.0)
        if curve.panel == "trained":  # with all weights zero half of the state is kept
            np.testing.assert_allclose(curve.norms(), 0.5 ** np.arange(10), rtol=1e-9)
    assert not np.allclose(curves[2].norms(), curves[0].norms())
    assert all(isinstance(part, nn.Module) and not part._forward_pre_hooks for part in stored.model.modules())
    with pytest.raises(ConfigError, match="--length: found 1"):
        model_curves(stored, data.valid(), length=1, seeds=1)

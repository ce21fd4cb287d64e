"""Figures of scans and explanations: each mutant in its cell, each protein in its file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.proteins import landscape as figures_scan
from biorrn.proteins import landscape as module
from biorrn.proteins.explain import attribution as figures_attribution
from biorrn.proteins.explain.attribution import Attribution, explanation, explanations
from biorrn.proteins.landscape import GROUPS, ROWS, Landscape, Landscapes, heat_map, heat_maps
from biorrn.proteins.predicted import Prediction
from biorrn.proteins.scan import Effect, Plan
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.variants import STANDARD
from biorrn.stats.figures import figure_files

TARGETS = [{"name": "a", "unit": "kcal/mol"}, {"name": "b", "unit": ""}]


def effects(record: ProteinRecord, plan: Plan) -> list[Effect]:
    """Return a scan whose change is the number of the position, for `b` negative."""
    made = [Effect(None, Prediction(record.id, np.array([1.0, 2.0]), len(record.sequence)), np.zeros(2))]
    for mutant in plan.mutants(record):
        change = float(mutant.position.split(":")[0]) * np.array([1.0, -1.0])
        made.append(Effect(mutant, Prediction(record.id, 1.0 + change, len(record.sequence)), change))
    return made


def landscapes(plan: Plan, sequence: str = "MAKGW") -> list[Landscape]:
    gathered = Landscapes(TARGETS)
    for effect in effects(ProteinRecord("p", sequence), plan):
        assert gathered.add(effect) == []
    return gathered.flush()


def test_groups_hold_each_residue_once() -> None:
    assert sorted("".join(GROUPS.values())) == sorted(STANDARD)


def test_each_mutant_has_its_cell() -> None:
    first, second = landscapes(Plan(deletions=True, insertions=True, offset=10))
    assert first.rows == ROWS
    assert first.numbers == [11, 12, 13, 14, 15]
    assert first.wild_type == "MAKGW"
    for row, name in enumerate(first.rows):
        for column, number in enumerate(first.numbers):
            empty = name == first.wild_type[column] or (name == "ins" and column == 0)
            assert np.isnan(first.change[row, column]) if empty else first.change[row, column] == number
    np.testing.assert_array_equal(first.mean, first.numbers)
    np.testing.assert_array_equal(second.change, -first.change)


def test_positions_left_out_and_rows_without_mutants() -> None:
    found = landscapes(Plan(spans=((2, 2), (5, 5))))[0]
    assert found.numbers == [2, 5]
    assert found.rows == ROWS[:20]
    listed = landscapes(Plan(variants="A2G,K3R:W5F,M1_A2del,K3delinsGG"))[0]  # the last three have no cell
    assert listed.numbers == [2]
    assert np.isfinite(listed.change).sum() == 1


def test_what_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BiorrnError, match="--figure: record 'p': no mutant of a single residue"):
        landscapes(Plan(variants="A2G:K3R"))
    monkeypatch.setattr(module, "LONGEST", 4)
    with pytest.raises(BiorrnError, match="more than 4 positions, the most of a figure; choose some with --positions"):
        landscapes(Plan())


@pytest.mark.parametrize("length", [1, 8, 9, 17])
def test_long_proteins_are_wrapped(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_scan, "BLOCK", 8)
    found = landscapes(Plan(), ("MAKGWLEXDY" * 20)[:length])[0]
    figure = heat_map(found)
    drawn = [axes for axes in figure.axes if len(axes.get_yticks()) == 20]
    assert len(drawn) == -(-length // 8)
    letters = "".join(label.get_text()[0] for axes in drawn for label in axes.get_xticklabels())
    assert letters == found.wild_type
    assert figure.get_figwidth() < 12


def test_no_change_at_all_is_drawn(tmp_path: Path) -> None:
    with heat_maps(tmp_path / "flat.png", TARGETS[:1]) as add:
        for effect in effects(ProteinRecord("p", "MA"), Plan()):
            add(Effect(effect.mutant, effect.prediction, np.zeros(1)))
    assert (tmp_path / "flat.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("path", "proteins", "targets", "names"),
    [
        ("f.svg", ["p"], 1, ["f.svg"]),
        ("f.svg", ["p"], 2, ["f_a.svg", "f_b.svg"]),
        ("f.png", ["p", "q/1", "q 1"], 1, ["f_p.png", "f_q_1.png", "f_q_1_2.png"]),
        ("new/", ["p"], 1, ["new/p.svg"]),
        ("new", ["p", "q"], 2, ["new/p_a.svg", "new/p_b.svg", "new/q_a.svg", "new/q_b.svg"]),
    ],
)
def test_file_names(tmp_path: Path, path: str, proteins: list[str], targets: int, names: list[str]) -> None:
    with figure_files(f"{tmp_path}/{path}", targets) as save:
        for protein in proteins:
            for target in TARGETS[:targets]:
                save(Figure(figsize=(1, 1)), protein, target["name"])
    made = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*")]
    assert sorted(made) == sorted(names)


@pytest.mark.parametrize("draw", [heat_maps, explanations], ids=["scan", "explain"])
def test_an_unknown_format_is_refused_first(draw: Callable, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"--figure: found '.*f\.pdf'; allowed is a name with \.svg or \.png"),
        draw(tmp_path / "f.pdf", TARGETS),
    ):
        raise AssertionError("was not refused")
    with draw(None, TARGETS) as add:
        add(None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
@pytest.mark.parametrize("length", [1, 10, 23])
def test_an_explanation_shows_every_residue(length: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_attribution, "LINE", 10)
    sequence = ("MAKGWLEXDY" * 20)[:length]
    scores = np.linspace(-1, 1, 2 * length).reshape(length, 2)
    baseline = np.zeros(2) if method == "gradients" else np.full(2, np.nan)
    attention = np.full(length, 1 / length) if method == "gradients" else None
    found = Attribution("p$1", sequence, method, np.ones(2), baseline, scores, np.abs(scores) / 4, attention)
    figure = explanation(found, 1, "tm", "°C", offset=5)
    letters = [text.get_text() for axes in figure.axes for text in axes.texts if len(text.get_text()) == 1]
    shown = "".join(letter for letter in letters if letter.isalpha())
    assert shown == sequence
    tracks = 3 if method == "gradients" else 2
    assert len(figure.axes) == tracks * -(-length // 10)
    bars = [patch.get_height() for axes in figure.axes[::tracks] for patch in axes.patches]
    np.testing.assert_allclose(bars, scores[:, 1])


def test_an_explanation_of_a_giant_is_refused() -> None:
    scores = np.zeros((3001, 1))
    found = Attribution("p", "A" * 3001, "gradients", np.ones(1), np.zeros(1), scores)
    with pytest.raises(BiorrnError, match="has 3,001 residues; a figure shows up to 3,000"):
        explanation(found, 0, "tm")

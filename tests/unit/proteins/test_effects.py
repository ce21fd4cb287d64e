"""Effects of substitutions: from the table of the wild type, or antisymmetric; what has none; a scan; intervals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import parse_recipe
from biorrn.nn.facts import targets_of
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, load_model, save_model
from biorrn.proteins import effects
from biorrn.proteins.effects import BETA, checked, differences, effect
from biorrn.proteins.predict import predict, target_names, units_of
from biorrn.proteins.scan import Plan, effects_table, remarks, scan
from biorrn.proteins.uncertainty.extra_intervals import effects as calibrate
from biorrn.sequences.alphabets import STANDARD, tokens
from biorrn.sequences.records import ProteinRecord
from biorrn.tagging.prepare import tag_writer

WILD = "MKVLAWTGHEYRMKVLAWTGHEYRAA"
EFFECT = {"name": "ddg", "unit": "kcal/mol"}


def made(folder: Path, **facts: Any) -> Stored:
    torch.manual_seed(2)
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "tagging",
            "model": {
                "frontend": {"name": "embedding", "width": 6, "layers": [{"width": 8, "kernel": 3}]},
                "core": {"layers": 0},
                "head": {"name": "values"},
            },
        }
    )
    targets = [{"name": letter, "unit": ""} for letter in STANDARD]
    own = {"task": "tagging", "kind": "values", "outputs": 20, "targets": targets, "alphabet": "ACDEFGHIKLMNPQRSTVWYX"}
    save_model(folder, build_model(recipe.network, 20), recipe, own | {"effect": EFFECT} | facts)
    return load_model(folder)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return made(tmp_path_factory.mktemp("effects"), min_length=20, max_length=40)


def table(stored: Stored, sequence: str) -> np.ndarray:
    x = torch.from_numpy(tokens(sequence)).long()[None]
    with torch.inference_mode():
        found = stored.model(x, torch.tensor([len(sequence)]))[0][0].numpy()
    found[np.arange(len(sequence)), tokens(sequence).astype(int) - 1] = 0
    return found


def mutant(*changes: tuple[int, str]) -> str:
    letters = list(WILD)
    for place, letter in changes:
        letters[place] = letter
    return "".join(letters)


def record(sequence: str, wild_type: str = WILD) -> ProteinRecord:
    return ProteinRecord("m", sequence, wild_type=wild_type)


def test_effects_are_those_of_the_table_of_the_wild_type(stored: Stored) -> None:
    own = table(stored, WILD)
    changes = [(3, "A"), (10, "W"), (0, "C")]
    records = [record(WILD), *(record(mutant(change)) for change in changes), record(mutant(*changes))]
    values = [found.values[0] for found in predict(stored, records)]
    singles = [own[place, STANDARD.index(letter)] for place, letter in changes]
    np.testing.assert_allclose(values, [0, *singles, sum(singles)], atol=1e-5)
    for size in (1, 3):
        again = [found.values[0] for found in predict(stored, records, batch_size=size, threads=2)]
        np.testing.assert_allclose(again, values, atol=1e-6)


def test_a_deletion_counts_as_the_substitutions_there_and_beside(stored: Stored) -> None:
    own = table(stored, WILD)
    inside, end, both = (
        WILD[:5] + WILD[6:],
        WILD[1:],
        mutant((10, "W"))[:5] + mutant((10, "W"))[6:],
    )
    found = list(predict(stored, [record(one) for one in (inside, end, both)]))
    wanted = [own[4:7].sum() / 57, own[:2].sum() / 38]
    wanted.append(wanted[0] + own[10, STANDARD.index("W")])
    np.testing.assert_allclose([one.values[0] for one in found], wanted, atol=1e-5)
    assert [one.flags for one in found] == [["deletion"]] * 3
    turned = next(predict(stored, [record(both)], antisymmetric=True)).values[0]
    shorter = table(stored, both)
    share = 1 / (1 + np.exp(-BETA * (shorter[9].sum() - own[10].sum()) / 19))
    there, back = own[10, STANDARD.index("W")], shorter[9, STANDARD.index(WILD[10])]
    assert turned == pytest.approx(wanted[0] + share * there - (1 - share) * back, abs=1e-5)
    named = scan(stored, [ProteinRecord("p", WILD)], Plan(deletions=True))
    lost = {one.mutant.mutation: one.difference[0] for one in named if one.mutant is not None}
    assert lost["W6del"] == pytest.approx(wanted[0], abs=1e-5)


@given(st.text("ACDW", min_size=2, max_size=12), st.data())
def test_a_deletion_is_found_where_the_fewest_substitutions_remain(wild: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(wild) - 1))
    other = data.draw(st.text("ACDW", min_size=len(wild) - 1, max_size=len(wild) - 1))
    for mutant in (wild[:place] + wild[place + 1 :], other):
        one, two = (np.frombuffer(text.encode(), np.uint8) for text in (wild, mutant))
        places, there, gone = differences(one, two)
        assert gone is not None
        rebuilt = wild
        for old, new in zip(places, there, strict=True):
            rebuilt = rebuilt[:old] + mutant[new] + rebuilt[old + 1 :]
        assert rebuilt[:gone] + rebuilt[gone + 1 :] == mutant
        counts = [sum(a != b for a, b in zip(wild[:k] + wild[k + 1 :], mutant, strict=True)) for k in range(len(wild))]
        assert len(places) == min(counts)


def test_the_antisymmetric_effect_changes_its_sign(stored: Stored) -> None:
    other = mutant((3, "A"), (10, "W"))
    there, back, none = (
        found.values[0]
        for found in predict(stored, [record(other), record(WILD, other), record(WILD)], antisymmetric=True)
    )
    assert there == -back != 0
    assert none == 0
    one, two = table(stored, WILD), table(stored, other)
    wanted = 0.0
    for place, letter in ((3, "A"), (10, "W")):
        share = 1 / (1 + np.exp(-BETA * (two[place].sum() - one[place].sum()) / 19))
        wanted += share * one[place, STANDARD.index(letter)] - (1 - share) * two[place, STANDARD.index(WILD[place])]
    assert there == pytest.approx(wanted, rel=1e-5)


def test_where_the_residue_fits_in_one_sequence_alone_its_table_decides() -> None:
    one, other = np.array([1], np.uint8), np.array([2], np.uint8)
    fits, not_at_all = np.full((1, 20), -3.0), np.full((1, 20), 3.0)
    value, changes, deleted = effect(one, other, fits, not_at_all)
    assert (value, changes, deleted) == (pytest.approx(-3, abs=1e-3), 1, False)
    assert effect(one, other, not_at_all, fits)[0] == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (ProteinRecord("m", WILD), "no_wild_type"),
        (record(WILD[:-2]), "no_substitution"),
        (record(WILD + "A"), "no_substitution"),
        (record(WILD, "X" + WILD), "no_substitution"),
        (record("X" + WILD[1:]), "no_substitution"),
        (record("A" + WILD[1:], "X" + WILD[1:]), "no_substitution"),
        (ProteinRecord("m", "", problem="empty"), "empty"),
    ],
)
def test_what_has_no_effect_is_left_out(stored: Stored, one: ProteinRecord, reason: str) -> None:
    fine, found = predict(stored, [record(mutant((3, "A"))), one])
    assert np.isfinite(fine.values).all()
    assert found.flags == ["left_out", reason]
    assert np.isnan(found.values).all()


def test_what_has_no_effect_is_named_once() -> None:
    said: list[InputError] = []
    records = [record(WILD), record(WILD[:-2]), ProteinRecord("lone", WILD), ProteinRecord("bad", "", problem="empty")]
    found = list(checked(records, "table.csv", said.append))
    assert [one.problem for one in found] == ["", "no_substitution", "no_wild_type", "empty"]
    assert [str(one).startswith("table.csv: record '") for one in said] == [True, True]
    assert "has 24 residues, its wild type 26" in str(said[0])
    with pytest.raises(InputError, match="names no wild type"):
        list(checked(records[2:3], "table.csv"))


def test_an_unknown_residue_elsewhere_is_only_flagged(stored: Stored) -> None:
    wild = "X" + WILD[1:]
    found = next(predict(stored, [ProteinRecord("m", mutant((3, "A")).replace("M", "X", 1), wild_type=wild)]))
    assert found.flags == ["unknown_residues"]
    assert np.isfinite(found.values).all()


def test_the_table_of_a_wild_type_is_kept_between_windows(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [one.prediction.values[0] for one in scan(stored, [ProteinRecord("p", WILD)], Plan())]
    monkeypatch.setattr("biorrn.proteins.effects.WINDOW_RESIDUES", 100)
    seen = []
    real = effects.tables
    monkeypatch.setattr("biorrn.proteins.effects.tables", lambda *given: seen.append(given[-1]) or real(*given))
    assert [one.prediction.values[0] for one in scan(stored, [ProteinRecord("p", WILD)], Plan())] == whole
    assert len(seen) < 5  # of more than a hundred windows


def test_antisymmetric_effects_have_no_interval(tmp_path: Path) -> None:
    quantiles = [1.0] * 50
    own = made(tmp_path, conformal={"ddg": {"rows": 50, "floor": None, "quantiles": quantiles}})
    there, both = (next(predict(own, [record(mutant((3, "A")))], antisymmetric=way)) for way in (False, True))
    assert there.lower is not None
    assert there.lower[0] == pytest.approx(there.values[0] - 1)
    assert both.lower is None


def test_lengths_beyond_the_trained_ones_are_flagged(stored: Stored) -> None:
    long = WILD * 2
    found = next(predict(stored, [ProteinRecord("m", "A" + long[1:], wild_type=long)]))
    assert found.flags == ["longer_than_training"]


def test_a_scan_has_the_effects_and_no_second_difference(stored: Stored, tmp_path: Path) -> None:
    found = list(scan(stored, [ProteinRecord("p", WILD)], Plan()))
    own = table(stored, WILD)
    assert len(found) == 1 + 19 * len(WILD)
    assert found[0].prediction.values[0] == 0
    for one in found[1:]:
        assert one.mutant is not None
        wanted = own[int(one.mutant.position) - 1, STANDARD.index(one.mutant.mutant)]
        assert one.prediction.values[0] == pytest.approx(wanted, abs=1e-5)
        assert one.difference[0] == one.prediction.values[0]
    assert remarks(stored.facts, ["ddg"]) == []
    with effects_table(tmp_path / "scan.tsv", ["ddg"], int, units_of(stored.facts), differences=False) as write:
        for one in found:
            write(one)
    header = (tmp_path / "scan.tsv").read_text().split("\n", 1)[0].split("\t")
    assert header == ["id", "position", "wild_type", "mutant", "mutation", "ddg", "ddg_unit", "flags"]


def test_its_target_is_the_effect_and_others_are_not_antisymmetric(stored: Stored, tmp_path: Path) -> None:
    assert target_names(stored, effects=True) == ["ddg"]
    with pytest.raises(ConfigError, match="is a model of effects of substitutions, see biorrn scan"):
        target_names(stored)
    assert targets_of(stored.facts) == [EFFECT]
    plain = made(tmp_path, effect=None)
    with pytest.raises(ConfigError, match="needed here is one for regression"):
        target_names(plain, effects=True)


def test_regression_models_have_no_antisymmetric_values() -> None:
    with pytest.raises(ConfigError, match="--antisymmetric: needs a model of effects"):
        next(predict(load_model("stability"), [record(WILD)], antisymmetric=True))


def test_intervals_are_those_of_proteins_left_out(tmp_path: Path) -> None:
    stored, rng = made(tmp_path / "model", min_length=1, max_length=400), np.random.default_rng(0)
    known, long = ("".join(rng.choice(list(STANDARD), size)) for size in (300, 301))
    with tag_writer(tmp_path / "trained.h5", "ACDEFGHIKLMNPQRSTVWYX", None, [{"name": "A", "unit": ""}]) as writer:
        writer.add("p", tokens(known), np.zeros((len(known), 1), np.float32))
    paths = []
    for name, width in (("held_out", 1.0), ("others", 3.0)):
        lines = ["id\tddg\tinput_ddg\twt_sequence\tmutation"]
        for protein in range(12):
            errors = rng.uniform(-width, width, 80)
            lines += [f"m\t0.5\t{0.5 + error}\tW{protein}\tA{place}G" for place, error in enumerate(errors)]
        paths.append(tmp_path / f"{name}.tsv")
        paths[-1].write_text("\n".join(lines) + "\n")
    files = [str(path) for path in paths]
    told = list(calibrate(str(stored.path), str(tmp_path / "trained.h5"), files[:1], files[1:], (20, 300)))
    assert "12 with 720 mutants" in told[0]
    found = load_model(stored.path)
    assert (found.facts["min_length"], found.facts["max_length"]) == (20, 300)
    pairs = [record("A" + one[1:], "G" + one[1:]) for one in (known, long)]
    near, far = predict(found, pairs)
    assert near.upper is not None
    assert far.upper is not None
    assert (near.upper - near.values)[0] == pytest.approx(0.9, abs=0.05)
    assert (far.upper - far.values)[0] == pytest.approx(2.7, abs=0.15)
    assert near.flags == []
    assert far.flags == ["longer_than_training", "no_relative_in_training"]
    two, same, six, less = (start + known[6:] for start in ("ACDDDD", "GGDDDD", "ACACAC", "GGDDD"))
    wild = "GGDDDD" + known[6:]
    several, none, many, shorter = predict(found, [record(one, wild) for one in (two, same, six, less)])
    assert [one.flags for one in (several, many, shorter)] == [
        ["several_substitutions"],
        ["several_substitutions"],
        ["deletion"],
    ]
    assert several.upper is not None
    # of errors that are independent, the sum grows with the root of their number
    assert (several.upper - several.values)[0] == pytest.approx(0.9 * 2**0.5, rel=0.1)
    assert none.values == none.lower == none.upper == 0
    for one in (many, shorter):
        assert np.isfinite(one.values).all()
        assert one.lower is not None
        assert np.isnan(one.lower).all()

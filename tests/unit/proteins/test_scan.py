"""A scan has every mutant once, and says of each what `predict` says of its sequence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.kernels.lstm.layers import FLOAT
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored
from biorrn.proteins.predict import predict
from biorrn.proteins.scan import NO_MUTANTS, Effect, Plan, knows_mutants, parse_spans, remarks, scan
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.variants import STANDARD

PROTEIN = ProteinRecord("p", "MAKGWLE")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    torch.manual_seed(1)
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": "regression",
            "model": {
                "frontend": {"name": "embedding", "width": 8},
                "core": {"cell": "gru", "hidden": 8, "layers": 1},
                "pool": ["attention", "mean"],
            },
        }
    )
    targets = [{"name": "a", "unit": ""}, {"name": "b", "unit": ""}]
    facts = {"task": "regression", "targets": targets, "outputs": 2, "min_length": 7, "max_length": 7}
    return Stored.of(build_model(recipe.network, 2).eval(), recipe, facts, tmp_path_factory.mktemp("model"))


def mutants(plan: Plan, record: ProteinRecord = PROTEIN) -> dict[str, str]:
    found = list(plan.mutants(record))
    named = {mutant.mutation: mutant.sequence for mutant in found}
    assert len(named) == len(found)
    return named


def test_every_substitution_once() -> None:
    found = mutants(Plan())
    assert len(found) == 19 * 7
    assert all(len(s) == 7 and sum(a != b for a, b in zip(s, "MAKGWLE", strict=True)) == 1 for s in found.values())
    assert len(set(found.values())) == 19 * 7
    assert len(mutants(Plan(), ProteinRecord("x", "MXA"))) == 19 + 20 + 19  # X is none of the twenty


def test_indels() -> None:
    found = mutants(Plan(deletions=True, insertions=True))
    assert len(found) == 19 * 7 + 7 + 20 * 6
    assert found["K3del"] == "MAGWLE"
    assert found["A2_K3insW"] == "MAWKGWLE"
    assert len(mutants(Plan(deletions=True), ProteinRecord("x", "M"))) == 19  # nothing would be left


@pytest.mark.parametrize("offset", [0, 40, -3])
def test_names_are_read_back_to_the_same_mutant(offset: int) -> None:
    """What a scan writes can be given to --mutations."""
    listed = list(Plan(deletions=True, insertions=True, offset=offset).mutants(PROTEIN))
    text = ",".join(mutant.mutation for mutant in listed)
    assert list(Plan(variants=text, offset=offset).mutants(PROTEIN)) == listed


def test_positions() -> None:
    found = list(Plan(spans=parse_spans("12,15-16"), offset=10).mutants(PROTEIN))
    assert [mutant.position for mutant in found[::19]] == ["12", "15", "16"]
    assert [mutant.wild_type for mutant in found[::19]] == ["A", "W", "L"]
    assert len(list(Plan(spans=parse_spans("2,1-3,2")).mutants(PROTEIN))) == 3 * 19  # each once
    assert parse_spans("-2--1, 3") == ((-2, -1), (3, 3))
    for wrong in ("", "a", "3-", "1,,2", "5-2"):
        with pytest.raises(ConfigError, match="--positions: found"):
            parse_spans(wrong)
    for outside in ("0", "5-8", "8"):
        with pytest.raises(BiorrnError, match="record 'p' has residues 1 to 7"):
            list(Plan(spans=parse_spans(outside)).mutants(PROTEIN))


def test_values_are_those_of_predict(stored: Stored) -> None:
    records = [PROTEIN, ProteinRecord("q", "MKV")]
    effects = list(scan(stored, records, Plan(deletions=True), batch_size=16))
    sequences = [e.mutant.sequence if e.mutant else {"p": "MAKGWLE", "q": "MKV"}[e.prediction.id] for e in effects]
    asked = [ProteinRecord(str(i), sequence) for i, sequence in enumerate(sequences)]
    alone = predict(stored, asked, precision="32")
    wild: dict[str, Effect] = {}
    for effect, expected in zip(effects, alone, strict=True):
        if effect.mutant is None:
            wild[effect.prediction.id] = effect
        first = wild[effect.prediction.id].prediction.values
        np.testing.assert_array_equal(effect.prediction.values, expected.values)
        np.testing.assert_array_equal(effect.difference, expected.values - first)
        strange = [NO_MUTANTS] if effect.mutant else []  # as nothing is known of what the model was trained on
        assert effect.prediction.flags == expected.flags + strange
    assert list(wild) == ["p", "q"]
    assert len(effects) == 1 + 20 * 7 + 1 + 20 * 3


def test_no_mutation_no_difference(stored: Stored) -> None:
    effects = list(scan(stored, [PROTEIN], Plan(variants="A2A,K3K:W5W")))
    assert [effect.mutant.mutation for effect in effects if effect.mutant] == ["A2A", "K3K:W5W"]
    assert all((effect.difference == 0).all() for effect in effects)


def test_a_scan_has_all_letters() -> None:
    assert {mutant.mutant for mutant in Plan().mutants(PROTEIN)} == set(STANDARD)


def test_differences_are_taken_in_float32(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    from biorrn.proteins.explain import attribution

    asked: list[object] = []
    monkeypatch.setattr("biorrn.proteins.predict.chosen_kind", lambda name: asked.append(name) or FLOAT)
    list(scan(stored, [PROTEIN], Plan(variants="A2G"), precision="auto"))
    list(attribution.attribute(stored, [PROTEIN], method="occlusion"))
    assert asked
    assert set(asked) == {"32"}


QUANTILES = [0.5] * 50


@pytest.mark.parametrize(
    ("facts", "known", "unknown"),
    [
        ({"difference": {"y": {"quantiles": QUANTILES}}}, 0.5, np.nan),
        ({"difference": {"y": {"quantiles": QUANTILES, "unlike": {"quantiles": [2.0] * 50}}}}, 0.5, 2.0),
        ({"reference": "MAKGWLE", "conformal": {"y": {"quantiles": QUANTILES, "difference": [0.7] * 50}}}, 0.7, np.nan),
    ],
)
def test_the_interval_of_a_difference(stored: Stored, facts: dict, known: float, unknown: float) -> None:
    facts = stored.facts | {"mutants": True, "min_length": 5, "max_length": 9} | facts
    for key in ("difference", "conformal"):
        if key in facts:
            facts[key] = dict.fromkeys(("a", "b"), facts[key]["y"])
    model = replace(stored, facts=facts)
    long = ProteinRecord("long", "MAKGWLEMAKGWLE")
    effects = [one for one in scan(model, [PROTEIN, long], Plan(variants="A2G")) if one.mutant]
    for effect, width in zip(effects, (known, unknown), strict=True):
        assert effect.difference_lower is not None
        assert effect.difference_upper is not None
        np.testing.assert_allclose(effect.difference_upper - effect.difference, width)
        np.testing.assert_allclose(effect.difference - effect.difference_lower, width)
    assert [NO_MUTANTS in effect.prediction.flags for effect in effects] == [False, False]
    assert "longer_than_training" in effects[1].prediction.flags
    assert remarks(facts, ["a", "b"]) == []


def test_what_a_scan_says_of_a_model_that_knows_no_mutants(stored: Stored) -> None:
    said = remarks(stored.facts | {"mutants": False}, ["y"])
    assert len(said) == 2
    assert "not trained on mutants" in said[0]
    assert "differences have no interval" in said[1]
    assert not knows_mutants(stored.facts)
    assert knows_mutants(stored.facts | {"reference": "MAKGWLE"})
    assert not knows_mutants(stored.facts | {"reference": "MAKGWLE", "mutants": False})


def test_a_mutation_that_cannot_be_used_is_left_out_and_told() -> None:
    told: list[str] = []
    plan = Plan(variants="A2G,W5*,K3W:A2W,G3A")
    found = list(plan.mutants(PROTEIN, lambda problem: told.append(str(problem))))
    assert [(mutant.mutation, mutant.problem) for mutant in found] == [
        ("A2G", ""),
        ("W5*", "stop_codon"),
        ("K3W:A2W", ""),
        ("G3A", "wild_type_differs"),
    ]
    assert [text.partition("; ")[0] for text in told] == [
        "--mutations: mutation 'W5*': stop codon",
        "--mutations: mutation 'G3A': found 'K' at position 3 of the wild type, expected 'G'",
    ]
    with pytest.raises(BiorrnError, match="mutation 'W5\\*': stop codon"):
        list(plan.mutants(PROTEIN))
    wild, doubled = Plan(variants="WT,A2dup").mutants(PROTEIN)
    assert (wild.position, wild.sequence) == (".", PROTEIN.sequence)
    assert (doubled.position, doubled.wild_type, doubled.mutant) == ("2", "A", "+A")

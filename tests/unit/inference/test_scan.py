"""A scan has every mutant once, and says of each what `predict` says of its sequence."""

import numpy as np
import pytest
import torch

from biorrn.config import parse_recipe
from biorrn.errors import BiorrnError, ConfigError
from biorrn.inference.predict import predict
from biorrn.inference.scan import Effect, Plan, parse_spans, scan
from biorrn.models.sequence import build_model
from biorrn.models.store import Stored
from biorrn.readers.records import ProteinRecord
from biorrn.readers.variants import STANDARD

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
    return Stored(build_model(recipe.network, 2).eval(), recipe, facts, tmp_path_factory.mktemp("model"))


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
    alone = predict(stored, [ProteinRecord(str(i), sequence) for i, sequence in enumerate(sequences)])
    wild: dict[str, Effect] = {}
    for effect, expected in zip(effects, alone, strict=True):
        if effect.mutant is None:
            wild[effect.prediction.id] = effect
        first = wild[effect.prediction.id].prediction.values
        np.testing.assert_array_equal(effect.prediction.values, expected.values)
        np.testing.assert_array_equal(effect.difference, expected.values - first)
        assert effect.prediction.flags == expected.flags
    assert list(wild) == ["p", "q"]
    assert len(effects) == 1 + 20 * 7 + 1 + 20 * 3


def test_no_mutation_no_difference(stored: Stored) -> None:
    effects = list(scan(stored, [PROTEIN], Plan(variants="A2A,K3K:W5W")))
    assert [effect.mutant.mutation for effect in effects if effect.mutant] == ["A2A", "K3K:W5W"]
    assert all((effect.difference == 0).all() for effect in effects)


def test_a_scan_has_all_letters() -> None:
    assert {mutant.mutant for mutant in Plan().mutants(PROTEIN)} == set(STANDARD)

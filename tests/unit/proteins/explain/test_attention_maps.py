"""Attention weights of a model: which there are, that they are those of its forward pass, files and figures of them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.nn.ensemble import Ensemble
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import Stored
from biorrn.proteins.explain import attention_maps
from biorrn.proteins.explain.attention_maps import (
    COLUMNS,
    TOP_WEIGHTS,
    Attended,
    AttentionMap,
    attend,
    attention_figure,
    attention_figures,
    attention_file,
)
from biorrn.proteins.explain.attribution import attention_of
from biorrn.proteins.predict import predict
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.records import ProteinRecord

PROTEIN = ProteinRecord("p/1", "MAKGWLEXACDEFG")
SHORT = ProteinRecord("q", "MAK")
ATTENTION = {"name": "self_attention", "width": 16, "heads": 2, "feed_forward": 16}
LSTM = {"cell": "lstm", "hidden": 8, "layers": 1}
MODELS: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "layers": (
        {"core": {**ATTENTION, "layers": 2}, "pool": ["max"]},
        {"core.0": (2, 14, 14), "core.1": (2, 14, 14)},
    ),
    "list": (
        {"core": [LSTM, {**ATTENTION, "window": 1, "causal": True}], "pool": ["multihead", "mean", "attention"]},
        {"core.1.0": (2, 14, 14), "pool.multihead": (4, 14), "pool.attention": (1, 14)},
    ),
    "pool": ({"core": LSTM, "pool": ["multihead"]}, {"pool.multihead": (4, 14)}),
}
FACTS = {"task": "regression", "targets": [{"name": "a", "unit": ""}], "outputs": 1}


def network(name: str, seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    model = {"frontend": {"name": "embedding", "width": 32}, **MODELS[name][0]}
    return build_model(parse_recipe({"name": "tiny", "task": "regression", "model": model}).network, 1).eval()


def stored(model: torch.nn.Module, facts: dict[str, Any] = FACTS) -> Stored:
    recipe = parse_recipe(
        {"name": "tiny", "task": "regression", "model": {"frontend": {"name": "onehot"}, "pool": ["max"]}}
    )
    return Stored.of(model.eval(), recipe, facts, Path("tiny"))


@pytest.mark.parametrize("name", list(MODELS))
def test_all_attention_is_found_and_gives_all_of_itself_away(name: str) -> None:
    (found,) = attend(stored(network(name)), [PROTEIN])
    assert {one.layer: one.weights.shape for one in found.maps} == MODELS[name][1]
    for one in found.maps:
        assert one.weights.dtype == np.float32
        assert np.allclose(one.weights.sum(-1), 1, atol=1e-5)
        assert one.pooled == one.layer.startswith("pool")
    if name == "list":  # each residue sees the one before it and itself
        seen = found.maps[0].weights > 0
        assert (seen == (np.eye(14, dtype=bool) | np.eye(14, k=-1, dtype=bool))).all()


def test_weights_are_those_that_the_forward_pass_applies() -> None:
    model = network("layers")
    core: Any = model.core
    block = core.layers[0]
    x = torch.from_numpy(tokens(PROTEIN.sequence)).long()[None]
    lengths = torch.tensor([14])
    (found,) = attend(stored(model), [PROTEIN])
    with torch.no_grad():
        h = block.norm(core.enter(model.frontend(x, lengths)[0]))
        values = block.attention.value(h).unflatten(-1, (2, 8)).transpose(1, 2)[0]
        mixed = torch.from_numpy(found.maps[0].weights) @ values
        expected = block.attention.output(mixed.transpose(0, 1).flatten(1))
        assert torch.allclose(block.attention(h, lengths)[0], expected, atol=1e-5)


def test_members_of_an_ensemble_are_told_apart() -> None:
    model = Ensemble([network("pool", 0), network("list", 1)], 1, False)
    (found,) = attend(stored(model), [PROTEIN])
    assert [one.layer for one in found.maps] == [
        "members.0.pool.multihead",
        "members.1.core.1.0",
        "members.1.pool.multihead",
        "members.1.pool.attention",
    ]


def test_the_pool_counts_in_an_attribution() -> None:
    model = network("pool")
    x = torch.from_numpy(tokens(PROTEIN.sequence)).long()[None]
    weights = attention_of(model, x, torch.tensor([14]))
    (found,) = attend(stored(model), [PROTEIN])
    assert weights is not None
    assert np.allclose(weights, found.maps[0].weights.mean(0), atol=1e-6)


def test_a_model_without_attention_is_one_line() -> None:
    recipe = {"frontend": {"name": "onehot"}, "core": LSTM, "pool": ["max"]}
    plain = build_model(parse_recipe({"name": "t", "task": "regression", "model": recipe}).network, 1)
    with pytest.raises(ConfigError, match=r"tiny: has no attention; --attention is of a model with a core"):
        attend(stored(plain), [PROTEIN])
    with pytest.raises(ConfigError, match=r"tiny: is a model for basecalling; --attention is of one for regression"):
        attend(stored(network("pool"), {"task": "basecalling"}), [PROTEIN])
    with pytest.raises(ConfigError, match="of proteins"):
        attend(stored(network("pool"), {"task": "tagging", "alphabet": "ACGTN"}), [PROTEIN])


def test_too_long_and_empty_proteins_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_maps, "LONGEST", 5)
    for record in (PROTEIN, ProteinRecord("none", "")):
        message = f"record '{record.id}': has {len(record.sequence)} residues; --attention takes 1 to 5"
        with pytest.raises(BiorrnError, match=message):
            next(attend(stored(network("pool")), [record]))


@pytest.mark.parametrize("top", [None, 0, 3])
def test_table_has_the_largest_weights_first(top: int | None, tmp_path: Path) -> None:
    with attention_file(tmp_path / "a.tsv", top, offset=100) as write:
        for found in attend(stored(network("list")), [PROTEIN, SHORT]):
            write(found)
    with open(tmp_path / "a.tsv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == list(COLUMNS)
    again = {(one.layer, found.id): one.weights for found in attend(stored(network("list")), [PROTEIN, SHORT])
             for one in found.maps}  # fmt: skip
    sequences = {PROTEIN.id: PROTEIN.sequence, SHORT.id: SHORT.sequence}
    for (layer, id), weights in again.items():
        for head in range(len(weights)):
            own = [row for row in rows if (row["id"], row["layer"], row["head"]) == (id, layer, str(head + 1))]
            assert len(own) == min(weights[head].size, top or weights[head].size if top is not None else TOP_WEIGHTS)
            found_weights = [float(row["weight"]) for row in own]
            assert found_weights == sorted(found_weights, reverse=True)
            for row in own:
                key = int(row["key"]) - 101
                assert row["key_residue"] == sequences[id][key]
                if layer.startswith("pool"):
                    assert (row["query"], row["query_residue"]) == ("0", "-")
                    expected = weights[head, key]
                else:
                    query = int(row["query"]) - 101
                    assert row["query_residue"] == sequences[id][query]
                    expected = weights[head, query, key]
                assert float(row["weight"]) == pytest.approx(float(expected), rel=1e-4)


def test_arrays_hold_all_weights(tmp_path: Path) -> None:
    records = [PROTEIN, SHORT]
    with attention_file(tmp_path / "a.npz") as write:
        for found in attend(stored(network("list")), records):
            write(found)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["ids"].tolist() == [record.id for record in records]
        assert arrays["sequences"].tolist() == [record.sequence for record in records]
        for number, found in enumerate(attend(stored(network("list")), records)):
            for one in found.maps:
                assert np.array_equal(arrays[f"{number}.{one.layer}"], one.weights)


@pytest.mark.parametrize(("name", "top", "fault"), [("a.npz", 3, "holds all weights"), ("a.tsv", -1, "found -1")])
def test_a_top_that_cannot_be(name: str, top: int, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=fault), attention_file(tmp_path / name, top):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [1, 14, 70])
def test_figure_has_a_heat_map_a_head_and_names_residues(length: int) -> None:
    record = ProteinRecord("p", ("ACDEFGHIKLMNPQRSTVWY" * 4)[:length])
    (found,) = attend(stored(network("list")), [record])
    figure = attention_figure(found, offset=10)
    images = [axes for axes in figure.axes if axes.images]
    assert len(images) == 2 + 1 + 1  # heads of the core, and a strip a pool
    assert np.array_equal(np.asarray(images[0].images[0].get_array()), found.maps[0].weights[0])
    across = [label.get_text() for label in images[0].get_xticklabels()]
    down = [label.get_text() for label in images[0].get_yticklabels()]
    assert across == down == (list(record.sequence) if length <= 60 else ["20", "30", "40", "50", "60", "70", "80"])


def test_figures_of_several_proteins_and_of_too_many_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with attention_figures(tmp_path / "a.svg") as draw:
        for found in attend(stored(network("pool")), [PROTEIN, SHORT]):
            draw(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_p_1.svg", "a_q.svg"]
    monkeypatch.setattr(attention_maps, "MOST", 3)
    many = Attended("p", "MA", [AttentionMap("core.0", np.ones((4, 2, 2), np.float32))])
    with pytest.raises(BiorrnError, match="has 4 heat maps; a figure shows up to 3"):
        attention_figure(many)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_prediction_does_not_depend_on_company(name: str) -> None:
    """As `proteins.predict` promises of every model: the same bits, whatever the batch size."""
    letters = "ACDEFGHIKLMNPQRSTVWY"
    generator = np.random.default_rng(4)
    records = [
        ProteinRecord(f"r{number}", "".join(generator.choice(list(letters), size)))
        for number, size in enumerate(generator.integers(1, 150, 40))
    ]
    model = stored(network(name))
    values = [
        np.array([one.values for one in predict(model, records, batch_size=size, precision="32")])
        for size in (1, 7, 64)
    ]
    assert np.array_equal(values[0], values[1])
    assert np.array_equal(values[0], values[2])

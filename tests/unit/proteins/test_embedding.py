"""What an embedding has learned, beside BLOSUM62."""

from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.nn.sequence import build_model
from biorrn.nn.store import save_model
from biorrn.proteins.embedding import (
    CHEMISTRY,
    ORDER,
    compare,
    embedding_figure,
    residue_vectors,
    save_embedding_figure,
)
from biorrn.sequences.alphabets import STANDARD, TABLES
from biorrn.sequences.tokenisers import residue_tokeniser

BLOSUM = TABLES["blosum62"][1:21].astype(np.float64)


def test_blosum_agrees_with_itself_and_noise_does_not() -> None:
    found = compare(BLOSUM)
    assert found.spearman > 0.7
    assert found.p_value <= 1e-4
    assert found.pairs == 190
    noise = compare(np.random.default_rng(0).normal(size=(20, 50)))
    assert abs(noise.spearman) < 0.2
    assert noise.p_value > 0.01


def test_shift_scale_and_rotation_change_nothing() -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0]
    plain, moved = compare(BLOSUM), compare(3 * BLOSUM @ turn + 5)
    assert np.allclose(plain.similarity, moved.similarity)
    assert plain.spearman == pytest.approx(moved.spearman)
    assert np.allclose(plain.explained, moved.explained)
    assert np.allclose(np.diag(plain.similarity), 1)


def test_one_number_a_residue_is_enough_for_a_map() -> None:
    found = compare(np.arange(20.0)[:, None])
    assert found.explained.tolist() == [pytest.approx(1), 0]
    assert (found.places[:, 1] == 0).all()


def test_kmers_are_averaged_over_those_that_hold_a_residue(tmp_path: Path) -> None:
    pairs = [f"{a}{b}" for a in STANDARD for b in STANDARD]
    lines = [f"{word}\t{word.count('A')}\t{word.count('W')}" for word in pairs]
    path = tmp_path / "t.tsv"
    path.write_text("\n".join(lines))
    vectors = residue_vectors(path)
    # of the 39 pairs with an A one holds two, so that A counts 40 times: 38 * 1 + 2 * 2
    assert vectors[STANDARD.index("A")].tolist() == [pytest.approx(42 / 40), pytest.approx(2 / 40)]
    assert vectors[STANDARD.index("K")].tolist() == [pytest.approx(2 / 40), pytest.approx(2 / 40)]


def test_vectors_of_models(tmp_path: Path) -> None:
    def made(name: str, frontend: dict) -> Path:
        model = {"frontend": frontend, "core": {"hidden": 4, "layers": 1}, "pool": ["mean"]}
        recipe = parse_recipe({"name": "t", "task": "regression", "model": model})
        model = build_model(recipe.network, 1)
        facts = {"outputs": 1, "task": "regression", "targets": [{"name": "y", "unit": ""}]}
        save_model(tmp_path / name, model, recipe, facts)
        return tmp_path / name

    learned = residue_vectors(made("learned", {"name": "embedding", "width": 7, "table": "scales"}))
    assert learned.shape == (20, 7)
    table = tmp_path / "t.csv"
    table.write_text("\n".join(f"{residue},{place},1" for place, residue in enumerate(STANDARD)))
    assert np.array_equal(residue_vectors(made("table", {"name": "table", "path": str(table)})), residue_vectors(table))
    with pytest.raises(ConfigError, match="learns no vectors of residues"):
        residue_vectors(made("fixed", {"name": "blosum62"}))


def test_a_language_model_is_shown_by_what_it_tells_residues_apart_with(tmp_path: Path) -> None:
    model = {"frontend": {"name": "tokens", "size": 24}, "core": {"hidden": 4, "layers": 1}, "head": {"name": "tokens"}}
    recipe = parse_recipe({"name": "t", "task": "language", "model": model})
    made = build_model(recipe.network, 24)
    save_model(
        tmp_path / "lm", made, recipe, {"outputs": 24, "task": "language", "tokeniser": residue_tokeniser().to_dict()}
    )
    weights = made.head.output[-1].weight.detach().numpy()  # type: ignore[union-attr,index]
    assert np.allclose(residue_vectors(tmp_path / "lm"), weights[4:24])


def test_figure(tmp_path: Path) -> None:
    assert sorted(ORDER) == sorted(STANDARD)
    assert len({colour for _, colour in CHEMISTRY.values()}) == len(CHEMISTRY)
    drawing = embedding_figure(compare(BLOSUM), "a $b$")
    assert "190 pairs" in drawing.caption
    assert len(drawing.figure.axes) == 4
    save_embedding_figure(compare(BLOSUM), tmp_path / "a.svg", "a")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(ConfigError, match=r"\.svg or \.png"):
        save_embedding_figure(compare(BLOSUM), tmp_path / "a.pdf", "a")

"""Pore models: written and read alike, refused where damaged, and the shipped one agrees with the public table."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.nanopore.simulate.estimate import agreement, read_levels
from biorrn.nanopore.simulate.pore_model import (
    DEFAULT,
    SHIPPED,
    PoreModel,
    kmer_index,
    kmers,
    load_pore_model,
    read_pore_model,
    shipped_pore_models,
    write_pore_model,
)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_kmer_index_is_the_row_of_the_kmer(k: int) -> None:
    bases = np.random.default_rng(k).integers(1, 5, 50)
    names = kmers(k)
    letters = "".join("NACGT"[base] for base in bases)
    assert [names[row] for row in kmer_index(bases, k)] == [letters[i : i + k] for i in range(50 - k + 1)]


def test_kmers_of_a_short_strand() -> None:
    assert len(kmer_index(np.array([1, 2]), 3)) == 0


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz"])
def test_written_and_read_alike(small_model: PoreModel, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    write_pore_model(path, small_model)
    again = read_pore_model(path)
    for field in fields(PoreModel):
        one, other = getattr(small_model, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_allclose(one, other, atol=0.005, err_msg=field.name)
        else:
            assert one == other, field.name
    write_pore_model(tmp_path / "twice.tsv", again)
    write_pore_model(tmp_path / "thrice.tsv", read_pore_model(tmp_path / "twice.tsv"))
    assert (tmp_path / "twice.tsv").read_bytes() == (tmp_path / "thrice.tsv").read_bytes()


# what is done to the lines of a good file: (from, to), and a part of the message
DAMAGE = {
    "another file": (("# biorrn pore model", "# something"), "not a pore model"),
    "no k": (("# k: 3\n", ""), "header cannot be used"),
    "a k out of range": (("# k: 3\n", "# k: 30\n"), "found k 30"),
    "a centre out of range": (("# centre: 1\n", "# centre: 3\n"), "centre 3"),
    "a number that is none": (("# shift: 82", "# shift: high"), "header cannot be used"),
    "a fact that is missing": (("# tail: 10\n", ""), "header cannot be used: 'tail'"),
    "an empty number": (("# shift: 82", "# shift: "), "header cannot be used"),
    "no scale": (("# scale: 15.4", "# scale: 0"), "scale 0"),
    "noise that explodes": (("# noise_ar: 0.3 0.1", "# noise_ar: 1.5 0.1"), "noise_ar"),
    "drift for ever": (("# drift_memory: 0.9", "# drift_memory: 1"), "drift_memory 1"),
    "a column renamed": (("kmer\tlevel", "kmer\tmean"), "needed"),
    "a k-mer misspelt": (("\nAAA\t", "\nAAB\t"), "alphabetical"),
    "an unknown flag": (("\t100\t\n", "\t100\tmany\n"), "a row cannot be used"),
    "a level that is none": (("\nAAA\t", "\nAAA\tx"), "a row cannot be used"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_line_with_the_file(name: str, small_model: PoreModel, tmp_path: Path) -> None:
    path = tmp_path / "bad.tsv"
    write_pore_model(path, small_model)
    text, (change, fragment) = path.read_text(), DAMAGE[name]
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(BiorrnError, match=fragment) as raised:
        read_pore_model(path)
    assert str(raised.value).startswith(str(path))


def test_a_row_missing_or_empty(small_model: PoreModel, tmp_path: Path) -> None:
    path = tmp_path / "bad.tsv"
    write_pore_model(path, small_model)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(BiorrnError, match="found 63 rows"):
        read_pore_model(path)
    path.write_text("")
    with pytest.raises(BiorrnError, match="not a pore model"):
        read_pore_model(path)


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'dna_r9\.4\.1_6mer'"):
        load_pore_model("dna_r9_4_1_6mer")


@pytest.mark.parametrize("name", shipped_pore_models())
def test_shipped_models_are_whole_and_say_where_they_come_from(name: str) -> None:
    model = load_pore_model(name)
    assert (model.spread > 0).all()
    assert (model.noise > 0).all()
    assert {"source", "made by", "left out"} <= model.notes.keys()
    assert (SHIPPED / f"{name}.tsv").stat().st_size < 300_000
    assert (model.flag == 2).sum() == (model.events == 0).sum()


def test_the_default_is_shipped_and_left_the_held_out_region_alone() -> None:
    model = load_pore_model(DEFAULT)
    assert model.k == 6
    assert model.notes["left out"].endswith("-14500")
    assert "Unlicense" in model.notes["source"]


def test_the_default_agrees_with_the_public_table(shared_data: Path) -> None:
    model = load_pore_model(DEFAULT)
    public = read_levels(shared_data / "nanopore/kmer_models/r9.4_450bps_6mer.tsv")
    theirs = np.array([public[name] for name in kmers(6)])
    assert np.corrcoef(theirs, model.level)[0, 1] > 0.998
    few = model.flag > 0
    assert np.corrcoef(theirs[few], model.level[few])[0, 1] > 0.99
    assert "4096 k-mers, r = 0.99" in agreement(model, public)[0]


def test_agreement_with_itself_and_with_another_k(small_model: PoreModel, tmp_path: Path) -> None:
    write_pore_model(tmp_path / "model.tsv", small_model)
    levels = read_levels(tmp_path / "model.tsv")
    assert agreement(small_model, levels)[0].startswith("comparison, all: 64 k-mers, r = 1.0000, residual 0.0000")
    assert agreement(small_model, {"ACGT": 1.0}) == ["comparison: the other table has no 3-mers"]


@pytest.mark.parametrize(
    "text", ["", "kmer\tcurrent\nAAA\t1\n", "level\n1\n", "kmer\tlevel\nAAA\thigh\n", "kmer\tlevel\nAAA\n"]
)
def test_a_table_without_levels(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(BiorrnError, match=r"expected kmer and|a row cannot be used"):
        read_levels(tmp_path / "t.tsv")

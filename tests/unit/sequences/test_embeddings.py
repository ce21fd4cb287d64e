"""Embeddings that other programs wrote: every layout gives the same vectors, joined by sequence or id."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import parse_recipe
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.embeddings import FLAG, FORMATS, Embeddings, Missing, joined, lookup, sequence_hash, use
from biorrn.sequences.records import ProteinRecord

PROTEINS = {"sp|P1/2": "MKTAYIAKQR", "p2": "MKV", "p3": "ACDEFGHIKLMNPQRSTVWY"}
WIDTH = 6
RESIDUES = {
    id: np.random.default_rng(place).normal(size=(len(text), WIDTH)).astype(np.float16)
    for place, (id, text) in enumerate(PROTEINS.items())
}
MEANS = {id: values.astype(np.float32).mean(0).astype(np.float16) for id, values in RESIDUES.items()}
Content = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    embeddings.release()
    yield
    embeddings.release()


def biotrainer(path: Path, content: Content) -> Path:
    """A data set a sequence, named by biotrainer's hash, as `EmbeddingService.store_embedding` of biotrainer 1.4."""
    with h5py.File(path / "e.h5", "w") as file:
        for id, values in content.items():
            name = sequence_hash(PROTEINS[id])
            file.create_dataset(name, data=values, compression="gzip", chunks=True)
            file[name].attrs["original_id"] = id
    return path / "e.h5"


def bio_embeddings(path: Path, content: Content) -> Path:
    """Numbered data sets with the attribute `original_id`, as bio_embeddings and old versions of biotrainer."""
    with h5py.File(path / "e.hdf5", "w") as file:
        for number, (id, values) in enumerate(content.items()):
            file.create_dataset(str(number), data=values).attrs["original_id"] = id
    return path / "e.hdf5"


def md5_names(path: Path, content: Content) -> Path:
    with h5py.File(path / "e.h5", "w") as file:
        for id, values in content.items():
            file[hashlib.md5(PROTEINS[id].encode()).hexdigest()] = values
    return path / "e.h5"


def id_names(path: Path, content: Content) -> Path:
    """Data sets named by id; that with a / is in a group."""
    with h5py.File(path / "e.h5", "w") as file:
        for id, values in content.items():
            file[id] = values
    return path / "e.h5"


def npz(path: Path, content: Content) -> Path:
    np.savez(path / "e.npz", **{PROTEINS[id]: values for id, values in content.items()})
    return path / "e.npz"


def states(path: Path, content: Content) -> Path:
    """As `biorrn models states` writes them, without and with --mean."""
    ids = np.array(list(content))
    if next(iter(content.values())).ndim == 1:
        np.savez(path / "e.npz", ids=ids, means=np.stack(list(content.values())))
    else:
        ends = np.cumsum([0, *map(len, content.values())])
        np.savez(path / "e.npz", ids=ids, offsets=ends, states=np.concatenate(list(content.values())))
    return path / "e.npz"


def tensors(path: Path, content: Content) -> Path:
    torch.save({id: torch.from_numpy(values) for id, values in content.items()}, path / "e.pt")
    return path / "e.pt"


def extract(path: Path, content: Content) -> Path:
    """A folder of ESM's extract.py: a file a protein, of two layers; the last one counts."""
    for id, values in content.items():
        file = path / "esm" / f"{id}.pt"
        file.parent.mkdir(parents=True, exist_ok=True)
        own = torch.from_numpy(values)
        kind = "representations" if values.ndim == 2 else "mean_representations"
        torch.save({"label": id, kind: {11: own + 1, 12: own}}, file)
    return path / "esm"


def table(path: Path, content: Content) -> Path:
    lines = ["id,remark," + ",".join(f"d{place}" for place in range(WIDTH))]
    lines += [f"{id},a text," + ",".join(map(str, values.tolist())) for id, values in content.items()]
    (path / "e.csv").write_text("\n".join(lines) + "\n")
    return path / "e.csv"


def table_of_sequences(path: Path, content: Content) -> Path:
    lines = ["sequence\t" + "\t".join(f"d{place}" for place in range(WIDTH))]
    lines += [f"{PROTEINS[id]}\t" + "\t".join(map(str, values.tolist())) for id, values in content.items()]
    (path / "e.tsv").write_text("\n".join(lines) + "\n")
    return path / "e.tsv"


MEAN_ONLY = (table, table_of_sequences)
WRITERS = (biotrainer, bio_embeddings, md5_names, id_names, npz, states, tensors, extract, *MEAN_ONLY)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("per", ["residue", "protein"])
def test_every_layout_gives_the_vectors_that_were_written(
    write: Callable[[Path, Content], Path], per: str, tmp_path: Path
) -> None:
    if per == "residue" and write in MEAN_ONLY:
        pytest.skip("a table has one row a protein")
    source = Embeddings.open(write(tmp_path, RESIDUES if per == "residue" else MEANS))
    assert (source.width, source.per, source.size) == (WIDTH, per, 3)
    for id, text in PROTEINS.items():
        assert source.join(id, text)
        mean = source.get(tokens(text), True)
        assert mean is not None
        np.testing.assert_allclose(mean, MEANS[id], atol=2e-3)
        if per == "residue":
            found = source.get(tokens(text), False)
            assert found is not None
            assert found.dtype == np.float16
            np.testing.assert_array_equal(found, RESIDUES[id])
    assert not source.join("unknown", "MKK")
    assert source.get(tokens("MKK"), True) is None


def test_every_format_is_tested(tmp_path: Path) -> None:
    assert {".h5", ".hdf5", ".npz", ".pt"} == set(FORMATS) - {".pth"}


def test_a_sequence_is_found_by_its_hash_whatever_its_id(tmp_path: Path) -> None:
    source = Embeddings.open(biotrainer(tmp_path, RESIDUES))
    assert source.join("another id", PROTEINS["p2"])
    assert not source.join("nor this", "MKVV")


def test_bfloat16_tensors_are_read(tmp_path: Path) -> None:
    torch.save({"p2": torch.ones(3, WIDTH, dtype=torch.bfloat16)}, tmp_path / "e.pt")
    source = Embeddings.open(tmp_path / "e.pt")
    assert source.join("p2", "MKV")
    found = source.get(tokens("MKV"), False)
    assert found is not None
    assert (found == 1).all()


def test_special_tokens_left_in_are_an_error_that_says_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", p2=np.ones((5, WIDTH)))
    source = Embeddings.open(tmp_path / "e.npz")
    source.join("p2", "MKV")
    with pytest.raises(InputError, match=r"record 'p2': found shape \(5, 6\) for 3 residues.*without start and end"):
        source.get(tokens("MKV"), False)


def test_a_number_that_is_not_finite_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", p2=np.full(WIDTH, np.nan))
    source = Embeddings.open(tmp_path / "e.npz")
    source.join("p2", "MKV")
    with pytest.raises(InputError, match=r"e\.npz: record 'p2': holds a number that is not finite"):
        source.get(tokens("MKV"), True)


@pytest.mark.parametrize("name", ["e.h5", "e.npz", "e.pt", "e.csv", "e.bin", "missing.h5"])
def test_a_file_that_is_none_is_one_line(name: str, tmp_path: Path) -> None:
    if name != "missing.h5":
        (tmp_path / name).write_bytes(b"\x00\x01 not embeddings \xff" * 20)
    with pytest.raises(InputError, match=name):
        Embeddings.open(tmp_path / name)


@pytest.mark.parametrize("place", [0, 100, 900])
def test_a_damaged_file_is_one_line(place: int, tmp_path: Path) -> None:
    path = npz(tmp_path, RESIDUES)
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes(len(whole) - place))
    with pytest.raises(InputError, match=r"e\.npz"):
        Embeddings.open(path)


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (print, ("run",))

    torch.save({"p2": Evil()}, tmp_path / "e.pt")
    with pytest.raises(InputError, match="is not a file of tensors alone"):
        Embeddings.open(tmp_path / "e.pt")


def test_a_prepared_file_is_not_embeddings(tiny_proteins: Path) -> None:
    with pytest.raises(InputError, match="is a prepared file of biorrn"):
        Embeddings.open(tiny_proteins)


def test_missing_proteins_are_named_in_one_line_and_left_out(tmp_path: Path) -> None:
    source, missing = Embeddings.open(biotrainer(tmp_path, MEANS)), Missing()
    asked = [ProteinRecord(f"q{n}", "M" * (n + 1)) for n in range(7)]
    asked += [ProteinRecord(id, text) for id, text in PROTEINS.items()]
    asked += [ProteinRecord("bad", "", problem="empty")]
    found = list(joined(asked, [source], missing))
    assert [record.problem for record in found] == [FLAG] * 7 + [""] * 3 + ["empty"]
    assert [record.sequence for record in found[7:10]] == list(PROTEINS.values())
    assert missing.line(["e.h5"]) == "e.h5: no embedding of 7 of 10 proteins: q0, q1, q2, q3, q4, ..."


def test_lookup_asks_the_open_files_of_the_same_width_and_language_model(tmp_path: Path) -> None:
    path = biotrainer(tmp_path, MEANS)
    with h5py.File(path, "a") as file:
        file.attrs["model"] = "esm2_t6_8M_UR50D"
    with pytest.raises(ConfigError, match=r"reads embeddings of esm2_t6_8M_UR50D \(6 numbers\); predict and scan take"):
        lookup([tokens("MKV")], WIDTH, True, "esm2_t6_8M_UR50D")
    use(path).join("p2", "MKV")
    np.testing.assert_array_equal(lookup([tokens("MKV")], WIDTH, True, "esm2_t6_8M_UR50D")[0], MEANS["p2"])
    for width, model in ((WIDTH + 1, ""), (WIDTH, "prot_t5_xl_uniref50")):
        with pytest.raises(ConfigError, match="predict and scan take"):
            lookup([tokens("MKV")], width, True, model)
    np.testing.assert_array_equal(lookup([tokens(PROTEINS["p3"])], WIDTH, True)[0], MEANS["p3"])  # by its hash alone
    with pytest.raises(InputError, match=r"no embedding of the sequence ACDEFGHIKLMN\.\.\. \(15 residues\)"):
        lookup([tokens("ACDEFGHIKLMNPQR")], WIDTH, True)


def test_a_recipe_of_one_vector_a_residue_refuses_a_file_of_means(tmp_path: Path) -> None:
    path = str(biotrainer(tmp_path, MEANS))
    with pytest.raises(ConfigError, match="set per to mean"):
        embeddings.settled(_frontend({"path": path}))
    made = embeddings.settled(_frontend({"path": path, "per": "mean"}))
    assert (made.path, made.width) == (None, WIDTH)


def _frontend(own: dict[str, object]) -> object:
    recipe = parse_recipe(
        {
            "name": "x",
            "task": "regression",
            "model": {"frontend": {"name": "embeddings", **own}, "pool": ["mean"], "head": {"name": "regression"}},
        }
    )
    return recipe.network.frontend

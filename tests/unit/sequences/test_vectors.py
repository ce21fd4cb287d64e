"""Tables of vectors: every format reads back what was written, and says what is wrong with what was not."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.vectors import FORMATS, Vectors, read_vectors, write_vectors

TABLE = Vectors(
    ["AC", "CA", "WX"], np.arange(6, dtype=np.float32).reshape(3, 2), np.array([7, 8], np.float32), {"k": 2}
)


def same(found: Vectors, wanted: Vectors) -> None:
    assert found.words == wanted.words
    assert np.array_equal(found.vectors, wanted.vectors)
    assert np.array_equal(found.unknown, wanted.unknown)
    assert found.vectors.dtype == np.float32


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_written_reads_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"table{suffix}"
    write_vectors(path, TABLE)
    found = read_vectors(path)
    same(found, TABLE)
    assert found.facts == {"k": 2}
    assert found.k == 2
    first = path.read_bytes()
    write_vectors(path, TABLE)
    assert path.read_bytes() == first


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4).flatmap(lambda k: st.sets(st.text(RESIDUES, min_size=k, max_size=k), min_size=1, max_size=9)))
def test_any_words_read_back(tmp_path_factory: pytest.TempPathFactory, words: set[str]) -> None:
    table = Vectors(
        sorted(words), np.random.default_rng(0).normal(size=(len(words), 3)).astype(np.float32), np.ones(3, "f")
    )
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    write_vectors(path, table)
    same(read_vectors(path), table)


@pytest.mark.parametrize(
    "text",
    [
        "AC\t0\t1\nCA\t2\t3\nWX\t4\t5\n<unk>\t7\t8\n",
        "word,x,y\nWX,4,5\nac,0,1\n<UNK>,7,8\nCA,2,3\n",
        "4 2\nAC 0 1\nCA 2 3\n\nWX 4 5\nunk 7 8\n",
        '"AC\t0\t1"\n"CA\t2\t3"\n"WX\t4\t5"\n"<unk>\t7\t8"\n',
    ],
    ids=["tsv", "csv", "word2vec", "quoted"],
)
def test_text_of_any_kind(text: str, tmp_path: Path) -> None:
    plain, packed = tmp_path / "table.txt", tmp_path / "table.tsv.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    same(read_vectors(plain), TABLE)
    same(read_vectors(packed), TABLE)


def test_unknown_is_the_mean_where_the_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("A,0,2\nC,2,4\n")
    assert read_vectors(path).unknown.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.tsv", b"A\t1\nB7\t2\n", "found the word 'B7'; allowed are 1 to 8 letters of ACDEFGHIKLMNPQRSTVWYX"),
        ("a.tsv", b"A\t1\nA\t2\n", "the word 'A' is given twice"),
        ("a.tsv", b"A\t1\nAC\t2\n", "the words 'A' and 'AC' differ in length"),
        ("a.tsv", b"A\t1\t2\nC\t2\n", "line 2: 'C' has 1 numbers; allowed is 2 as in the first row"),
        ("a.tsv", b"A\t1\nC\tx\n", "line 2: found 'x'; allowed is a word and its numbers"),
        ("a.tsv", b"A\t1\nC\tnan\n", "the vector of 'C' holds a number that is not finite"),
        ("a.tsv", b"", "holds no words"),
        ("a.tsv", b"<unk> 1\n", "holds no words"),
        ("a.safetensors", b"nonsense", "is not a readable safetensors file"),
        ("a.npz", b"nonsense", "is not a readable npz file"),
        ("absent.tsv", None, "cannot be read"),
        ("absent.safetensors", None, "is not a readable safetensors file"),
    ],
)
def test_what_is_no_table_is_one_clear_error(name: str, content: bytes | None, fault: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_vectors(path)
    assert fault in str(raised.value)
    assert str(path) in str(raised.value)


def test_npz_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, words=np.array(["A", "C"]), vectors=np.zeros((3, 2)))
    with pytest.raises(InputError, match="expected 2 rows"):
        read_vectors(path)
    np.savez(path, vectors=np.zeros((3, 2)))
    with pytest.raises(InputError, match="no array 'words'"):
        read_vectors(path)


def test_a_table_is_written_as_its_suffix_says(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.safetensors or \.npz"):
        write_vectors(tmp_path / "a.tsv", TABLE)
    assert issubclass(ConfigError, BiorrnError)
    assert not list(tmp_path.iterdir())

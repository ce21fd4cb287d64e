"""The mapper: place, strand and span, the best of several, spans of the reference, several threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.alignment import Mapper, reverse_complement

RNG = np.random.default_rng(2)
ONE, TWO = ("".join(RNG.choice(list("ACGT"), size)) for size in (6000, 3000))


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> Mapper:
    path = tmp_path_factory.mktemp("reference") / "g.fa"
    path.write_text(f">one first\n{ONE[:3000].lower()}\n{ONE[3000:]}\n>two\n{TWO}\n")
    return Mapper(path)


def test_names_and_spans(mapper: Mapper) -> None:
    assert mapper.references == [("one", 6000), ("two", 3000)]
    assert mapper.sequence("one", 2990, 3010) == ONE[2990:3010]
    assert mapper.sequence("two") == TWO
    assert mapper.sequence("two", 2990, 9999) == TWO[2990:]
    assert mapper.sequence("two", 5, 5) == ""
    with pytest.raises(KeyError):
        mapper.sequence("three", 0, 5)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_read_is_found_where_it_comes_from(mapper: Mapper, reverse: bool) -> None:
    read = TWO[500:1500]
    hit = mapper.best(reverse_complement(read) if reverse else read)
    assert hit is not None
    assert (hit.ctg, hit.r_st, hit.r_en, hit.strand, hit.mlen) == ("two", 500, 1500, -1 if reverse else 1, 1000)


def test_the_best_has_the_most_matches_and_comes_with_its_supplement(mapper: Mapper) -> None:
    read = TWO[:600] + reverse_complement(ONE[1000:2500])
    hit = mapper.best(read)
    assert hit is not None
    assert hit.mlen == max(each.mlen for each in mapper.hits(read))
    assert {each.ctg for each in mapper.hits(read)} == {"one", "two"}


def test_nothing_is_found_for_what_is_not_there(mapper: Mapper) -> None:
    strange = "".join(np.random.default_rng(9).choice(list("ACGT"), 1000))
    for read in ("", "A", "N" * 500, strange):
        assert mapper.best(read) is None
        assert mapper.hits(read) == []


def test_threads_give_the_same(mapper: Mapper) -> None:
    reads = [ONE[start : start + 700] for start in range(0, 5000, 50)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(mapper.best, reads))
    assert [hit.r_st for hit in found if hit] == list(range(0, 5000, 50))


def test_what_is_no_fasta_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.tsv").write_text("id\tlength\n")
    for path in (tmp_path / "table.tsv", tmp_path / "missing.fa", Path("-")):
        with pytest.raises(InputError):
            Mapper(path)

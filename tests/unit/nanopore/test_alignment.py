"""Mapping and alignment of called reads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError, InputError
from biorrn.nanopore.alignment import (
    DELETION,
    INSERTION,
    MATCH,
    MISMATCH,
    Alignment,
    AlignmentMapper,
    Mapper,
    Region,
    columns,
    of_label,
    parse_cigar,
    parse_region,
    reverse_complement,
)
from biorrn.nanopore.readers.calls import BaseCall

GENOME = "".join(np.random.default_rng(7).choice(list("ACGT"), 6000))


def call(bases: str, id: str = "r") -> BaseCall:
    return BaseCall(id, bases, np.full(len(bases), 20, np.uint8))


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> AlignmentMapper:
    path = tmp_path_factory.mktemp("reference") / "genome.fa"
    path.write_text(f">other\n{reverse_complement(GENOME[::-1])[:3000]}\n>genome x\n{GENOME}\n")
    return AlignmentMapper(path)


def other(base: str) -> str:
    """Return another base."""
    return {"A": "C", "C": "G", "G": "T", "T": "A"}[base]


def edited(bases: str, every: int = 60) -> tuple[str, dict[int, int]]:
    """Return bases with a mismatch, an insertion and a deletion in turn, far from each other, and how many of each."""
    out, made = [], {MISMATCH: 0, INSERTION: 0, DELETION: 0}
    for place, base in enumerate(bases):
        kind = (place // every) % 3 + 1 if place % every == every // 2 else MATCH
        if kind == MISMATCH:
            out.append(other(base))
        elif kind == INSERTION:
            out.append(base + other(base))
        elif kind == MATCH:
            out.append(base)
        made[kind] = made.get(kind, 0) + 1
    return "".join(out), made


def test_columns_of_a_literal_alignment() -> None:
    #            read       A C - G T T
    #            reference  A G C G - T
    kind, on_reference, on_read = columns(parse_cigar("2M1D1M1I1M"), "ACGTT", "AGCGT")
    assert kind.tolist() == [MATCH, MISMATCH, DELETION, MATCH, INSERTION, MATCH]
    assert on_reference.tolist() == [0, 1, 2, 3, 3, 4]
    assert on_read.tolist() == [0, 1, -1, 2, 3, 4]


def test_columns_do_not_trust_the_letters_of_a_cigar() -> None:
    assert columns(parse_cigar("3="), "ACG", "ATG")[0].tolist() == [MATCH, MISMATCH, MATCH]


def test_n_matches_nothing() -> None:
    assert columns(parse_cigar("2M"), "NA", "NN")[0].tolist() == [MISMATCH, MISMATCH]


def test_cigar_must_span_both_sequences() -> None:
    with pytest.raises(ValueError, match="4 read"):
        columns(parse_cigar("4M"), "ACG", "ACGT")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 1, 2, 7, 8])), min_size=1, max_size=12))
def test_columns_use_each_base_once_and_in_order(operations: list[tuple[int, int]]) -> None:
    cigar = np.array(operations)
    read = "A" * int(sum(n for n, op in operations if op != 2))
    reference = "A" * int(sum(n for n, op in operations if op != 1))
    kind, on_reference, on_read = columns(cigar, read, reference)
    assert len(kind) == sum(n for n, _ in operations)
    assert on_read[kind != DELETION].tolist() == list(range(len(read)))
    assert on_reference[kind != INSERTION].tolist() == list(range(len(reference)))


@pytest.mark.parametrize("reverse", [False, True])
def test_known_edits_are_found_again(mapper: AlignmentMapper, reverse: bool) -> None:
    start, end = 1000, 3000
    bases, made = edited(GENOME[start:end])
    found = mapper.align(call(reverse_complement(bases) if reverse else bases))
    assert found is not None
    assert (found.reference, found.strand) == ("genome", "-" if reverse else "+")
    assert (found.ref_start, found.ref_end) == (start, end)
    counts = np.bincount(found.kind, minlength=4)
    assert counts[1:].tolist() == [made[MISMATCH], made[INSERTION], made[DELETION]]
    assert counts[MATCH] / counts.sum() == pytest.approx(1 - sum(counts[1:]) / counts.sum())


@pytest.mark.parametrize("reverse", [False, True])
def test_read_positions_are_those_of_the_read_as_called(mapper: AlignmentMapper, reverse: bool) -> None:
    bases, _ = edited(GENOME[2000:2900])
    read = "TTTTTGTTTTT" + (reverse_complement(bases) if reverse else bases)  # an end that aligns nowhere
    found = mapper.align(call(read))
    assert found is not None
    on_both = (found.kind == MATCH) | (found.kind == MISMATCH)
    matches = found.kind[on_both] == MATCH
    letters = np.array(list(read))[found.read_position[on_both]]
    true = np.array(list(GENOME))[found.ref_position[on_both]]
    if reverse:
        letters = np.array([reverse_complement(letter) for letter in letters])
    assert ((letters == true) == matches).all()
    assert sorted(found.read_position[found.kind != DELETION]) == list(range(len(read) - found.aligned, len(read)))


@pytest.mark.parametrize("reverse", [False, True])
def test_region_clips_the_same_columns_on_both_strands(mapper: AlignmentMapper, reverse: bool) -> None:
    region = Region("genome", 1500, 1800)
    bases, _ = edited(GENOME[1000:3000])
    found = mapper.align(call(reverse_complement(bases) if reverse else bases))
    assert found is not None
    inside = found.inside(region)
    kind = found.kind[inside]
    assert (kind != INSERTION).sum() == 300
    # edits lie at 30, 90, 150, ...: mismatch, insertion, deletion in turn
    # so that 500-800 holds D 510, X 570, I 630, D 690, X 750
    assert np.bincount(kind, minlength=4)[1:].tolist() == [2, 1, 2]
    assert found.inside(None).all()
    assert not found.inside(Region("other", 0, 3000)).any()
    assert not found.inside(Region("genome", 0, 1000)).any()


def test_insertion_at_the_edge_of_a_region_is_outside() -> None:
    kind, on_reference, on_read = columns(parse_cigar("2M1I2M"), "AATCC", "AACC")
    found = Alignment("g", "+", 10, 14, 5, 60, kind, 10 + on_reference, on_read)
    assert found.inside(Region("g", 10, 12)).tolist() == [True, True, False, False, False]
    assert found.inside(Region("g", 12, 14)).tolist() == [False, False, False, True, True]
    assert found.inside(Region("g", 11, 13)).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("length", [200, 500])
def test_short_and_poor_reads_map(mapper: AlignmentMapper, length: int) -> None:
    rng = np.random.default_rng(length)
    mapped = 0
    for start in range(0, 5000, 250):
        bases = [other(base) if rng.random() < 0.15 else base for base in GENOME[start : start + length]]
        found = mapper.align(call("".join(base for base in bases if rng.random() > 0.05)))
        mapped += found is not None and found.ref_start < start + length and found.ref_end > start
    assert mapped >= 18  # of 20 with 20 % errors


def test_random_empty_and_tiny_reads_do_not_map(mapper: AlignmentMapper) -> None:
    rng = np.random.default_rng(1)
    for length in (0, 1, 20, 300, 2000):
        assert mapper.align(call("".join(rng.choice(list("ACGT"), length)))) is None
    assert mapper.align(call("N" * 500)) is None


def test_region_of_text() -> None:
    lengths = {"chr1": 100, "HLA:01": 50}
    assert parse_region("chr1:0-100", lengths) == Region("chr1", 0, 100)
    assert parse_region("HLA:01:5-20", lengths) == Region("HLA:01", 5, 20)
    assert parse_region("big:1,000-2,000", {"big": 5000}) == Region("big", 1000, 2000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1", "found 'chr1'; allowed is NAME:START-END"),
        ("chr1:5", "allowed is NAME:START-END"),
        ("chr1:a-b", "allowed is NAME:START-END"),
        ("chrl:0-10", "has no sequence 'chrl'; did you mean 'chr1'?"),
        ("chr1:20-10", "found 20-10; allowed is a span inside 0-100"),
        ("chr1:0-101", "found 0-101; allowed is a span inside 0-100"),
    ],
)
def test_bad_regions(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_region(text, {"chr1": 100})
    assert message in str(caught.value)


def test_mapper_takes_gzip_and_refuses_what_is_not_fasta(tmp_path: Path) -> None:
    import gzip

    packed = tmp_path / "g.fa.gz"
    packed.write_bytes(gzip.compress(f">g\n{GENOME}\n".encode()))
    found = AlignmentMapper(packed).align(call(GENOME[100:900]))
    assert found is not None
    assert (found.kind == MATCH).all()
    wrong = tmp_path / "table.tsv"
    wrong.write_text("id\tlength\n")
    for path in (wrong, tmp_path / "missing.fa", Path("-")):
        with pytest.raises(InputError):
            AlignmentMapper(path)


def test_a_call_on_its_own_label() -> None:
    found = of_label("GGACTTTACCA", "ACGTTACC")  # two bases before it, one behind, and an error within
    assert found is not None
    assert (found.kind == 0).sum() >= 7
    assert ((found.kind > 0).sum(), found.aligned) == (1, 8) or ((found.kind > 0).sum(), found.aligned) == (2, 9)
    whole = of_label("ACGT", "ACGGT")
    assert whole is not None
    assert whole.kind.tolist() == [0, 0, 3, 0, 0] or whole.kind.tolist() == [0, 0, 0, 3, 0]
    assert whole.read_position[whole.kind != 3].tolist() == [0, 1, 2, 3]
    assert of_label("", "ACGT") is None


RNG = np.random.default_rng(2)
ONE, TWO = ("".join(RNG.choice(list("ACGT"), size)) for size in (6000, 3000))


@pytest.fixture(scope="module")
def plain_mapper(tmp_path_factory: pytest.TempPathFactory) -> Mapper:
    path = tmp_path_factory.mktemp("reference") / "g.fa"
    path.write_text(f">one first\n{ONE[:3000].lower()}\n{ONE[3000:]}\n>two\n{TWO}\n")
    return Mapper(path)


def test_names_and_spans(plain_mapper: Mapper) -> None:
    assert plain_mapper.references == [("one", 6000), ("two", 3000)]
    assert plain_mapper.sequence("one", 2990, 3010) == ONE[2990:3010]
    assert plain_mapper.sequence("two") == TWO
    assert plain_mapper.sequence("two", 2990, 9999) == TWO[2990:]
    assert plain_mapper.sequence("two", 5, 5) == ""
    with pytest.raises(KeyError):
        plain_mapper.sequence("three", 0, 5)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_read_is_found_where_it_comes_from(plain_mapper: Mapper, reverse: bool) -> None:
    read = TWO[500:1500]
    hit = plain_mapper.best(reverse_complement(read) if reverse else read)
    assert hit is not None
    assert (hit.ctg, hit.r_st, hit.r_en, hit.strand, hit.mlen) == ("two", 500, 1500, -1 if reverse else 1, 1000)


def test_the_best_has_the_most_matches_and_comes_with_its_supplement(plain_mapper: Mapper) -> None:
    read = TWO[:600] + reverse_complement(ONE[1000:2500])
    hit = plain_mapper.best(read)
    assert hit is not None
    assert hit.mlen == max(each.mlen for each in plain_mapper.hits(read))
    assert {each.ctg for each in plain_mapper.hits(read)} == {"one", "two"}


def test_nothing_is_found_for_what_is_not_there(plain_mapper: Mapper) -> None:
    strange = "".join(np.random.default_rng(9).choice(list("ACGT"), 1000))
    for read in ("", "A", "N" * 500, strange):
        assert plain_mapper.best(read) is None
        assert plain_mapper.hits(read) == []


def test_threads_give_the_same(plain_mapper: Mapper) -> None:
    reads = [ONE[start : start + 700] for start in range(0, 5000, 50)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(plain_mapper.best, reads))
    assert [hit.r_st for hit in found if hit] == list(range(0, 5000, 50))


def test_what_is_no_fasta_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.tsv").write_text("id\tlength\n")
    for path in (tmp_path / "table.tsv", tmp_path / "missing.fa", Path("-")):
        with pytest.raises(InputError):
            Mapper(path)

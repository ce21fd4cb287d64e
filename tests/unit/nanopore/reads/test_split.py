"""Splitting of reads of two molecules, with their tags."""

from datetime import UTC, datetime

import numpy as np
import pytest

from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.reads.split import BOTTOM, TOP, part, parts_of, spans_between, split_reads
from biorrn.nanopore.reads.trim import bases_of


def insert(rng: np.random.Generator, size: int) -> str:
    return "".join(rng.choice(list("ACGT"), size))


def test_two_and_three_molecules_and_one() -> None:
    rng = np.random.default_rng(0)
    one, two, three = (insert(rng, size) for size in (500, 800, 300))
    joined = one + BOTTOM + TOP + two + BOTTOM + "ACGTAC" + TOP + three
    assert [joined[start:end] for start, end, *_ in parts_of(bases_of(joined))] == [one, two, three]
    assert parts_of(bases_of(one)) == [(0, 500, -1, -1)]
    assert parts_of(bases_of(TOP + one + BOTTOM)) == [(0, 550, -1, -1)]
    assert parts_of(bases_of("ACGT")) == [(0, 4, -1, -1)]


def test_random_reads_are_left_whole() -> None:
    rng = np.random.default_rng(1)
    assert sum(len(parts_of(bases_of(insert(rng, 3000)))) > 1 for _ in range(1000)) <= 2


def test_parts_have_their_own_ids_moves_and_samples() -> None:
    rng = np.random.default_rng(2)
    one, two = insert(rng, 400), insert(rng, 300)
    bases = one + BOTTOM + TOP + two
    moves = "1,0," * (len(bases) - 1) + "1"
    tags = ("ts:i:7", f"ns:i:{7 + 5 * (2 * len(bases) - 1)}", f"mv:B:c,5,{moves}", "RG:Z:g", "s0:i:3")
    samples = int(tags[1][5:])
    tags += (f"du:f:{samples / 4000:.5f}", "st:Z:2024-01-01T00:00:09.500+00:00", "pt:i:20", "tq:f:0.75")
    tags += (f"pa:B:i,{samples - 40},{samples - 240},{samples - 40},-1,-1",)
    read = BaseCall("parent", bases, np.full(len(bases), 20, np.uint8), tags)
    made = list(split_reads([read, BaseCall("whole", one, np.zeros(0, np.uint8))]))
    assert [len(part.bases) for part, _ in made] == [400, 300, 400]
    parts = [{tag[:2]: tag[5:] for tag in part.tags} for part, _ in made[:2]]
    assert [tags["pi"] for tags in parts] == ["parent", "parent"]
    assert [int(tags["sp"]) for tags in parts] == [7, 7 + 10 * (len(bases) - 300)]
    for (each, _), own in zip(made, parts, strict=False):
        moves = own["mv"].split(",")[2:]
        assert moves.count("1") == len(each.bases)
        assert (int(own["ts"]), int(own["ns"])) == (0, 5 * len(moves))
        begin = int(own["sp"])
        assert int(own["s0"]) == 3 + begin
        assert float(own["du"]) == pytest.approx(5 * len(moves) / 4000, abs=1e-5)
        started = datetime.fromisoformat(own["st"]) - datetime(2024, 1, 1, 0, 0, 9, 500_000, UTC)
        assert started.total_seconds() == pytest.approx(begin / 4000, abs=0.001)
        assert own["RG"] == "g"
    # the tail is of the part that holds it, and counts from its first sample
    begin = int(parts[1]["sp"])
    assert parts[1]["pa"] == f"i,{samples - 40 - begin},{samples - 240 - begin},{samples - 40 - begin},-1,-1"
    assert (parts[1]["pt"], parts[1]["tq"]) == ("20", "0.75")
    assert not parts[0].keys() & {"pa", "pt", "tq"}
    assert len({part.id for part, _ in made}) == 3
    assert made[2][0].id == "whole"
    again = list(split_reads([part for part, _ in made]))
    assert [part for part, _ in again] == [part for part, _ in made]
    assert [cells[1:3] for _, cells in made] == [["1", "2"], ["2", "2"], ["1", "1"]]


def test_parts_of_two_parts_of_a_read_have_different_ids() -> None:
    bases = insert(np.random.default_rng(3), 600)
    one, two = (BaseCall(name, bases, np.zeros(0, np.uint8), ("pi:Z:whole",)) for name in ("a", "b"))
    assert part(one, 0, 300).id != part(two, 0, 300).id
    assert part(one, 0, 300).tags == part(two, 0, 300).tags == ("pi:Z:whole",)


def test_open_pore_in_the_signal_cuts_the_bases_of_both_sides() -> None:
    bases = insert(np.random.default_rng(4), 500)
    tags = ("ts:i:100", "mv:B:c,5," + "1,0," * 499 + "1,0")  # ten samples a base
    read = BaseCall("r", bases, np.full(500, 20, np.uint8), tags)
    gaps = [(100 + 2003, 100 + 2047)]  # inside base 200 to inside base 204
    assert spans_between(read, gaps) == [(0, 201), (205, 500)]
    assert spans_between(read, gaps, rna=True) == [(0, 295), (299, 500)]
    assert spans_between(BaseCall("r", bases, read.quals), gaps) == spans_between(read, []) == [(0, 500)]
    made = list(split_reads([read], gaps={"r": gaps, "other": gaps}))
    assert [part.bases for part, _ in made] == [bases[:201], bases[205:]]
    assert [cells[1:5] for _, cells in made] == [["1", "2", "0", "201"], ["2", "2", "205", "500"]]
    assert "sp:i:2150" in made[1][0].tags
    turned = list(split_reads([read], rna=True, gaps={"r": gaps}))
    assert [part.bases for part, _ in turned] == [bases[:295], bases[299:]]
    assert "sp:i:100" in turned[1][0].tags
    assert len(list(split_reads([read], gaps={"other": gaps}))) == 1

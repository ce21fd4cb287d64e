"""Consensus of reads made from a known sequence: it is found again; and what the layout does at ends and repeats."""

from types import SimpleNamespace

import numpy as np
import pytest

from biorrn.inference.consensus import consensus, write_contigs
from biorrn.inference.consensus_check import KINDS, disagreement, make_consensus, run_lengths, summary
from biorrn.inference.layout import Rules, extended, lay_out, stretches
from biorrn.inference.mapping import reverse_complement
from biorrn.inference.polish import codes, depth, fits, letters, place_reads, polish
from biorrn.readers.nucleotides import read_bases


def sequence(length: int, seed: int) -> str:
    return letters(np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8))


def read_of(truth: str, rng: np.random.Generator, errors: float = 0.04) -> str:
    """Return a noisy copy: deletions, mismatches, insertions, each at `errors` a base; more deletions in runs."""
    read, last = [], ""
    for base in truth:
        lost = errors * (3 if base == last else 1)
        draw, last = rng.random(), base
        read.append("" if draw < lost else "ACGT"[rng.integers(4)] if draw < lost + errors else base)
        read.append("ACGT"[rng.integers(4)] if rng.random() < errors else "")
    return "".join(read)


def reads_of(truth: str, number: int, length: int, seed: int) -> list[str]:
    """Return noisy reads of both strands, from evenly spread places."""
    rng = np.random.default_rng(seed)
    found = []
    for row, start in enumerate(np.linspace(0, len(truth) - length, number).astype(int)):
        read = read_of(truth[start : start + length], rng)
        found.append(reverse_complement(read) if row % 2 else read)
    return found


def differences(one: str, other: str) -> int:
    import edlib

    return min(edlib.align(one, strand)["editDistance"] for strand in (other, reverse_complement(other)))


def inside(one: str, other: str) -> int:
    """Return the edits that make a sequence a part of another, on the better strand."""
    import edlib

    return min(edlib.align(strand, other, mode="HW")["editDistance"] for strand in (one, reverse_complement(one)))


@pytest.fixture(scope="module")
def truth() -> str:
    return sequence(4000, 1)


@pytest.fixture(scope="module")
def reads(truth: str) -> list[str]:
    return reads_of(truth, 36, 1800, 2)


def test_polishing_mends_a_raw_read(truth: str) -> None:
    part = truth[:2000]
    reads = [read_of(part, np.random.default_rng(seed)) for seed in range(25)]
    placed = [place for place in place_reads([reads[0]], reads[1:]) if place is not None]
    found, _, made = polish(reads[0], placed)
    before = differences(reads[0], part)
    assert before > 200
    assert made > 150
    assert differences(found[30:-30], part[30:-30]) <= 40  # ends of the window are not aligned alike
    again = [place for place in place_reads([found], reads) if place is not None]
    assert differences(polish(found, again)[0], part) <= 20


def test_reads_become_one_contig_that_is_nearly_the_truth(truth: str, reads: list[str]) -> None:
    lines: list[str] = []
    contigs = consensus(reads, Rules(min_depth=5), rounds=2, say=lines.append)
    assert [contig.name for contig in contigs] == ["consensus_1"]
    found = contigs[0]
    assert len(found.bases) > 3300
    assert len(found.depth) == len(found.bases)
    assert found.depth.min() >= 5
    assert inside(found.bases, truth) < 0.004 * len(found.bases)
    assert 0.8 < np.median(found.identities) < 0.95
    assert any("edits" in line for line in lines)


def test_two_regions_are_two_contigs(truth: str) -> None:
    other = sequence(3000, 7)
    contigs = consensus(reads_of(truth, 14, 2500, 3) + reads_of(other[:2400], 10, 1800, 4), Rules(4), rounds=1)
    assert len(contigs) == 2
    assert len(contigs[0].bases) > len(contigs[1].bases) > 1500


def test_same_result_with_two_threads(reads: list[str]) -> None:
    one, two = (consensus(reads[::2], Rules(4, threads), rounds=1) for threads in (1, 2))
    assert [contig.bases for contig in one] == [contig.bases for contig in two]


@pytest.mark.parametrize("reads", [[], [""], ["ACGT"], ["ACGTACGTAC" * 30] * 3, [sequence(2000, 5)]])
def test_too_little_is_no_contig(reads: list[str]) -> None:
    assert consensus(reads, Rules(5)) == []
    assert lay_out(reads, Rules(5)) == []


def test_draft_is_extended_as_far_as_enough_reads_go(truth: str) -> None:
    draft = truth[1000:3000]
    pool = [truth[500 : 3000 + reach] for reach in (100, 400, 700, 900)]
    placed = [place for place in place_reads([draft], pool) if place is not None]
    assert extended(draft, placed, pool, 3) == truth[1000:3400]
    assert extended(draft, placed, pool, 4) == ""  # 100 bases are not worth it
    back = [reverse_complement(read) for read in pool]
    placed = [place for place in place_reads([draft], back) if place is not None]
    assert all(place.reverse for place in placed)
    assert extended(draft, placed, back, 2) == truth[1000:3700]


def test_a_read_that_is_like_the_draft_only_inside_is_left_out(truth: str) -> None:
    repeat = sequence(1500, 8) + truth[1000:3000] + sequence(1500, 9)
    assert place_reads([truth], [repeat]) == [None]
    assert place_reads([truth], [truth[2000:4000]])[0] is not None


@pytest.mark.parametrize(
    ("q_st", "q_en", "r_st", "r_en", "strand", "expected"),
    [
        (0, 1000, 500, 1500, 1, True),  # all of the read
        (900, 2000, 10, 1100, 1, True),  # hangs over the left end
        (900, 2000, 900, 2000, 1, False),  # 900 bases of both do not fit
        (0, 1100, 10, 1100, -1, True),  # the same two, of the other strand
        (0, 1100, 900, 2000, -1, False),
    ],
)
def test_fits(q_st: int, q_en: int, r_st: int, r_en: int, strand: int, expected: bool) -> None:
    hit = SimpleNamespace(q_st=q_st, q_en=q_en, r_st=r_st, r_en=r_en, strand=strand)
    assert fits(hit, 1000 if q_en == 1000 else 2000, 3000) is expected


def test_place_gives_the_read_in_the_direction_of_the_draft(truth: str) -> None:
    read = truth[1000:1500] + truth[1503:2200]
    for strand in (read, reverse_complement(read)):
        place = place_reads([sequence(3000, 11), truth], [strand])[0]
        assert place is not None
        assert place.draft == 1
        assert letters(place.bases) == read[place.start - 1000 : place.end - 1003]
        assert len(place.path) == place.end - place.start + 1
        assert place.path[1800 - place.start] == 797 - (place.start - 1000)
        assert place.path[-1] == len(place.bases)
        assert depth([place], 4000)[[999, 1600, 2200]].tolist() == [0, 1, 0]


def test_stretches() -> None:
    over = np.array([0, 5, 6, 0, 7, 7, 7])
    assert stretches(over, 5) == [(1, 3), (4, 7)]
    assert stretches(over, 5, shortest=3) == [(4, 7)]
    assert stretches(over, 9) == [] == stretches(np.zeros(0, int), 1)


def test_disagreement_counts_each_kind(truth: str) -> None:
    base = truth[:1500] + "CAAAAAG" + truth[1500:3000]
    changed = list(base)
    changed[300] = "ACGT"[("ACGT".index(base[300]) + 1) % 4]
    changed[1502] = ""  # of AAAAA
    single = next(at for at in range(2000, 2100) if run_lengths(codes(base))[at] == 1)
    changed[single] = ""
    one, other = (
        SimpleNamespace(bases=bases, depth=np.full(len(bases), 20)) for bases in (base, "".join(changed))
    )  # fmt: skip
    found = disagreement([one], [other])  # type: ignore[list-item]
    assert [found[kind] for kind in KINDS] == [1, 1, 1]
    assert found["bases"] == len(base)
    assert found["rate"] == pytest.approx(3 / len(base))
    turned = SimpleNamespace(bases=reverse_complement(other.bases), depth=other.depth)
    assert disagreement([one], [turned]) == found  # type: ignore[list-item]
    assert disagreement([one], [other], least=21)["bases"] == 0  # type: ignore[list-item]


def test_file_to_contigs_and_numbers(tmp_path, reads: list[str]) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "reads.fasta"
    path.write_text("".join(f">r{row}\n{read}\n" for row, read in enumerate(reads)))
    contigs, numbers = make_consensus(path, draft=None, rounds=2, min_depth=4, check=True, threads=1)
    assert numbers["reads"] == 36
    assert numbers["placed"] > 30
    assert numbers["bases"] == sum(len(contig.bases) for contig in contigs)
    assert numbers["halves"]["bases"] > 2000
    assert numbers["halves"]["rate"] < 0.01
    assert len(summary(numbers)) == len(contigs) + 2
    out = tmp_path / "out.fasta"
    write_contigs(out, contigs)
    assert dict(read_bases(out)) == {contig.name: contig.bases for contig in contigs}
    polished, _ = make_consensus(path, draft=out, rounds=1, min_depth=4, check=False, threads=1)
    assert inside(polished[0].bases[50:-50], contigs[0].bases) <= 5

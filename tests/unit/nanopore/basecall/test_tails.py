"""Lengths of tails: made current of known tails, calls of cDNA, and public reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.sam import tags
from biorrn.nanopore.basecall.tails import Tails, behind_adapter, flat_stretches, measure, samples_per_base
from biorrn.nanopore.readers.files import read_all
from biorrn.nanopore.reads.kits import Kit
from biorrn.sequences.records import SignalRecord

EACH = 10  # samples a base
PRIMER = "ACTTGCCTGTCGCTCTATCTTC"


def current_of(rng: np.random.Generator, bases: str, size: int = 0) -> np.ndarray:
    """Return the current of bases, a level each, and flat current of the tail where they have a dash."""
    parts = []
    for base in bases:
        flat = base == "-"
        parts.append(rng.normal(95 if flat else rng.normal(85, 15), 1.5, EACH * (size if flat else 1)))
    return np.concatenate(parts).astype(np.float32)


def call_of(bases: str, tail: int, called: str) -> Call:
    """Return a call whose tail of some bases, a dash in them, is called as other bases."""
    rng = np.random.default_rng(0)
    current = current_of(rng, bases, tail)
    place = bases.index("-")
    dwells = (
        [2] * place + [2 * tail // len(called)] * len(called) + [2] * (len(bases) - place - 1)
    )  # frames of 5 samples
    moves = np.concatenate([np.eye(1, dwell, dtype=np.uint8)[0] for dwell in dwells])
    raw = np.rint(current * 10).astype(np.int16)
    record = SignalRecord("r", raw, offset=0.0, scale=0.1, sample_rate=4000.0)
    letters = bases.replace("-", called)
    return Call("r", letters, np.full(len(letters), 20, np.uint8), moves, 5, len(raw), 0, record)


def random_bases(size: int) -> str:
    return "".join(np.random.default_rng(1).choice(list("ACGT"), size))


@pytest.mark.parametrize("size", [15, 60, 240])
def test_tails_of_both_strands(size: int) -> None:
    body = "G" + random_bases(600) + "G"
    turned = call_of("AATGTACTTCGTTCAGT" + PRIMER + "-" + body, size, "TTTCT")
    forward = call_of(body + "-" + reverse_complement(PRIMER) + "AGCAATACGTAACTG", size, "AAAGA")
    for call, before in ((turned, 39), (forward, len(body))):
        tail = Tails().of_cdna(call)
        assert tail is not None
        assert abs(tail.length - size) <= max(2, 0.05 * size)
        assert abs(tail.start - EACH * before) < 2 * EACH
        assert abs(tail.end - EACH * (before + size)) < 2 * EACH
        assert tail.anchor == (tail.start if call is turned else tail.end)
        assert 0.9 < tail.quality <= 1


def test_no_tail_without_primer_flat_current_or_its_base() -> None:
    body = "G" + random_bases(600) + "G"
    own = "AATGTACTTCGTTCAGT" + PRIMER + "-" + body
    assert Tails().of_cdna(call_of(own, 60, "TTTCT")) is not None
    assert Tails().of_cdna(call_of(own.replace(PRIMER, random_bases(22)), 60, "TTTCT")) is None
    assert Tails().of_cdna(call_of(own, 60, "GCGCG")) is None
    assert Tails().of_cdna(call_of(own, 4, "TTTT")) is None
    short = call_of("ACGT-ACGT", 60, "TTTCT")
    assert Tails().of_cdna(short) is None


def test_the_primers_of_another_kit_are_searched_too() -> None:
    other = "GGTCATAGCATTCGGACCTAAGTCAC"
    call = call_of("AATGTACTTCGTTCAGT" + other + "-" + random_bases(600), 60, "TTTCT")
    assert Tails().of_cdna(call) is None
    kit = Kit("OWN", {}, (), False, (), (other,))
    assert Tails(kit=kit).of_cdna(call) is not None


def test_tags_and_the_signal_is_let_go() -> None:
    call = call_of("AATGTACTTCGTTCAGT" + PRIMER + "-" + random_bases(600), 60, "TTTCT")
    (made,) = Tails().measured([call])
    assert made.tail is not None
    assert len(made.record.raw) == 0
    own = {tag[:2]: tag for tag in tags(made)}
    assert own["pt"] == f"pt:i:{made.tail.length}"
    assert own["pa"] == f"pa:B:i,{made.tail.anchor},{made.tail.start},{made.tail.end},-1,-1"
    assert own["tq"] == f"tq:f:{made.tail.quality:.2f}"
    assert not {"pt", "pa", "tq"} & {tag[:2] for tag in tags(replace(made, tail=None))}


def test_a_tail_goes_past_a_burst_but_not_into_other_bases() -> None:
    rng = np.random.default_rng(3)
    current = current_of(rng, random_bases(200) + "-" + random_bases(200), 80)
    current[2300:2380] = rng.normal(95, 25, 80)
    tail = measure(current, 2450, 2600, EACH, True)
    assert tail is not None
    assert abs(tail.start - 2000) < 20
    assert abs(tail.end - 2800) < 20
    assert 0.85 < tail.quality < 1
    bounded = measure(current, 2450, 2600, EACH, True, edge=2400)
    assert bounded is not None
    assert bounded.start >= 2400


def test_the_speed_leaves_pauses_out_and_needs_bases() -> None:
    dwells = np.full(100, 10)
    assert samples_per_base(dwells) == 10
    assert samples_per_base(np.append(dwells, 5000)) == 10
    assert samples_per_base(dwells[:49]) is None


def test_direct_rna_has_its_tail_behind_the_adapter() -> None:
    rng = np.random.default_rng(4)
    stall, adapter = rng.normal(68, 2, 3000), np.repeat(rng.normal(66, 7, 60), 30) + rng.normal(0, 1.5, 1800)
    body = np.repeat(rng.normal(85, 15, 700), 30) + rng.normal(0, 1.5, 21_000)
    tail = rng.normal(98, 2, 60 * 30)
    current = np.concatenate([stall, adapter, tail, body]).astype(np.float32)
    found = behind_adapter(current, 30)
    assert found is not None
    measured = measure(current, *found, 30, True)
    assert measured is not None
    assert abs(measured.length - 60) <= 2
    assert behind_adapter(np.concatenate([stall, adapter, body]).astype(np.float32), 30) is None
    assert behind_adapter(body.astype(np.float32), 30) is None


@pytest.mark.parametrize("current", [[], [80.0] * 5000])
def test_no_stretch_in_signal_of_nothing(current: list[float]) -> None:
    if current:
        assert behind_adapter(np.array(current, np.float32), 30) is None
        assert flat_stretches(np.array(current, np.float32), 30) == []
    assert flat_stretches(np.zeros(20, np.float32), 30) == []


def test_public_reads_with_tails(shared_data: Path) -> None:
    """Of RNA004 with tails of about 50 bases, by its nominal speed; of cDNA, where the flat current is seen."""
    folder = shared_data / "nanopore" / "chemistry"
    (record,) = read_all([folder / "rna004_polya_50.pod5"])
    current, each = record.picoamperes(), 4000 / 130
    found = behind_adapter(current, each)
    assert found is not None
    tail = measure(current, *found, each, True)
    assert tail is not None
    assert 35 <= tail.length <= 60
    seen = {"6d835c82": (16_700, 19_300), "b55aa1e1": (1820, 4600)}
    for record in read_all([folder / "r10.4.1_5khz_cdna_polya.pod5"]):
        current, each = record.picoamperes(), 5000 / 400
        start, end = max(flat_stretches(current, each), key=lambda span: span[1] - span[0])
        tail = measure(current, start, end, each, True)
        assert tail is not None
        assert np.abs(np.subtract((tail.start, tail.end), seen[record.read_id[:8]])).max() < 40

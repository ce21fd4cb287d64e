"""Splitting while basecalling: parts of the signal, and parts of calls as of finished reads."""

from dataclasses import replace

import numpy as np

from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.sam import move_tag, tags
from biorrn.nanopore.basecall.splitting import Splitter, parts_of_call, parts_of_signal
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.reads.split import BOTTOM, TOP, split_reads
from biorrn.nanopore.simulate.pore_model import load_pore_model
from biorrn.nanopore.simulate.reads import Settings, random_genome, simulate
from biorrn.sequences.records import SignalRecord


def reads(**settings: float) -> list:
    model = load_pore_model("dna_r9.4.1_6mer")
    return list(simulate(random_genome("20000", 0), model, Settings(800, 9, **settings), reads=6, seed=2))


def call_of(bases: str) -> Call:
    """Return a call of two frames a base, of a read with samples."""
    moves = np.tile(np.array([1, 0], np.uint8), len(bases))
    raw = np.arange(7 + 5 * len(moves) + 3).astype(np.int16)
    record = SignalRecord("whole", raw, offset=0.0, scale=1.0, sample_rate=4000.0, start_time=1000, number=4)
    return Call("whole", bases, np.arange(len(bases), dtype=np.uint8) % 40, moves, 5, len(raw), 7, record)


def test_parts_of_the_signal_are_reads_of_their_own() -> None:
    found = 0
    for record, truth in reads(chimeras=1.0):
        parts = parts_of_signal(replace(record, number=9))
        if len(parts) == 1:  # open pore of a sample or two
            continue
        found += 1
        one, two = parts
        assert abs(len(one.raw) - truth.open_pore[0]) <= 3
        assert abs(two.parent_start - truth.open_pore[1]) <= 3
        for part in parts:
            assert np.array_equal(part.raw, record.raw[part.parent_start :][: len(part.raw)])
            assert part.start_time == record.start_time + part.parent_start
            assert (part.parent, part.number, part.run_id) == (record.read_id, 9, record.run_id)
        assert len({record.read_id, one.read_id, two.read_id}) == 3
        assert [part.read_id for part in parts] == [part.read_id for part in parts_of_signal(record)]
        assert [parts_of_signal(part)[0] is part for part in parts] == [True, True]
    assert found >= 5


def test_one_molecule_and_signal_that_cannot_be_calibrated_stay_whole() -> None:
    for record, _ in reads():
        assert parts_of_signal(record) == [record]
    for change in (
        {"scale": float("nan")},
        {"scale": 0.0},
        {"offset": float("inf")},
        {"sample_rate": 0.0},
        {"raw": record.raw[:0]},
    ):
        odd = replace(record, **change)
        assert parts_of_signal(odd) == [odd]


def test_parts_of_a_call_are_those_of_the_finished_read() -> None:
    rng = np.random.default_rng(0)
    one, two = ("".join(rng.choice(list("ACGT"), size)) for size in (400, 300))
    call = call_of(one + BOTTOM + TOP + two)
    finished = BaseCall("whole", call.bases, call.quals, (*tags(call), move_tag(call)))
    made = parts_of_call(call)
    assert [part.bases for part in made] == [one, two]
    for part, (other, _) in zip(made, split_reads([finished]), strict=True):
        assert (part.read_id, part.bases, part.quals.tolist()) == (other.id, other.bases, other.quals.tolist())
        mine = {tag[:2]: tag for tag in (*tags(part), move_tag(part))}
        theirs = {tag[:2]: tag for tag in other.tags}
        assert {name: mine[name] for name in theirs} == theirs  # pi, sp, mv, ts, ns, du, qs, s0, st
        assert mine.keys() == theirs.keys()
        assert part.record.start_time == 1000 + part.record.parent_start
        assert np.array_equal(part.record.raw, call.record.raw[part.record.parent_start :][: part.samples])
        assert int(part.moves.sum()) == len(part.bases)


def test_a_part_of_a_part_names_the_read_that_was_sequenced() -> None:
    rng = np.random.default_rng(1)
    one, two = ("".join(rng.choice(list("ACGT"), 300)) for _ in range(2))
    call = call_of(one + BOTTOM + TOP + two)
    call = replace(call, record=replace(call.record, parent="first", parent_start=5000))
    assert [part.record.parent for part in parts_of_call(call)] == ["first", "first"]
    assert [part.record.parent_start for part in parts_of_call(call)] == [5007, 5007 + 10 * (len(call.bases) - 300)]


def test_what_was_split_is_counted_and_rna_has_no_such_adapters() -> None:
    rng = np.random.default_rng(2)
    one, two = ("".join(rng.choice(list("ACGT"), 300)) for _ in range(2))
    calls = [call_of(one + BOTTOM + TOP + two), call_of(one)]
    splitter = Splitter()
    assert len(list(splitter.calls(calls))) == 3
    assert splitter.line() == "1 read split, into 2"
    part = replace(calls[0], record=replace(calls[0].record, parent="first"))
    splitter.parents, splitter.parts = 1, 2
    assert len(list(splitter.calls([part]))) == 2
    assert splitter.line() == "1 read split, into 3"
    assert list(Splitter(rna=True).calls(calls)) == calls

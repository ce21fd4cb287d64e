"""Stretches of signal to draw: which reads, which stretch, what stands over which sample, and what goes wrong."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.config.samples import CALLER
from biorrn.nanopore.alignment import Alignment, AlignmentMapper, Region, Score
from biorrn.nanopore.evaluate.error_profile import GAP, Columns
from biorrn.nanopore.evaluate.identity import score_reads
from biorrn.nanopore.evaluate.squiggle import (
    BASES,
    MOVES,
    NO_READ,
    SAMPLES,
    Placed,
    Squiggle,
    apart,
    choose,
    draw_from,
    error_of,
    errors_by_base,
    facts,
    places_of,
    squiggle,
    squiggle_figure,
    window,
)
from biorrn.nanopore.readers.calls import BaseCall, read_calls
from biorrn.sequences.records import SignalRecord

Aligned = Callable[..., tuple[BaseCall, Alignment]]


def score(id: str, identity: float) -> Score:
    return Score(id, 100, "scored", 10.0, identity=identity)


@pytest.mark.parametrize(
    ("identities", "expected"),
    [
        ([], {}),
        ([0.9], {"median": "r0"}),
        ([0.8, 0.9], {"best": "r1", "worst": "r0"}),
        ([0.8, 0.9, 0.85], {"best": "r1", "median": "r2", "worst": "r0"}),
        ([0.8, 0.8, 0.8, 0.8], {"best": "r0", "median": "r2", "worst": "r3"}),  # ties by id
    ],
)
def test_best_median_and_worst(identities: list[float], expected: dict[str, str]) -> None:
    found = choose([score(f"r{i}", identity) for i, identity in enumerate(identities)])
    assert {which: one.read_id for which, one in found.items()} == expected


def test_errors_of_each_called_base() -> None:
    #           reference A C G T - A A C
    #           read      A T - - C A - C
    true, called = np.array([1, 2, 3, 4, GAP, 1, 1, 2]), np.array([1, 4, GAP, GAP, 2, 1, GAP, 2])
    found = errors_by_base(Columns(true.astype(np.uint8), called.astype(np.uint8), np.ones(7, bool)))
    assert found.tolist() == [0, 1, 3, 0, 1]  # the insertion counts the two bases deleted before it


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2)), min_size=1, max_size=200))
def test_the_stretch_fits_the_figure(bases: list[tuple[int, int]]) -> None:
    dwells, errors = (np.array(column) for column in zip(*bases, strict=True))
    edges = np.concatenate([[50], 50 + np.cumsum(dwells)])
    found = window(edges, errors)
    if found is None:
        widths = [edges[i + min(BASES[1], len(errors))] - edges[i] for i in range(len(errors) - BASES[1] + 1)]
        assert all(width > SAMPLES for width in widths)
    else:
        first, last = found
        assert edges[last] - edges[first] <= SAMPLES
        assert min(BASES[1], len(errors)) <= last - first <= BASES[0]


def test_the_stretch_has_the_usual_errors_and_is_near_the_middle() -> None:
    edges = 10 * np.arange(201)
    errors = np.zeros(200, int)
    errors[::20] = 1
    first, last = window(edges, errors) or (0, 0)
    assert last - first == SAMPLES // 10
    assert errors[first:last].sum() == 2  # 30 bases of 1.5 errors: two, by rounding to even
    assert abs(first + last - 200) <= 20


def placed_read(aligned: Aligned, strand: int = 1) -> tuple[Squiggle, np.ndarray, str, str]:
    """Return the stretch drawn of a read with errors of each kind, the signal of the read, its bases and the true."""
    reference = "".join(np.random.default_rng(2).choice(list("ACGT"), 60))
    wrong = {"A": "C", "C": "G", "G": "T", "T": "A"}
    read = reference[:28] + wrong[reference[28]] + reference[29:31] + reference[32:34] + "ACGT" + reference[34:]
    call, alignment = aligned("31M1D2M4I26M", read, reference, strand)
    raw = np.arange(2000, dtype=np.int16)
    record = SignalRecord("r", raw, 10.0, 0.5, 4000.0)
    starts = 100 + 9 * np.arange(len(read) - 10)  # the first ten bases are in no place
    made = squiggle("median", score("r", 0.9), record, call, alignment, Placed(MOVES, 10, starts, int(starts[-1]) + 9))
    assert made is not None
    return made, record.picoamperes(), read, reference


@pytest.mark.parametrize("strand", [1, -1])
def test_letters_stand_over_their_samples(aligned: Aligned, strand: int) -> None:
    made, current, read, reference = placed_read(aligned, strand)
    assert (made.current == current[made.first : made.first + len(made.current)]).all()
    assert len(made.edges) == 1 + (made.called != GAP).sum()
    assert made.edges[0] == 0
    assert made.edges[-1] == len(made.current)
    assert (made.first - 100) % 9 == 0
    (fact,) = facts([made])
    first = 10 + (made.first - 100) // 9  # base of the call
    assert fact["called"] == read[first : first + len(str(fact["called"]))]
    assert str(fact["reference"]) in reference
    assert fact["to_sample"] == made.first + len(made.current)
    places = places_of(made)
    assert (np.diff(places) > 0).all()
    assert places[0] == made.edges[1] / 2


def test_too_little_to_draw_is_none(aligned: Aligned) -> None:
    call, alignment = aligned("20M", "ACGTACGTACGTACGTACGT", "ACGTACGTACGTACGTACGT")
    record = SignalRecord("r", np.zeros(90_000, np.int16), 0.0, 1.0, 4000.0)
    slow = Placed(MOVES, 0, 4000 * np.arange(20), 80_000)
    beyond = Placed(MOVES, 20, np.zeros(0, np.int64), 0)
    usable = Placed(MOVES, 0, 9 * np.arange(20), 180)
    for placed in (slow, beyond):
        assert squiggle("best", score("r", 1.0), record, call, alignment, placed) is None
    assert squiggle("best", score("r", 1.0), record, call, alignment, usable, Region("g", 40, 60)) is None
    inside = squiggle("best", score("r", 1.0), record, call, alignment, usable, Region("g", 5, 18))
    assert inside is not None
    assert (inside.first, len(inside.current)) == (5 * 9, 13 * 9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 300), max_size=40).map(sorted))
def test_letters_keep_apart_and_inside(places: list[float]) -> None:
    found = apart(np.array(places), 5.0, 300.0)
    assert (np.diff(found) > 5.0 - 1e-6).all()
    assert all(2.5 - 1e-6 <= place <= 297.5 + 1e-6 for place in found)


@pytest.mark.parametrize(("true", "called", "error"), [(1, 1, ""), (1, 2, "mismatch"), (GAP, 1, "insertion")])
def test_errors_by_name(true: int, called: int, error: str) -> None:
    assert error_of(true, called) == error
    assert error_of(1, GAP) == "deletion"


def test_the_figure_names_reads_and_model(aligned: Aligned) -> None:
    made = placed_read(aligned)[0]
    drawing = squiggle_figure([made])
    assert drawing.name == "squiggle"
    assert "by the move table" in drawing.caption
    assert "median r." in drawing.caption
    axes = drawing.figure.axes[0]
    letters = [text.get_text() for text in axes.texts]
    assert letters.count("–") == (made.called == GAP).sum() + (made.true == GAP).sum() > 0
    assert {"called", "reference"} <= set(letters)


@pytest.fixture(scope="module")
def simulated(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the signal of eight reads, their reference, and their true bases as SAM with moves and as FASTQ."""
    folder, made = root / "data" / "simulated_reads", tmp_path_factory.mktemp("calls")
    csv.field_size_limit(10**7)
    sam, fastq = ["@HD\tVN:1.6"], []
    with open(folder / "truth.tsv") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            starts = np.array(row["starts"].split(","), int)
            bases = row["bases"][:900] + row["bases"][901:]  # one is deleted
            moves = np.zeros(int(row["end"]) - starts[0], int)
            moves[np.delete(starts, 900) - starts[0]] = 1
            table = ",".join(map(str, moves))
            tags = f"ts:i:{starts[0]}\tmv:B:c,1,{table}"
            sam.append(f"{row['read_id']}\t4\t*\t0\t0\t*\t*\t0\t0\t{bases}\t{'5' * len(bases)}\t{tags}")
            fastq.append(f"@{row['read_id']}\n{bases}\n+\n{'5' * len(bases)}")
    (made / "calls.sam").write_text("\n".join(sam) + "\n")
    (made / "calls.fastq").write_text("\n".join(fastq) + "\n")
    return {
        "signal": folder / "simulated.pod5",
        "reference": folder / "reference.fasta",
        "sam": made / "calls.sam",
        "fastq": made / "calls.fastq",
    }


def drawn(
    files: dict[str, Path], kind: str, signal: Path, model: str | None = None
) -> tuple[list[Squiggle], list[str]]:
    mapper = AlignmentMapper(files["reference"])
    scores = score_reads(read_calls(files[kind]), mapper.align)
    return draw_from(files[kind], files["reference"], mapper, scores.scored(), [signal], model)


def test_reads_with_moves_are_drawn_where_their_bases_are(simulated: dict[str, Path]) -> None:
    made, cautions = drawn(simulated, "sam", simulated["signal"])
    assert cautions == []
    assert [one.which for one in made] == ["best", "median", "worst"]
    assert {one.placed_by for one in made} == {MOVES}
    with open(simulated["reference"].parent / "truth.tsv") as stream:
        truth = {row["read_id"]: row for row in csv.DictReader(stream, delimiter="\t")}
    for one, fact in zip(made, facts(made), strict=True):
        row = truth[one.score.read_id]
        starts = np.array(row["starts"].split(","), int)
        begin = int(np.flatnonzero(starts == one.first)[0])
        assert row["bases"][begin : begin + len(str(fact["reference"]))] == fact["reference"]


def test_reads_without_moves_are_placed_by_a_model(simulated: dict[str, Path]) -> None:
    by_moves = {one.score.read_id: one for one in drawn(simulated, "sam", simulated["signal"])[0]}
    made, cautions = drawn(simulated, "fastq", simulated["signal"])
    assert cautions == []
    assert {one.placed_by for one in made} == {CALLER}
    for one in made:
        other = by_moves[one.score.read_id]
        assert one.score == other.score
        # not the same stretch, for the model's starts differ by some samples, but one of this read's reference
        assert len(one.edges) - 1 == (one.called != GAP).sum()


@pytest.mark.parametrize(
    ("name", "words"),
    [("simulated.blow5", NO_READ), ("nothing.pod5", "Signal for the squiggle: "), ("reference.fasta", "the suffix")],
)
def test_signal_that_is_of_no_use_is_said(simulated: dict[str, Path], tmp_path: Path, name: str, words: str) -> None:
    few = {**simulated, "sam": tmp_path / "calls.sam"}
    with open(simulated["reference"].parent / "truth.tsv") as stream:
        first = next(csv.DictReader(stream, delimiter="\t"))["read_id"]
    lines = [line for line in simulated["sam"].read_text().splitlines() if line.startswith(("@", first))]
    few["sam"].write_text("\n".join(lines) + "\n")
    made, cautions = drawn(few, "sam", simulated["signal"].parent / name)
    assert made == []
    assert any(words in caution for caution in cautions)
    assert cautions[-1] == NO_READ


def test_a_model_that_does_not_fit_is_said(simulated: dict[str, Path], tmp_path: Path) -> None:
    made, cautions = drawn(simulated, "fastq", simulated["signal"], model="stability")
    assert made == []
    assert any("stability" in caution for caution in cautions)

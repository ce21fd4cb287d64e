"""Trimming of calls: moves and samples of the part, barcodes, and the same cuts as on finished reads."""

from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.sam import move_tag, tags
from biorrn.nanopore.basecall.trimming import OwnTrimmer, Trimmer, part_of
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.reads.demux import NONE
from biorrn.nanopore.reads.kits import find_kit
from biorrn.nanopore.reads.trim import cut
from biorrn.sequences.records import SignalRecord


def made(bases: str, kit: str = "") -> Call:
    """Return a call of three frames a base, with 4 samples beyond the last frame."""
    moves = np.zeros(3 * len(bases), np.uint8)
    moves[::3] = 1
    record = SignalRecord("r", np.zeros(0, np.int16), offset=0.0, scale=1.0, sample_rate=4000.0,
                          run_tags={"sequencing_kit": kit} if kit else {})  # fmt: skip
    quals = np.arange(len(bases), dtype=np.uint8) % 40
    return Call("r", bases, quals, moves, 5, 100 + 15 * len(bases) + 4, 100, record)


@pytest.mark.parametrize("rna", [False, True])
def test_a_part_has_the_tags_of_a_finished_read_that_is_cut(rna: bool) -> None:
    call = made("ACGTTGCAAC")
    part = part_of(call, 2, 7, rna)
    finished = BaseCall("r", call.bases, call.quals, (*tags(call), move_tag(call)))
    wanted = cut(finished, 2, 7, rna)
    assert (part.bases, part.quals.tolist()) == (wanted.bases, wanted.quals.tolist())
    assert {*tags(part), move_tag(part)} == set(wanted.tags)
    assert part_of(call, 0, 10, rna) is call
    own = {tag[:2]: tag[5:] for tag in tags(part)}
    assert float(own["du"]) == pytest.approx(int(own["ns"]) / 4000, abs=1e-5)
    assert int(own["ns"]) < call.samples


def test_a_barcode_is_named_and_cut() -> None:
    kit = find_kit("SQK-NBD114-24")
    (before, after), inside = kit.flanks[0], "".join(np.random.default_rng(0).choice(list("ACGT"), 300))
    own = before + kit.barcodes["barcode05"] + after
    call = made("GTTCAGTT" + own + inside + reverse_complement(own))
    trimmer = Trimmer(kit)
    cut_off = trimmer(call)
    assert trimmer.lines() == ["kit SQK-NBD114-24: 1 of 1 reads have a barcode"]
    assert cut_off.bases == inside
    assert cut_off.barcode == "SQK-NBD114-24_barcode05"
    assert cut_off.cut == (8 + len(own), len(own))
    assert int(cut_off.moves.sum()) == 300
    assert Trimmer(kit, "none")(call).bases == call.bases
    assert Trimmer(kit, "none")(call).barcode == cut_off.barcode
    assert not Trimmer(kit)(made(inside)).barcode


def test_a_kit_of_barcodes_alone_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[sets.OWN]\nsequences = ["ACGTTGCAACGTAGCTAGCATCGA", "TTGACCATTGACCGATTGACAGAT"]\n'
        '[[kits]]\nnames = ["OWN"]\nbarcodes = { set = "OWN" }\nflanks = [["GGTT", "CCAA"]]\nends = "start"\n'
    )
    inside = "".join(np.random.default_rng(1).choice(list("ACGT"), 300))
    cut_off = Trimmer(find_kit(str(path)))(made("GGTTACGTTGCAACGTAGCTAGCATCGACCAA" + inside))
    assert (cut_off.bases, cut_off.barcode) == (inside, "OWN_barcode01")


TOP, BOTTOM = "AATGTACTTCGTTCAGTTACGTATTGCT", "GCAATACGTAACTGAACGAAGT"


def test_the_kit_of_the_metadata_is_cut_and_barcodes_stay() -> None:
    trimmer, inside = OwnTrimmer(), "".join(np.random.default_rng(2).choice(list("ACGT"), 300))
    native, rapid = find_kit("SQK-NBD114-24"), find_kit("SQK-RBK004")
    (before, after), (first, last) = native.flanks[0], rapid.flanks[0]
    own = before + native.barcodes["barcode05"] + after
    ends = TOP[:-6] + own, reverse_complement(own) + BOTTOM[6:]
    quick = "TTCAGTTACGTATTGCT" + first + rapid.barcodes["barcode07"] + last
    plain = trimmer(made(TOP + inside + BOTTOM, "sqk-lsk109"))
    assert (plain.bases, plain.cut, plain.barcode) == (inside, (28, 22), "")
    pooled = trimmer(made(inside.join(ends), "SQK-NBD114.24"))
    assert pooled.cut == (28, 22)
    assert Trimmer(native)(pooled).bases == inside  # as demux does afterwards
    for kit in ("SQK-RBK004", "SQK-CAS109", ""):
        whole = made(quick + inside, kit)
        assert trimmer(whole) is whole
    assert Trimmer(rapid)(made(quick + inside)).bases == inside
    assert set(trimmer.lines()) == {
        "kit SQK-LSK109: 1 read, adapters cut from 1",
        "kit SQK-NBD114-24: 1 read, adapters cut from 1; barcodes stay, --kit names and cuts them",
        "kit SQK-RBK004: 1 read, not cut, as no adapters stand outside its barcodes; barcodes stay, --kit names and "
        "cuts them",
        "kit SQK-CAS109: 1 read, not cut, as its adapters are not known",
        "no kit in the metadata: 1 read, not cut; --kit names it",
    }


def test_nothing_is_cut_and_told_by_none() -> None:
    trimmer, call = OwnTrimmer("none"), made(TOP + "ACGTTGCAAC" * 20, "SQK-LSK109")
    assert trimmer(call) is call
    assert trimmer.lines() == []
    with pytest.raises(ConfigError, match="allowed is adapters, primers, all, none"):
        OwnTrimmer("ends")


def test_why_a_read_has_no_barcode_is_told() -> None:
    kit, inside = find_kit("SQK-NBD114-24"), "".join(np.random.default_rng(3).choice(list("ACGT"), 300))
    assert Trimmer(kit)(made(inside)).unclassified == NONE
    assert OwnTrimmer()(made(inside, "SQK-NBD114-24")).unclassified == ""


def test_a_kit_that_contradicts_the_metadata_is_told() -> None:
    trimmer, inside = Trimmer(find_kit("SQK-NBD114-24")), "".join(np.random.default_rng(0).choice(list("ACGT"), 300))
    for kit in ("SQK-NBD114-24", "SQK-NBD114-24-260", ""):
        trimmer(made(inside, kit))
    assert trimmer.lines() == ["kit SQK-NBD114-24: 0 of 3 reads have a barcode"]
    trimmer(made(inside, "sqk-lsk114"))
    assert trimmer.lines()[0] == "--kit is used, SQK-NBD114-24; the metadata of reads name SQK-LSK114 in 1"

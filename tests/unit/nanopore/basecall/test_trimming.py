"""Trimming of calls: moves and samples of the part, barcodes, and the same cuts as on finished reads."""

from pathlib import Path

import numpy as np
import pytest

from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.sam import move_tag, tags
from biorrn.nanopore.basecall.trimming import Trimmer, part_of
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.reads.kits import find_kit
from biorrn.nanopore.reads.trim import cut
from biorrn.sequences.records import SignalRecord


def made(bases: str) -> Call:
    """Return a call of three frames a base, with 4 samples beyond the last frame."""
    moves = np.zeros(3 * len(bases), np.uint8)
    moves[::3] = 1
    record = SignalRecord("r", np.zeros(0, np.int16), offset=0.0, scale=1.0, sample_rate=4000.0)
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


def test_a_barcode_is_named_and_cut() -> None:
    kit = find_kit("SQK-NBD114-24")
    (before, after), inside = kit.flanks[0], "".join(np.random.default_rng(0).choice(list("ACGT"), 300))
    own = before + kit.barcodes["barcode05"] + after
    call = made("GTTCAGTT" + own + inside + reverse_complement(own))
    cut_off = Trimmer(kit)(call)
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

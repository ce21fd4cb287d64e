"""The rule of demultiplexing, on made-up reads with errors, and sample sheets."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.reads.demux import CLOSE, DIFFERENT, NONE, ONE_END, Demultiplexer, assign, read_sheet
from biorrn.nanopore.reads.kits import Kit, find_kit
from biorrn.nanopore.reads.trim import Adapters, Windows


def noisy(rng: np.random.Generator, bases: str, errors: float) -> str:
    """Return bases with substitutions, deletions and insertions, each a third of the errors."""
    made = []
    for base in bases:
        draw = rng.random() / errors
        made.append("" if draw < 1 / 3 else str(rng.choice(list("ACGT"))) if draw < 2 / 3 else base)
        made.append(str(rng.choice(list("ACGT"))) if 2 / 3 <= draw < 1 else "")
    return "".join(made)


def insert(rng: np.random.Generator, size: int = 300) -> str:
    return "".join(rng.choice(list("ACGT"), size))


def molecule(kit: Kit, barcode: str, inside: str, other: str | None = None) -> tuple[str, str, str]:
    """Return what stands before, in and behind the insert of a read of a kit."""
    (before, first, after), (second, last, inner) = kit.pairs()[0], kit.pairs()[-1]
    front = "AATGTACTTCGTTCAGTTACGT" + before + first[barcode] + after
    rear = reverse_complement(second + last[other or barcode] + inner) if kit.both else ""
    return front, inside, rear + ("ACGTAACTGAACGAAGT" if kit.both else "")


@pytest.mark.parametrize(
    "name", ["EXP-NBD104", "EXP-NBD196", "SQK-RBK114-96", "EXP-PBC096", "SQK-RPB114-24", "SQK-MAB114-24"]
)
def test_barcodes_of_noisy_reads(name: str) -> None:
    rng, kit = np.random.default_rng(0), find_kit(name)
    names, reads, places = [], [], []
    for _ in range(300):
        names.append(str(rng.choice(list(kit.barcodes))))
        parts = [noisy(rng, part, 0.1) for part in molecule(kit, names[-1], insert(rng))]
        reads.append("".join(parts))
        places.append((len(parts[0]), len(parts[0]) + len(parts[1])))
    found = Demultiplexer(kit)(Windows.of(reads))
    given = [list(kit.barcodes)[each] if each >= 0 else None for each in found.barcode]
    right = np.array([one == other for one, other in zip(given, names, strict=True)])
    assert right.mean() >= 0.97
    assert not any(one not in (None, other) for one, other in zip(given, names, strict=True))
    near = np.abs(np.array([found.start, found.end]).T - places)[right] <= 3
    assert near.mean() >= 0.95


@pytest.mark.parametrize("name", ["TWIST-16-UDI", "TWIST-96A-UDI"])
def test_the_barcodes_of_both_ends_may_differ(name: str) -> None:
    rng, kit = np.random.default_rng(4), find_kit(name)
    names = list(kit.barcodes)
    reads = ["".join(molecule(kit, each, insert(rng))) for each in names]
    search = Demultiplexer(kit)
    assert search(Windows.of(reads)).barcode.tolist() == list(range(len(names)))
    turned = [reverse_complement(read) for read in reads]
    assert search(Windows.of(turned)).barcode.tolist() == list(range(len(names)))
    mixed = "".join(molecule(kit, names[0], insert(rng), names[1]))
    assert search(Windows.of([mixed])).barcode.tolist() == [-1]
    noise = [insert(rng, 400) for _ in range(1000)]
    assert (search(Windows.of(noise)).barcode >= 0).sum() <= 2


def test_a_read_that_has_its_tag_is_cut_unless_it_was() -> None:
    rng, kit = np.random.default_rng(6), find_kit("SQK-NBD114-24")
    inside = insert(rng)
    whole = "".join(molecule(kit, "barcode03", inside))
    read = BaseCall("r", whole, np.full(len(whole), 20, np.uint8), ("BC:Z:SQK-NBD114-24_barcode03",))
    search, adapters = Demultiplexer(kit), Adapters([kit])
    [found] = assign([read], search, adapters)
    assert (found.read.bases, found.barcode) == (inside, "barcode03")
    assert [each.read for each in assign([found.read], search, adapters)] == [found.read]
    assert [each.read for each in assign([read], search, None)] == [read]
    other = BaseCall("r", whole, read.quals, ("BC:Z:SQK-NBD114-24_barcode07",))  # which another program found
    assert [(each.read, each.barcode) for each in assign([other], search, adapters)] == [(other, "barcode07")]


def test_a_read_that_another_program_did_not_name_has_no_barcode_of_another_kit() -> None:
    kit = find_kit("SQK-NBD114-24")
    read = BaseCall("r", insert(np.random.default_rng(7)), np.zeros(0, np.uint8), ("BC:Z:unclassified",))
    [found] = assign([read], Demultiplexer(kit), None)
    assert (found.barcode, found.cells[-1]) == ("", NONE)


def test_random_reads_get_no_barcode() -> None:
    rng = np.random.default_rng(1)
    reads = [insert(rng, int(rng.integers(1, 500))) for _ in range(2000)]
    found = Demultiplexer(find_kit("EXP-NBD196"))(Windows.of(reads))
    assert (found.barcode >= 0).mean() <= 0.002
    assert set(found.reason) <= {NONE, CLOSE, DIFFERENT, ""}


def test_a_read_with_two_barcodes_gets_none() -> None:
    rng, kit = np.random.default_rng(2), find_kit("SQK-NBD114-24")
    whole = "".join(molecule(kit, "barcode03", insert(rng)))
    mixed = "".join(molecule(kit, "barcode03", insert(rng), "barcode07"))
    half = "".join(molecule(kit, "barcode03", insert(rng))[:2])
    found = Demultiplexer(kit)(Windows.of([whole, mixed, half]))
    assert found.barcode.tolist() == [2, -1, 2]
    assert found.reason == ["", DIFFERENT, ""]
    strict = Demultiplexer(kit, both_ends=True)(Windows.of([whole, mixed, half]))
    assert strict.barcode.tolist() == [2, -1, -1]
    assert strict.reason[2] == ONE_END


def test_a_kit_without_barcodes_or_with_one_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="SQK-LSK109 has no barcodes"):
        Demultiplexer(find_kit("SQK-LSK109"))
    with pytest.raises(ConfigError, match="at the start of a read only"):
        Demultiplexer(find_kit("SQK-RBK004"), both_ends=True)


def test_a_sample_sheet_of_minknow(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("flow_cell_id,kit,barcode,alias\nFAA1,SQK-RBK004,barcode01,liver\nFAA1,SQK-RBK004,2,kidney-b\n")
    assert read_sheet(path, find_kit("SQK-RBK004")) == {"barcode01": "liver", "barcode02": "kidney-b"}


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_sample_sheet_of_excel(mark: str, tmp_path: Path) -> None:
    """Excel writes a byte order mark, and semicolons where the comma is the decimal sign."""
    path = tmp_path / "sheet.csv"
    path.write_text(f"\ufeffBarcode{mark}Alias\r\n1{mark}liver\r\nbarcode02{mark}kidney\r\n", newline="")
    assert read_sheet(path, find_kit("SQK-RBK004")) == {"barcode01": "liver", "barcode02": "kidney"}


def test_a_workbook_is_a_sample_sheet(tmp_path: Path) -> None:
    path = tmp_path / "sheet.xlsx"
    pd.DataFrame({"barcode": [1, 12], "alias": ["liver", 7]}).to_excel(path, index=False)
    assert read_sheet(path, find_kit("SQK-RBK004")) == {"barcode01": "liver", "barcode12": "7"}


def test_a_sample_sheet_of_another_kit_is_told(tmp_path: Path) -> None:
    path, said = tmp_path / "sheet.csv", list[str]()
    path.write_text("kit,barcode,alias\nSQK-LSK109 EXP-NBD104,1,liver\n")
    read_sheet(path, find_kit("EXP-NBD104"), said.append)
    assert not said
    read_sheet(path, find_kit("SQK-RBK004"), said.append)
    assert said == [f"{path}: names the kit SQK-LSK109 EXP-NBD104; that of --kit is used, SQK-RBK004"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("barcode,name\n1,a\n", "column 'alias' is missing"),
        ("barcode,alias,barcode\n1,a,2\n", "column 'barcode' is given twice"),
        ("barcode,alias\n13,a\n", "barcode '13': the kit has barcode01 to barcode12"),
        ("barcode,alias\n1,a\n1,b\n", "barcode 1 is given twice"),
        ("barcode,alias\n1,a\n2,a\n", "a is given twice"),
        ("barcode,alias\n1,Liver\n2,liver\n", "row 2: liver is given twice"),
        ("barcode,alias\n1,unclassified\n", "and not 'unclassified'"),
        ("barcode,alias\n1,Unclassified\n", "and not 'unclassified'"),  # the same file on some disks
        ("barcode,alias\n1,../a\n", "allowed are letters, digits"),
        ("barcode,alias\n1,..\n", "the first one a letter or a digit"),
    ],
)
def test_a_fault_of_a_sample_sheet_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(text)
    with pytest.raises(BiorrnError, match=message):
        read_sheet(path, find_kit("SQK-RBK004"))


@pytest.mark.parametrize(("count", "size", "flank"), [(1, 24, 4), (1, 24, 0), (12, 20, 0), (1, 12, 4)])
def test_short_barcodes_of_ones_own_are_not_found_in_random_reads(count: int, size: int, flank: int) -> None:
    rng = np.random.default_rng(5)
    barcodes = {f"barcode{number:02d}": insert(rng, size) for number in range(1, count + 1)}
    kit = Kit("X", barcodes, ((insert(rng, flank), insert(rng, flank)),), True, (), ())
    search = Demultiplexer(kit)
    assert (search(Windows.of([insert(rng, 400) for _ in range(500)])).barcode >= 0).sum() <= 1
    own = kit.flanks[0][0] + barcodes["barcode01"] + kit.flanks[0][1]
    assert search(Windows.of([insert(rng, 30) + own + insert(rng, 400)])).barcode.tolist() == [0]


def test_a_barcode_that_is_too_short_is_refused() -> None:
    with pytest.raises(ConfigError, match="barcode01 has 10 bases with its flanks; allowed is 18 or more"):
        Demultiplexer(Kit("X", {"barcode01": "ACGTTGCAAC"}, (("", ""),), True, (), ()))

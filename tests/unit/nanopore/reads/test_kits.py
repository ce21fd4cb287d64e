"""Kits: those that ship, and files of the user."""

from pathlib import Path

import pytest

from biorrn.base.errors import BiorrnError
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.reads.kits import find_kit, kit_names, kit_of

OWN = """
[sets.own]
sequences = ["ACGTACGTACGT", "TTTTCCCCGGGG"]

[[kits]]
names = ["OWN"]
barcodes = { set = "own" }
flanks = [["AAAA", "GGGG"]]
ends = "start"
"""


@pytest.mark.parametrize("name", kit_names())
def test_a_kit_has_different_barcodes_and_something_to_search(name: str) -> None:
    kit = find_kit(name)
    assert kit.barcodes or kit.adapters
    assert len(set(kit.barcodes.values())) == len(kit.barcodes)
    assert all(len(bases) == (10 if name.startswith("TWIST") else 24) for bases in kit.barcodes.values())


def test_native_barcodes_are_the_reverse_complement_of_the_others_up_to_12() -> None:
    native, others = find_kit("EXP-NBD196").barcodes, find_kit("EXP-PBC096").barcodes
    for number, (one, other) in enumerate(zip(native.values(), others.values(), strict=True), 1):
        assert one == (reverse_complement(other) if number <= 12 else other)


def test_a_file_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    kit = find_kit(str(path))
    assert kit.barcodes == {"barcode01": "ACGTACGTACGT", "barcode02": "TTTTCCCCGGGG"}
    assert find_kit(f"{path}:OWN") == kit
    assert not kit.both
    folder = tmp_path / "a.toml.d"
    folder.mkdir()
    assert find_kit(str(path.rename(folder / "k.toml"))) == kit
    assert find_kit(f"{folder}/k.toml:OWN") == kit


def test_a_kit_is_found_in_any_spelling() -> None:
    assert find_kit("sqk_nbd114.24") == find_kit("SQK-NBD114-24")


@pytest.mark.parametrize(
    ("tags", "name", "known"),
    [
        ({"sequencing_kit": "sqk-rbk114-96", "barcoding_kits": "sqk-rbk114-96"}, "SQK-RBK114-96", "SQK-RBK114-96"),
        ({"sequencing_kit": "SQK-NBD114-96-260"}, "SQK-NBD114-96-260", "SQK-NBD114-96"),
        ({"sequencing_kit": "sqk-cas109"}, "SQK-CAS109", None),
        ({"sequencing_kit": "my kit"}, "MY-KIT", None),
        ({"experiment_kit": "genomic_dna", "exp_script_name": "nc/NC_FLO-MIN106_SQK-LSK108.py"}, "SQK-LSK108",
         "SQK-LSK108"),
        ({}, "", None),
    ],
)  # fmt: skip
def test_the_kit_of_a_read_by_its_metadata(tags: dict[str, str], name: str, known: str | None) -> None:
    assert kit_of(tags) == (name, None if known is None else find_kit(known))


@pytest.mark.parametrize("name", kit_names())
def test_what_stands_outside_the_barcodes_is_none_of_what_stands_behind_them(name: str) -> None:
    kit = find_kit(name)
    outside = kit.outside()
    assert set(outside.adapters) <= set(kit.adapters)
    if not kit.barcodes:
        assert outside == kit
        return
    assert not outside.barcodes
    assert not outside.primers
    assert not [after for _, after in kit.flanks for adapter in outside.adapters if after[-12:] in adapter]
    assert name[:7] not in ("SQK-RBK", "SQK-RPB") or not outside.adapters  # whose adapter is the flank behind
    assert name[:7] not in ("SQK-NBD", "EXP-NBD") or outside.adapters == kit.adapters


def test_both_barcodes_of_a_label() -> None:
    kit = find_kit("TWIST-16-UDI")
    assert kit.bases("barcode02") == "CTAGTAGTGA-TTCATAGGAC"
    assert find_kit("EXP-NBD104").bases("barcode01") == "CACAAAGACACCGACAACTTTCTT"
    assert kit.label("barcode02") == "TWIST-16-UDI_barcode02"
    assert kit.barcode("TWIST-16-UDI_barcode02") == "barcode02"
    assert (kit.label(""), kit.bases(""), kit.barcode("TWIST-96A-UDI_barcode02"), kit.barcode("")) == ("", "", "", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("flanks =", "flank ="), "kits.0.flank' is unknown; did you mean 'flanks'?"),
        (("ACGTACGTACGT", "ACGTACGXACGT"), "'OWN'|sequence 'ACGTACGXACGT': allowed are the letters ACGT"),
        (('set = "own"', 'set = "others"'), "'others' is unknown"),
        (('set = "own"', 'set = "own", to = 3'), "barcodes 1 to 3: set 'own' has 1 to 2"),
        (("[sets.own]", "[sets.own"), "is not TOML"),
        (("TTTTCCCCGGGG", "ACGTACGTACGT"), "two of its barcodes are equal"),
        (("[sets.own]", "[sets.own]\nturned = [0, 5]"), "'turned' has 0 to 5; allowed is 1 to 2"),
        (('ends = "start"', 'others = { set = "own" }'), "has 'others' but no 'barcodes', or not two pairs of flanks"),
        (('"GGGG"]]', '"GGGG"], ["AA", "CC"]]\nothers = { set = "own", from = 2 }'), "with the same numbers"),
        (('["ACGTACGTACGT", "TTTTCCCCGGGG"]', "[]"), "its set has no sequences"),
        (('"OWN"', '"MY KIT"'), "kit 'MY KIT': allowed in a name are letters, digits and ._-"),
    ],
)
def test_a_fault_is_named(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(BiorrnError) as raised:
        find_kit(str(path))
    assert str(path) in str(raised.value)
    assert message.split("|")[-1] in str(raised.value)


@pytest.mark.parametrize(
    ("name", "count", "before"),
    [("SQK-RBK114-24", 24, "GCTTGGGTGTTTAACC"), ("VSK-VMK004", 10, "GCTTGGGTGTTTAACC"), ("vsk_vmk001", 4, "TATTGCT"),
     ("EXP-NBD114-24", 24, "ATTGCTAAGGTTAA")],
)  # fmt: skip
def test_barcodes_and_flanks_of_rapid_kits(name: str, count: int, before: str) -> None:
    kit = find_kit(name)
    assert len(kit.barcodes) == count
    assert kit.flanks[0][0] == before

"""Chemistry by metadata: the tables, what contradicts, and the real files whose names are their truth."""

import numpy as np
import pytest

from biorrn.nanopore.chemistry import (
    CHEMISTRIES,
    FLOW_CELLS,
    KITS,
    PORES,
    USES,
    chemistry_of,
    flow_cell_pore,
    identify,
    kit_use,
    run_tags,
)
from biorrn.nanopore.readers.files import read_signal

R9, RNA2, RNA4 = "dna_r9.4.1_e8", "rna002_70bps", "rna004_130bps"
SLOW, FAST4, FAST5 = (f"dna_r10.4.1_e8.2_{speed}" for speed in ("260bps", "400bps_4khz", "400bps_5khz"))
LIVE = {"exp_script_name": "sequencing/sequencing_MIN106_DNA:FLO-FLG001:SQK-LSK109"}


def named(rate=4000.0, cell="", kit="", kind="", **more):
    tags = {"flow_cell_product_code": cell, "sequencing_kit": kit, "experiment_type": kind, **more}
    return identify(run_tags(tags), rate)


@pytest.mark.parametrize(
    ("name", "rate", "cell", "kit", "kind"),
    [
        (R9, 4000, "FLO-MIN106", "SQK-LSK109", ""),
        (R9, 4000, "FLO-PRO002", "SQK-RBK110.96", ""),
        (R9, 4016, "FLO-MIN106", "", "genomic_dna"),
        (R9, 5000, "FLO-MIN106", "SQK-LSK109", ""),  # the sample rate is a matter of its own
        ("dna_r9.5_450bps", 4000, "FLO-MIN107", "SQK-LSK308", ""),
        ("dna_r9_250bps", 4000, "FLO-MIN104", "", ""),
        ("dna_r10_450bps", 4000, "FLO-MIN110", "SQK-LSK109", ""),
        ("dna_r10.3_450bps", 4000, "FLO-PRO111", "SQK-LSK110", ""),
        ("dna_r10.4_e8.1", 4000, "FLO-MIN112", "SQK-LSK112", ""),
        ("dna_r10.4_e8.1", 4000, "", "SQK-NBD112-24", ""),
        (FAST4, 4000, "FLO-MIN114", "SQK-LSK114", ""),
        (FAST5, 5000, "FLO-PRO114HD", "SQK-NBD114.96", ""),
        (FAST5, 5000, "", "SQK-XYZ114-48", ""),
        (FAST5, 5000, "FLO-MIN114", "", ""),
        (SLOW, 4000, "FLO-MIN114", "SQK-LSK114-260", ""),
        ("dna_r10.4.1_e8.2_apk_5khz", 5000, "FLO-MIN114", "SQK-APK114", ""),
        (RNA2, 3012, "FLO-MIN106", "SQK-RNA001", "rna"),
        (RNA2, 3000, "FLO-MIN106", "", ""),
        (RNA2, 4000, "FLO-FLG001", "sqk-rna002", "genomic_dna"),
        (RNA2, 3000, "FLO-MIN107", "SQK-RNA002", ""),
        (RNA4, 4000, "FLO-PRO004RA", "SQK-RNA004-XL", ""),
        (RNA4, 4000, "", "SQK-DRB004.24", ""),
        (f"{RNA2} or {RNA4}", 5000, "", "", "rna"),
        (f"{R9} or dna_r9.5_450bps", 4000, "", "SQK-LSK309", ""),
        ("unknown", 4000, "", "", ""),
        ("unknown", 4000, "FLO-ABC123", "XYZ", "sequencing"),
        ("contradictory", 4000, "FLO-MIN114", "SQK-RNA002", ""),
        ("contradictory", 4000, "FLO-MIN106", "SQK-RNA004", ""),
        ("contradictory", 4000, "FLO-MIN004RA", "SQK-LSK109", ""),
        ("contradictory", 4000, "FLO-MIN106", "SQK-LSK109", "rna"),
        ("contradictory", 5000, "FLO-MIN106", "SQK-LSK114", ""),
    ],
)
def test_chemistry_of_flow_cell_and_kit(name, rate, cell, kit, kind):
    assert named(rate, cell, kit, kind).name == name
    low = named(rate, cell.lower().replace("-", "_").encode(), np.bytes_(kit.lower().replace("-", "_")), kind.upper())
    assert low.name == name


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        (R9, {"exp_script_name": r"C:\MinKNOW\python\recipes\nc\NC_48Hr_Sequencing_Run_FLO-MIN106_SQK-LSK108.py"}),
        ("dna_r9_250bps", {"exp_script_name": "python/recipes/map/NC_48Hr_Sequencing_Run_FLO_MIN104.py"}),
        (R9, {"local_bc_temp_model": "template_r9.4_450bps_5mer_raw.jsn", "sequencing_kit": "sqk-lsk108"}),
        (RNA2, {"local_bc_temp_model": "template_r9.4.1_70bps_5mer_rna_raw.jsn"}),
        (R9, LIVE),
        (RNA2, {"exp_script_name": "sequencing/sequencing_MIN106_RNA:FLO-MIN106:SQK-RNA002"}),
        (FAST4, {"exp_script_name": "sequencing/sequencing_PRO114_DNA_e8_2_400T:FLO-PRO114M:SQK-LSK114:400"}),
        (SLOW, {"exp_script_name": "sequencing/sequencing_PRO114_DNA_e8_2_260T:FLO-PRO114M:SQK-LSK114:260"}),
        # fields count more than a protocol that was started with others
        (FAST4, {**LIVE, "flow_cell_product_code": "FLO-MIN114", "sequencing_kit": "sqk-lsk114"}),
        (RNA2, {**LIVE, "flow_cell_product_code": "FLO-FLG001", "sequencing_kit": "sqk-rna002"}),
        # codes as stand-ins for what was not yet sold
        (RNA4, {"flow_cell_product_code": "FLO-PRO002", "sequencing_kit": "sqk-rna002",
                "exp_script_name": "sequencing/sequencing_RNA004_Prom_V3_MK:FLO-PRO002:SQK-RNA002"}),
        (SLOW, {"flow_cell_product_code": "FLO-MIN114", "selected_speed_bases_per_second": "260"}),
        ("dna_r10.3_450bps", {"pore_type": "R10.3", "sequencing_kit": "SQK-LSK110"}),
        ("contradictory", {"pore_type": "r9.4.1", "flow_cell_product_code": "FLO-MIN114"}),
        ("contradictory", {"flow_cell_product_code": "FLO-FLG001", "flowcell_type": "flo-min114"}),
        ("contradictory", {"sequencing_kit": "sqk-lsk109", "experiment_kit": "SQK-RNA002"}),
        ("unknown", {"experiment_type": "genomic_dna", "pore_type": "not_set", "sequencing_kit": "none"}),
    ],
)  # fmt: skip
def test_chemistry_of_protocol_and_caller(name, tags):
    found = identify(run_tags(tags), 4000.0)
    assert found.name == name
    assert bool(found.conflict) == (name == "contradictory")


def test_every_code_of_the_tables_is_recognised():
    for code, pore in PORES.items():
        assert flow_cell_pore(code) == flow_cell_pore(code.lower().replace("-", "_")) == pore
        assert named(cell=code).names
    for kit, use in USES.items():
        code = kit if kit.startswith("VSK") else f"SQK-{kit}"
        assert kit_use(code) == kit_use(f"{code.lower()}.24") == use
        found = named(kit=code).names
        assert found
        assert {CHEMISTRIES[name].molecule for name in found} == {use[0]}
    pores = {chemistry.pore for chemistry in CHEMISTRIES.values()}
    assert set(FLOW_CELLS) == pores
    assert {pore for use in KITS for pore in use[1:]} <= pores


def test_a_message_names_what_contradicts():
    found = named(cell="FLO-MIN106", kit="SQK-RNA004")
    assert found.conflict == "flow cell FLO-MIN106 is for R9.4.1, kit SQK-RNA004 for RNA004"
    assert found.evidence == "flow cell FLO-MIN106, kit SQK-RNA004, 4000 Hz"


def test_tags_are_taken_from_anything_that_files_hold():
    odd = {b"Flow_Cell_Product_Code": np.array([b"FLO-MIN106"]), "sequencing_kit": np.bytes_("SQK-LSK109"),
           "selected_speed_bases_per_second": np.float32(400), "pore_type": np.array([1, 2]), "exp_script_name": 7,
           "experiment_type": b"genomic\xff_dna\n", "flow_cell_id": "FAB1", "local_bc_temp_model": None}  # fmt: skip
    assert run_tags(odd) == {
        "flow_cell_product_code": "FLO-MIN106", "sequencing_kit": "SQK-LSK109",
        "selected_speed_bases_per_second": "400.0", "exp_script_name": "7", "experiment_type": "genomic_dna",
    }  # fmt: skip


def test_real_files_are_what_their_names_say(shared_data):
    files = sorted((shared_data / "nanopore" / "chemistry").glob("*.pod5"))
    said = {
        "r10.4.1_5khz_cdna_polya": FAST5, "rna004_polya_50": RNA4, "two_molecules_in_one_read": FAST5,
        "barcodes_SQK-RBK114_BC01_BC04_unclassified": FAST5, "single_na24385": FAST4, "degenerate_overtrim": FAST5,
    }  # fmt: skip
    for file in files:
        truth = said.get(file.stem, file.stem.split("-")[0])
        if truth in CHEMISTRIES:
            assert {chemistry_of(record).name for record in read_signal(file)} == {truth}, file.name
    assert len(files) >= 20


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("lambda_r941", R9), ("human_r941", R9), ("promethion_r941", R9), ("klebsiella_r941", R9), ("ecoli_r94", R9),
        ("human_r1041", FAST4), ("sequin_rna002", RNA2), ("rna002_tandemmod", RNA2), ("human_r941_targetcall", R9),
    ],
)  # fmt: skip
def test_real_reads_of_each_folder(folder, name, shared_data):
    files = [path for path in sorted((shared_data / "nanopore" / folder).rglob("*.*5")) if path.is_file()][:3]
    assert files
    for file in files:
        assert chemistry_of(next(iter(read_signal(file)))).name == name, file

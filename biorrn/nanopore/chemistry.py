"""Sequencing chemistry of nanopore reads: pore, molecule, speed and sample rate, identified from run metadata.

Chemistries have the names of Oxford Nanopore (`dna_r10.4.1_e8.2_400bps_5khz`). Flow cell, kit and experiment type are
each compatible with some chemistries; `identify` returns those compatible with all. Files state them under several
names; `run_tags` collects them. `Purpose` compares reads with the chemistries of a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from biorrn.sequences.records import SignalRecord

RATE_TOLERANCE = 0.02  # relative; files state rates such as 4000 and 4016 Hz


class Chemistry(NamedTuple):
    """Pore, molecule (DNA or RNA), bases per second, and samples per second (Hz)."""

    pore: str
    molecule: str
    speed: int
    rate: float


APK = "dna_r10.4.1_e8.2_apk_5khz"  # of a single kit
CHEMISTRIES = {
    "dna_r9_250bps": Chemistry("R9", "DNA", 250, 4000),
    "dna_r9.4.1_e8": Chemistry("R9.4.1", "DNA", 450, 4000),
    "dna_r9.5_450bps": Chemistry("R9.5", "DNA", 450, 4000),
    "dna_r10_450bps": Chemistry("R10", "DNA", 450, 4000),
    "dna_r10.3_450bps": Chemistry("R10.3", "DNA", 450, 4000),
    "dna_r10.4_e8.1": Chemistry("R10.4", "DNA", 250, 4000),
    "dna_r10.4.1_e8.2_260bps": Chemistry("R10.4.1", "DNA", 260, 4000),
    "dna_r10.4.1_e8.2_400bps_4khz": Chemistry("R10.4.1", "DNA", 400, 4000),
    "dna_r10.4.1_e8.2_400bps_5khz": Chemistry("R10.4.1", "DNA", 400, 5000),
    APK: Chemistry("R10.4.1", "DNA", 260, 5000),
    "rna002_70bps": Chemistry("R9.4.1", "RNA", 70, 3000),
    "rna004_130bps": Chemistry("RNA004", "RNA", 130, 4000),
}

# The product codes are those of Oxford Nanopore's store and documentation (nanoporetech.com/document), as its
# basecallers list them: Guppy's `--print_workflows` for R9 to R10.4, and github.com/nanoporetech/dorado
# (dorado/models/kits.cpp) for what is sold now. A letter or two after a code here is a variant of the same pore.
FLOW_CELLS = {
    "R9": "FLO-MIN104 FLO-MIN105",
    "R9.4.1": "FLO-MIN106 FLO-MINSP6 FLO-PRO001 FLO-PRO002 FLO-PRO002-ECO FLO-PRO002M FLO-FLG001",
    "R9.5": "FLO-MIN107",
    "R10": "FLO-MIN110 FLO-PRO110",
    "R10.3": "FLO-MIN111 FLO-PRO111 FLO-FLG111",
    "R10.4": "FLO-MIN112 FLO-PRO112 FLO-PRO112M FLO-FLG112",
    "R10.4.1": "FLO-MIN114 FLO-MIN114HD FLO-PRO114 FLO-PRO114M FLO-PRO114HD FLO-FLG114 FLO-FLG114HD",
    "RNA004": "FLO-MIN004RA FLO-PRO004RA FLO-FLG004RA",
}
# kits by molecule and pores, without SQK- and without suffixes such as -24, -XL and -260 for barcodes and speed
KITS = {
    ("DNA", "R9", "R9.4.1"): "LSK007 LSK208 NSK007 RAD001",
    ("DNA", "R9.4.1", "R9.5", "R10", "R10.3"): (
        "16S024 CAS109 CS9109 DCS108 DCS109 LRK001 LSK108 LSK109 LSK110 LSK111 LWB001 LWP001 MLK111 NBD110 NBD111 "
        "PBK004 PCB109 PCB110 PCB111 PCS108 PCS109 PCS110 PCS111 PSK004 RAB201 RAB204 RAD002 RAD003 RAD004 RAS201 "
        "RBK001 RBK004 RBK110 RBK111 RLB001 RLI001 RPB004 ULK001 VSK-PTC001 VSK-VBK001 VSK-VMK001 VSK-VMK002 "
        "VSK-VMK003 VSK-VMK004 VSK-VPS001 VSK-VSK001 VSK-VSK002 VSK-VSK003 VSK-VSK004"
    ),
    ("DNA", "R9.4.1", "R9.5"): "LSK308 LSK309 LSK319",
    ("DNA", "R10.4"): "16S112 LSK112 NBD112 RAD112 RBK112 ULK112 Q20EA",
    ("DNA", "R10.4.1"): (
        "16S114 APK114 CAS114 HTB114 LSK114 MAB114 MLK114 NBD114 PCB114 PCS114 RAD114 RBK114 RPB114 ULK114"
    ),
    ("RNA", "R9.4.1", "R9.5"): "RNA001 RNA002",
    ("RNA", "RNA004"): "RNA004 DRB004",
}
# Basecalling models of Oxford Nanopore for each chemistry, of networks that this project runs: fast and hac (sup v5 is
# a transformer). From github.com/nanoporetech/dorado, dorado/models/models.cpp; those for R10.4 from
# github.com/nanoporetech/bonito, bonito/cli/download.py.
MAKERS = {
    "dna_r9.4.1_e8": ("dna_r9.4.1_e8_hac@v3.3", "dna_r9.4.1_e8_fast@v3.4"),
    "dna_r10.4_e8.1": ("dna_r10.4_e8.1_hac@v3.4", "dna_r10.4_e8.1_fast@v3.4"),
    "dna_r10.4.1_e8.2_260bps": ("dna_r10.4.1_e8.2_260bps_hac@v4.1.0", "dna_r10.4.1_e8.2_260bps_fast@v4.1.0"),
    "dna_r10.4.1_e8.2_400bps_4khz": ("dna_r10.4.1_e8.2_400bps_hac@v4.1.0", "dna_r10.4.1_e8.2_400bps_fast@v4.1.0"),
    "dna_r10.4.1_e8.2_400bps_5khz": ("dna_r10.4.1_e8.2_400bps_hac@v5.0.0", "dna_r10.4.1_e8.2_400bps_fast@v5.0.0"),
    "rna002_70bps": ("rna002_70bps_hac@v3", "rna002_70bps_fast@v3"),
    "rna004_130bps": ("rna004_130bps_hac@v5.0.0", "rna004_130bps_fast@v5.0.0"),
}
GENERATIONS: dict[str, tuple[str, ...]] = {
    "112": ("DNA", "R10.4"),
    "114": ("DNA", "R10.4.1"),
}  # numbers at the end of kits; also for future kits
PORES = {code: pore for pore, codes in FLOW_CELLS.items() for code in codes.split()}
USES: dict[str, tuple[str, ...]] = {code: use for use, codes in KITS.items() for code in codes.split()}

# names of metadata, the most specific of each kind first
FLOW_CELL = ("flow_cell_product_code", "flowcell_type", "flow_cell_type")
KIT = ("sequencing_kit", "experiment_kit", "barcoding_kits")
EXPERIMENT = ("experiment_type", "experiment_kit")
PROTOCOL, PORE, SPEED = "exp_script_name", "pore_type", "selected_speed_bases_per_second"
CONFIGURATION = ("basecall_config_filename", "local_bc_temp_model")  # of the live basecaller of the device
TAGS = tuple(dict.fromkeys((*FLOW_CELL, *KIT, *EXPERIMENT, PROTOCOL, PORE, SPEED, *CONFIGURATION)))
NOTHING = ("", ".", "-", "simulated", "test", "none", "unknown", "not_set", "n/a", "na", "null", "0", "no", "false")
RNA_TYPES = ("rna", "direct_rna")
DNA_TYPES = ("genomic_dna", "dna", "cdna", "direct_cdna", "amplicon", "pcr")
STRAY = 0.05  # least part of the training reads for a chemistry to count
LONGEST = 200  # characters kept of a tag

WAY_OUT = "Name a model of that chemistry with --model, or call anyway with --force"
UNKNOWN, CONTRADICTORY = "unknown", "contradictory"


@dataclass(frozen=True, slots=True)
class Found:
    """The chemistry of a run by its metadata.

    Attributes
    ----------
    names : possible entries of `CHEMISTRIES`; none where nothing is known or the metadata are contradictory.
    evidence : str: the metadata used, for messages.
    conflict : str: the contradictory metadata; "" where they agree.
    """

    names: tuple[str, ...]
    evidence: str
    conflict: str = ""

    @property
    def name(self) -> str:
        """Return the chemistry for tables: one name, several joined by `or`, `unknown` or `contradictory`."""
        return CONTRADICTORY if self.conflict else " or ".join(self.names) or UNKNOWN

    @property
    def label(self) -> str:
        """Return the chemistry, or the contradiction, for messages."""
        return f"contradictory metadata ({self.conflict})" if self.conflict else f"chemistry {self.name}"


@dataclass(frozen=True, slots=True)
class Purpose:
    """The chemistries and sample rate that a basecalling model is for.

    Attributes
    ----------
    model : str: its name, for messages.
    names : entries of `CHEMISTRIES`; none where the model does not state them.
    rate : float: samples per second (Hz).
    """

    model: str
    names: tuple[str, ...]
    rate: float

    @classmethod
    def of(cls, facts: Mapping[str, Any], model: str = "the model") -> Purpose:
        """Return the purpose of a model by its facts `chemistry`, a list of names, and `sample_rate`."""
        return cls(model, tuple(facts.get("chemistry") or ()), float(facts.get("sample_rate") or "nan"))

    def __str__(self) -> str:
        pores = _pores(self.names) or "signal"
        return f"{pores} at {self.rate:g} Hz" + (f" ({', '.join(self.names)})" if self.names else "")

    def fits(self, found: Found) -> bool | None:
        """Return whether a chemistry is one of the model's; None where metadata or model do not determine it.

        >>> model = Purpose("m", ("dna_r9.4.1_e8",), 4000)
        >>> [model.fits(Found(names, "")) for names in (("dna_r9.4.1_e8",), (), ("rna004_130bps",))]
        [True, None, False]
        """
        if not self.names or not (found.names or found.conflict):
            return None
        common = set(found.names) & set(self.names)
        return False if not common else True if len(common) == len(found.names) else None

    def misfit(self, record: SignalRecord) -> str:
        """Return why the model is not for a read, by chemistry or sample rate; "" where it may be."""
        found = chemistry_of(record)
        if self.fits(found) is False:
            return f"{found.label} where the model is for {_pores(self.names)}"
        if not same_rate(record.sample_rate, self.rate):
            return f"sample rate {record.sample_rate:g} Hz where the model needs {self.rate:g} Hz"
        return ""

    def refusal(self, record: SignalRecord, beside: str = "") -> str:
        """Return the error message for a read or run that the model is not for; `beside` follows the reason."""
        found = chemistry_of(record)
        if self.fits(found) is False:
            what = f"found {found.label}" + ("" if found.conflict else f" ({found.evidence})")
        else:
            usual = {CHEMISTRIES[name].rate for name in found.names}
            rates = " or ".join(f"{rate:g}" for rate in sorted(usual))
            odd = usual and not any(same_rate(record.sample_rate, rate) for rate in usual)
            also = f", where {found.name} has {rates} Hz" if odd else ""
            hertz = f"{record.sample_rate:g} Hz"
            by = found.evidence.removesuffix(hertz).rstrip(", ") + also
            what = f"found a sample rate of {hertz}" + (f" ({by})" if by else "")
        return f"{what}{beside}; {self.model} is for {self}. {WAY_OUT}"


def trained_for(reads: Mapping[str, int]) -> list[str]:
    """Return the chemistries of a model from the number of training reads of each; rare ones are ignored.

    >>> trained_for({"dna_r9.4.1_e8": 900, "unknown": 50, "rna002_70bps": 3})
    ['dna_r9.4.1_e8']
    """
    known = {name: count for name, count in reads.items() if name in CHEMISTRIES}
    return sorted(name for name, count in known.items() if count >= STRAY * sum(known.values()) and count)


def chemistry_tags(name: str) -> dict[str, str]:
    """Return metadata of a chemistry, for simulated reads; empty for an unknown name.

    >>> identify(chemistry_tags("rna004_130bps"), 4000).name
    'rna004_130bps'
    """
    entry = CHEMISTRIES.get(name)
    if entry is None:
        return {}
    tags = {"flow_cell_product_code": FLOW_CELLS[entry.pore].split()[-1 if entry.pore == "R9" else 0]}
    if entry.molecule == "RNA":
        tags["experiment_type"] = "rna"
    if entry.pore == "R10.4.1":
        tags["sequencing_kit"] = "SQK-APK114" if name == APK else f"SQK-LSK114{'-260' * (entry.speed == 260)}"
    return tags


def run_tags(*groups: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata under the names in `TAGS` of mappings; the first mapping that has a name counts.

    Names and values may be text or bytes, values also numpy scalars or arrays of one element. Unreadable values and
    placeholders such as `unknown` are left out.

    >>> run_tags({"flow_cell_product_code": b"FLO-MIN114", "sequencing_kit": ""}, {"sequencing_kit": "sqk-lsk114"})
    {'flow_cell_product_code': 'FLO-MIN114', 'sequencing_kit': 'sqk-lsk114'}
    """
    found: dict[str, str] = {}
    for group in groups:
        for name, value in group.items():
            key = _text(name).lower()
            if key in TAGS and key not in found:
                stated = _text(value)
                if stated.lower() not in NOTHING:
                    found[key] = stated
    return found


def _text(value: Any) -> str:
    if getattr(value, "size", 1) != 1:
        return ""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        value = value[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "ignore")
    return "".join(letter for letter in str(value) if letter.isprintable()).strip()[:LONGEST] if value else ""


def chemistry_of(record: SignalRecord) -> Found:
    """Return the chemistry of a read by its metadata and sample rate."""
    return identify(record.run_tags, record.sample_rate)


def identify(tags: Mapping[str, str], rate: float = float("nan")) -> Found:
    """Return the chemistry of a run by its metadata.

    Flow cell, kit, pore type, and an experiment type of RNA must agree; otherwise they are contradictory. If several
    chemistries remain, the protocol's name, the live basecaller, the speed and the sample rate decide; they are never a
    contradiction, since they are often entered wrongly. A missing flow cell or kit is taken from the protocol's name.

    Parameters
    ----------
    tags : from `run_tags`.
    rate : float: samples per second (Hz), NaN where unknown.

    >>> identify({"flow_cell_product_code": "FLO-MIN114", "sequencing_kit": "sqk-lsk114"}, 5000).name
    'dna_r10.4.1_e8.2_400bps_5khz'
    >>> identify({"flow_cell_product_code": "flo_min106", "sequencing_kit": "SQK-LSK114"}, 4000).conflict
    'flow cell FLO-MIN106 is for R9.4.1, kit SQK-LSK114 for R10.4.1 DNA'
    """
    return _identify(tuple(sorted(tags.items())), rate)


@lru_cache(maxsize=1024)
def _identify(items: tuple[tuple[str, str], ...], rate: float) -> Found:
    tags = dict(items)
    speed = _speed(tags)
    script, cell_there, kit_there = _protocol(tags.get(PROTOCOL, ""), speed)
    cells = list(dict.fromkeys(code(tags[name]) for name in FLOW_CELL if name in tags)) or [cell_there]
    kits = _stated_kits(tags, kit_there)
    cell, kit = cells[0], kits[0]
    kinds = [tags[name].lower() for name in EXPERIMENT if name in tags]
    kind = next((found for found in kinds if found in RNA_TYPES + DNA_TYPES), "")
    stated = [
        *((f"flow cell {found}", _of_pores(flow_cell_pore(found))) for found in cells),
        *((f"kit {found}", _of_kit(found, speed)) for found in kits),
        (f"experiment type {kind}", _select(molecule="RNA") if kind in RNA_TYPES else frozenset()),
        (f"pore type {tags.get(PORE, '')}", _of_pores(_pore(tags.get(PORE, "")))),
    ]
    stated = [(label, names) for label, names in stated if names]
    evidence = [f"flow cell {cell}" if cell else "", f"kit {kit}" if kit else ""]
    evidence += [f"experiment type {kind}" if kind else "", *(label for label, _ in stated if label.startswith("pore"))]
    # a protocol that was started with these codes and is named after a newer chemistry: the codes are placeholders for
    # flow cells and kits that were not sold yet
    by_code = frozenset.intersection(*(names for _, names in stated)) if stated else frozenset()
    if by_code and script and (cell_there, kit_there) == (cell, kit):
        order = list(CHEMISTRIES)
        if min(map(order.index, script)) > max(map(order.index, by_code)):
            label = f"protocol {tags[PROTOCOL].split(':')[0]}"
            stated, evidence = [(label, script)], [*evidence, label]
    shown = ", ".join([*filter(None, evidence), *([f"{rate:g} Hz"] if rate == rate else [])])
    left = frozenset(CHEMISTRIES)
    for number, (label, names) in enumerate(stated):
        if not left & names:
            other = next((before for before in stated[:number] if not before[1] & names), None)
            words = f"{label} for {_pores(names)}"
            return Found((), shown, f"{other[0]} is for {_pores(other[1])}, {words}" if other else f"{shown}: {words}")
        left &= names
    hints = [script, *(_of_configuration(tags.get(name, "")) for name in CONFIGURATION)]
    hints.append(frozenset(name for name, entry in CHEMISTRIES.items() if entry.speed == speed))
    if not stated and not any(hints):
        return Found((), shown)  # a sample rate or "genomic_dna", a default, is not evidence by itself
    hints.append(_select(molecule="DNA") if kind in DNA_TYPES and not kit_use(kit) else frozenset())
    hints.append(frozenset(name for name, entry in CHEMISTRIES.items() if same_rate(rate, entry.rate)))
    for names in (*hints, frozenset(CHEMISTRIES) - {APK}):  # APK needs its kit
        left = left & names or left
    return Found(tuple(name for name in CHEMISTRIES if name in left), shown)


def stated_kit(tags: Mapping[str, str]) -> str:
    """Return the code of the kit of a run by its metadata, from `run_tags`; "" where none is stated.

    >>> stated_kit({"experiment_kit": "genomic_dna", "exp_script_name": "recipes/nc/Run_FLO-MIN106_SQK-LSK108.py"})
    'SQK-LSK108'
    """
    return _stated_kits(tags, _protocol(tags.get(PROTOCOL, ""))[2])[0]


def _stated_kits(tags: Mapping[str, str], of_protocol: str) -> list[str]:
    """Return the codes of the kits in metadata: known ones, else `sequencing_kit`, else that of the protocol."""
    kits = list(dict.fromkeys(code(tags[name]) for name in KIT if name in tags))
    known = [found for found in kits if kit_use(found)]
    return known or (kits[:1] if "sequencing_kit" in tags else [of_protocol])


def same_rate(one: float, other: float) -> bool:
    """Return whether two sample rates (Hz) are equal within the tolerance of devices."""
    return abs(one - other) <= RATE_TOLERANCE * other


def code(text: str) -> str:
    """Return a product code in its standard spelling.

    >>> code("sqk_nbd114.24"), code("flo-min106")
    ('SQK-NBD114-24', 'FLO-MIN106')
    """
    return re.sub(r"[\s._-]+", "-", text.strip().upper())


def flow_cell_pore(text: str) -> str:
    """Return the pore of a flow cell's product code; "" for an unknown one.

    >>> flow_cell_pore("FLO-MIN106D"), flow_cell_pore("FLO-PRO114M"), flow_cell_pore("FLO-ABC123")
    ('R9.4.1', 'R10.4.1', '')
    """
    known = code(text)
    base = re.match(r"FLO-(?:MIN|PRO|FLG)(?:\d{3}|SP6)", known)
    return PORES.get(known) or (PORES.get(base.group(), "") if base else "")


def kit_use(text: str) -> tuple[str, ...]:
    """Return the molecule and the pores of a kit's product code; () for an unknown one.

    >>> kit_use("SQK-LSK114-XL-260"), kit_use("sqk_rna004"), kit_use("SQK-16S024"), kit_use("genomic_dna")
    (('DNA', 'R10.4.1'), ('RNA', 'RNA004'), ('DNA', 'R9.4.1', 'R9.5', 'R10', 'R10.3'), ())
    """
    known = code(text)
    base = re.match(r"(?:OND-)?(SQK-|VSK-)(Q20EA|CS9109|16S\d{3}|[A-Z]{3}\d{3})", known)
    if base is None:
        return ()
    short = base.group(2) if base.group(1) == "SQK-" else base.group(1) + base.group(2)
    return USES.get(short) or (GENERATIONS.get(short[-3:], ()) if base.group(1) == "SQK-" else ())


def _select(**wanted: Any) -> frozenset[str]:
    return frozenset(
        name for name, entry in CHEMISTRIES.items() if all(getattr(entry, key) == wanted[key] for key in wanted)
    )


def _of_pores(*pores: str) -> frozenset[str]:
    """Return the chemistries of pores. RNA was also sequenced on R9.5 flow cells."""
    found = frozenset(name for name, entry in CHEMISTRIES.items() if entry.pore in pores)
    return found | ({"rna002_70bps"} if "R9.5" in pores else set())


def _of_kit(kit: str, speed: int) -> frozenset[str]:
    use = kit_use(kit)
    if not use:
        return frozenset()
    found = _of_pores(*use[1:]) & _select(molecule=use[0])
    if use == GENERATIONS["114"]:
        if "APK114" in kit:
            return frozenset({APK})
        slow = kit.endswith("-260") or speed == 260
        found = frozenset(name for name in found - {APK} if (CHEMISTRIES[name].speed == 260) == slow)
    return found


def _pore(text: str) -> str:
    """Return the pore named in a text, such as r9.4 or R10.4.1; "" without one."""
    found = re.search(r"(?<![A-Z0-9])R(9|10)(?:[._](\d))?(?:[._](\d))?(?!\d)", text.upper())
    if found is None:
        return ""
    name = "R" + ".".join(part for part in found.groups() if part)
    return "R9.4.1" if name == "R9.4" else name


def _of_configuration(text: str) -> frozenset[str]:
    """Return the chemistries in the name of a basecaller's configuration, such as dna_r9.4.1_450bps_hac.cfg."""
    pore, low = _pore(text), text.lower()
    if "rna004" in low or "rp4" in low:
        return _select(pore="RNA004")
    found = _of_pores(pore) if pore else frozenset()
    return found & _select(molecule="RNA" if re.search(r"(?<![a-z])rna", low) else "DNA")


def _speed(tags: Mapping[str, str]) -> int:
    """Return the bases per second that a run was set to; 0 where unknown."""
    for text in (tags.get(SPEED, ""), tags.get(PROTOCOL, "").rpartition(":")[2]):
        if re.fullmatch(r"\d{2,3}(\.0)?", text):
            return int(float(text))
    return 0


def _protocol(text: str, speed: int = 0) -> tuple[frozenset[str], str, str]:
    """Return the chemistries, the flow cell and the kit in the name of a protocol.

    Examples are `sequencing/sequencing_MIN106_DNA:FLO-FLG001:SQK-LSK109` and, of older devices,
    `recipes/nc/NC_48Hr_Sequencing_Run_FLO-MIN106_SQK-LSK108.py`.
    """
    script, *options = re.split(r"[/\\]", text)[-1].upper().split(":")
    cells = re.findall(r"(?:(?<=[-_])|^)(MIN|PRO|FLG)[-_]?(\d{3}(?:RA)?|SP6)", script)
    kits = re.findall(r"SQK[-_](?:Q20EA|CS9109|16S\d{3}|[A-Z]{3}\d{3})", script)
    cell = code("FLO-" + "".join(cells[0])) if cells else ""
    kit = code(kits[0]) if kits else ""
    named = _of_pores(flow_cell_pore(cell))
    if "RNA004" in script:
        named = _select(pore="RNA004")
    elif re.search(r"[-_]RNA(?![A-Z])", script):
        named &= _select(molecule="RNA")
    elif kit_use(kit):
        named &= _of_kit(kit, speed)
    elif "_DNA" in script:
        named &= _select(molecule="DNA")
    stated = [code(option) for option in options]
    return (
        named,
        next((option for option in stated if flow_cell_pore(option)), cell),
        next((option for option in stated if kit_use(option)), kit),
    )


def _pores(names: Iterable[str]) -> str:
    """Return the pores of chemistries, with the molecule where all have one."""
    entries = [CHEMISTRIES[name] for name in CHEMISTRIES if name in names]
    pores = list(dict.fromkeys(entry.pore for entry in entries))
    molecules = {entry.molecule for entry in entries}
    if molecules == {"RNA"}:
        return "RNA004" if pores == ["RNA004"] else "RNA"
    return " or ".join(pores) + (" DNA" if molecules == {"DNA"} else "")

"""Reads on their way in: numbers, choice by id, chemistry."""

import json
import random
import uuid
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.basecall.caller import unfit
from biorrn.nanopore.basecall.intake import UNSURE, Intake, read_ids
from biorrn.nanopore.chemistry import Purpose, chemistry_of
from biorrn.nanopore.readers.files import read_all
from biorrn.nanopore.readers.slow5 import FIELDS
from biorrn.nanopore.simulate.writers import open_signal, tags
from biorrn.sequences.records import SignalRecord


@pytest.fixture
def folder(root: Path) -> Path:
    """Return a folder in which read ids occur twice: the same reads in several formats."""
    return root / "data" / "simulated_reads"


def ids(folder: Path) -> list[str]:
    return [record.read_id for record in read_all([folder])]


def fail(problem: InputError) -> None:
    raise problem


def test_all_reads_in_order_with_their_numbers(folder: Path) -> None:
    intake = Intake([folder])
    taken = list(intake.reads(fail))
    assert [record.read_id for record in taken] == ids(folder)
    assert [record.number for record in taken] == list(range(len(taken)))
    assert intake.expected() == sum(len(record.raw) for record in taken)


def test_chosen_ids_and_those_that_are_not_there(folder: Path) -> None:
    wanted = ids(folder)[3]
    intake = Intake([folder], {wanted, "nobody", "no-one"})
    assert {record.read_id for record in intake.reads(fail)} == {wanted}
    assert intake.missing() == ["no-one", "nobody"]


def test_numbers_do_not_depend_on_what_is_done(folder: Path) -> None:
    every = [record.number for record in Intake([folder]).reads(fail)]
    done = set(every[1:5])
    rest = Intake([folder], done=done)
    taken = list(rest.reads(fail))
    assert [record.number for record in taken] == [number for number in every if number not in done]
    assert rest.expected() == sum(len(record.raw) for record in taken)


@pytest.mark.parametrize("done", [set(), {0, 1}, {0, 1, 2}])
def test_a_limit_counts_what_is_done(folder: Path, done: set[int]) -> None:
    intake = Intake([folder], limit=3, done=done)
    assert [record.number for record in intake.reads(fail)] == sorted({0, 1, 2} - done)
    assert intake.missing() == []


def test_a_read_that_cannot_be_used_has_a_number_too(tmp_path: Path, root: Path) -> None:
    text = (
        "#slow5_version\t0.2.0\n#num_read_groups\t1\n#char*\tuint32_t\tdouble\tdouble\tdouble\tdouble\tuint64_t\tint16_t*\n"
        "#read_id\tread_group\tdigitisation\toffset\trange\tsampling_rate\tlen_raw_signal\traw_signal\n"
    )
    text += "".join(
        f"{name}\t0\t8192\t{offset}\t1400\t4000\t3\t1,2,3\n" for name, offset in (("a", 1), ("b", "nan"), ("c", 2))
    )
    (tmp_path / "r.slow5").write_text(text)
    intake = Intake([tmp_path])
    problems: list[tuple[int, str | None]] = []
    taken = list(intake.reads(lambda problem: problems.append((intake.count, problem.record))))
    assert [(record.read_id, record.number) for record in taken] == [("a", 0), ("c", 2)]
    assert problems == [(1, "b")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("r1\nr2\n\n r3 \r\n", {"r1", "r2", "r3"}),
        ("r1", {"r1"}),
        ("filename\tread_id\tn\na.pod5\tr1\t5\nb.pod5\tr2\t6\n", {"r1", "r2"}),
        ("read_id\nr1\nr1\n", {"r1"}),
    ],
)
def test_ids_of_a_list_or_a_table(tmp_path: Path, text: str, found: set[str]) -> None:
    (tmp_path / "ids").write_text(text)
    assert read_ids(tmp_path / "ids") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no read id"),
        ("read_id\tn\n", "holds no read id"),
        ("r1\nr2 r3\n", "line 2: found 'r2 r3'; allowed is one id a line"),
        ("n\tread_id\n1\n", "line 2 has no cell in the column read_id"),
    ],
)
def test_tables_of_ids_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ids").write_text(text)
    with pytest.raises(InputError, match=message):
        read_ids(tmp_path / "ids")


FACTS = {"task": "basecalling", "chemistry": ["dna_r9.4.1_e8"], "sample_rate": 4000.0}
MODEL = Purpose.of(FACTS, "tiny")
R9 = "dna_r9.4.1_e8"
# chemistry, samples a second, flow cells, kits, whether a kit alone (without flow cell) settles it, experiment type
TRUTH = [
    (R9, 4000, ["FLO-MIN106", "FLO-PRO002", "FLO-FLG001", "FLO-PRO001", "FLO-MINSP6", "FLO-PRO002M"],
     ["SQK-LSK108", "SQK-LSK109", "SQK-RBK004", "SQK-PCB109", "SQK-16S024", "SQK-RBK110.96"], False, "genomic_dna"),
    ("dna_r9.5_450bps", 4000, ["FLO-MIN107"], ["SQK-LSK308", "SQK-LSK109"], False, "genomic_dna"),
    ("dna_r10.3_450bps", 4000, ["FLO-MIN111", "FLO-PRO111"], ["SQK-LSK110", "SQK-LSK109"], False, "genomic_dna"),
    ("dna_r10.4_e8.1", 4000, ["FLO-MIN112", "FLO-PRO112"], ["SQK-LSK112", "SQK-NBD112-24"], True, "genomic_dna"),
    ("dna_r10.4.1_e8.2_400bps_4khz", 4000, ["FLO-MIN114", "FLO-PRO114M", "FLO-FLG114"],
     ["SQK-LSK114", "SQK-PCS114", "SQK-ULK114", "SQK-NBD114.96"], True, "genomic_dna"),
    ("dna_r10.4.1_e8.2_400bps_5khz", 5000, ["FLO-MIN114", "FLO-PRO114HD"],
     ["SQK-LSK114-XL", "SQK-RAD114"], True, "dna"),
    ("dna_r10.4.1_e8.2_260bps", 4000, ["FLO-PRO114"], ["SQK-LSK114-260", "SQK-NBD114-96-260"], True, "genomic_dna"),
    ("rna002_70bps", 3012, ["FLO-MIN106", "FLO-PRO002", "FLO-MINSP6"], ["SQK-RNA002", "SQK-RNA001"], True, "rna"),
    ("rna004_130bps", 4000, ["FLO-MIN004RA", "FLO-PRO004RA"], ["SQK-RNA004", "SQK-RNA004-XL"], True, "rna"),
]  # fmt: skip
CONTRADICTIONS = [("FLO-MIN106", "SQK-RNA004"), ("FLO-MIN114", "SQK-RNA002"), ("FLO-MIN114", "SQK-LSK109"),
                  ("FLO-PRO002", "SQK-LSK114"), ("FLO-PRO004RA", "SQK-LSK114"),
                  ("FLO-MIN106", "SQK-LSK112")]  # fmt: skip
STATED = ("all", "lower case", "underscores", "protocol", "flow cell", "kit", "experiment type", "nothing",
          "contradictory", "other rate")  # fmt: skip
CALLED, WARNED, REFUSED = "called", "called with a warning", "refused"


def draw(number: int, stated: str) -> tuple[dict[str, str], float, str, str]:
    """Return the metadata of a run, its sample rate, what comes of it and the words that a refusal has to name."""
    chance = random.Random(number)
    name, rate, cells, kits, settles, kind = chance.choice([TRUTH[0], *TRUTH])
    cell, kit = chance.choice(cells), chance.choice(kits)
    full = {"flow_cell_product_code": cell, "sequencing_kit": kit, "experiment_type": kind}
    right = CALLED if name == R9 else REFUSED
    codes = f"{cell}|{kit}"
    if stated in ("lower case", "underscores"):
        full = {key: value.lower() for key, value in full.items()}
        if stated == "underscores":
            full |= {key: full[key].replace("-", "_") for key in ("flow_cell_product_code", "sequencing_kit")}
        return full, rate, right, codes
    if stated == "protocol":
        return {"exp_script_name": f"sequencing/sequencing_run:{cell}:{kit}"}, rate, right, codes
    if stated == "flow cell":
        return {"flow_cell_product_code": cell}, rate, right, cell
    if stated == "kit":
        return {"sequencing_kit": kit}, rate, REFUSED if settles else WARNED, kit
    if stated in ("experiment type", "nothing"):
        rna = stated == "experiment type" and kind == "rna"
        given = {"experiment_type": kind} if stated == "experiment type" else {}
        return given, rate, REFUSED if rna or rate != 4000 else WARNED, "rna" if rna else f"{rate:g} Hz"
    if stated == "contradictory":
        cell, kit = chance.choice(CONTRADICTIONS)
        return {"flow_cell_product_code": cell, "sequencing_kit": kit}, 4000, REFUSED, "contradictory"
    if stated == "other rate":
        rate = chance.choice([3000, 5000, 20000]) if name == R9 else rate
        return full | {"experiment_type": "genomic_dna"} if name == R9 else full, rate, REFUSED, f"{rate:g} Hz"
    return full, rate, right, codes


def records(given: dict[str, str], rate: float, number: int) -> list[SignalRecord]:
    raw = np.random.default_rng(number).integers(400, 700, 60).astype(np.int16)
    return [
        SignalRecord(str(uuid.UUID(int=16 * number + place)), raw, 4.0, 0.18, float(rate), 5, 1, place, 400 * place,
                     run_id=f"run{number}", flow_cell="FAB1", run_tags=given)
        for place in range(2)
    ]  # fmt: skip


def write_single(path: Path, made: list[SignalRecord], kind: Callable[[str], object]) -> None:
    """Write a single-read FAST5, its attributes as `kind` makes them of text."""
    run, context = tags(made[0])
    with h5py.File(path, "w") as file:
        group = file.create_group("Raw/Reads/Read_1")
        group["Signal"] = made[0].raw
        group.attrs["read_id"] = made[0].read_id.encode()
        shared = file.create_group("UniqueGlobalKey")
        shared.create_group("tracking_id").attrs.update({key: kind(value) for key, value in run.items()})
        shared.create_group("context_tags").attrs.update({key: kind(value) for key, value in context.items()})
        channel = {"offset": 4.0, "range": 8192 * 0.18, "digitisation": 8192.0, "sampling_rate": made[0].sample_rate}
        shared.create_group("channel_id").attrs.update(channel | {"channel_number": "5"})


def write_text(path: Path, made: list[SignalRecord]) -> None:
    """Write SLOW5."""
    run, context = tags(made[0])
    lines = ["#slow5_version\t0.2.0", "#num_read_groups\t1"]
    lines += [f"@{key}\t{value or '.'}" for key, value in sorted((run | context).items())]
    lines.append("#" + "\t".join(kind for _, kind in FIELDS))
    lines.append("#" + "\t".join(name for name, _ in FIELDS))
    for record in made:
        signal = ",".join(map(str, record.raw.tolist()))
        cells = (record.read_id, 0, 8192, record.offset, 8192 * record.scale, record.sample_rate, len(record.raw))
        lines.append("\t".join(map(str, (*cells, signal))))
    path.write_text("\n".join(lines) + "\n")


def write_many(path: Path, made: list[SignalRecord]) -> None:
    with open_signal(path) as write:
        for record in made:
            write(record)


FORMATS: dict[str, tuple[str, Callable[[Path, list[SignalRecord]], None]]] = {
    "multi-read FAST5": (".fast5", write_many),
    "FAST5 of text": (".fast5", lambda path, made: write_single(path, made, str)),
    "FAST5 of bytes": (".fast5", lambda path, made: write_single(path, made, np.bytes_)),
    "POD5": (".pod5", write_many),
    "SLOW5": (".slow5", write_text),
    "BLOW5": (".blow5", write_many),
}


def come_of(paths: list[Path], **options: bool) -> tuple[list[str], list[str | None]]:
    """Return the warnings of a run with the model, and why each of its reads was skipped, None where it was called."""
    said: list[str] = []
    intake = Intake(paths)
    intake.check(MODEL, said.append, **options)
    force = options.get("force", False)
    return said, [unfit(record, FACTS, force) for record in intake.reads(lambda problem: None)]


@pytest.mark.parametrize("stated", STATED)
@pytest.mark.parametrize("form", FORMATS)
def test_two_hundred_runs_end_right(form: str, stated: str, tmp_path: Path) -> None:
    suffix, write = FORMATS[form]
    for round_ in range(4):  # 6 formats x 10 x 4 = 240
        number = 1000 * STATED.index(stated) + 10 * list(FORMATS).index(form) + round_ + 1
        given, rate, outcome, words = draw(number, stated)
        path = tmp_path / f"{number}{suffix}"
        write(path, records(given, rate, number))
        about = (form, stated, given, rate, outcome)
        if outcome == REFUSED:
            with pytest.raises(InputError) as caught:
                come_of([path])
            line = str(caught.value)
            assert line.startswith(f"{path}: found "), about
            named = [word for word in words.split("|") if word.upper().replace(".", "-") in line.upper()]
            assert len(named) == len(words.split("|")), (about, line)
            assert all(part in line for part in ("tiny is for R9.4.1 DNA at 4000 Hz", "--model", "--force")), line
            assert "\n" not in line
            said, skipped = come_of([path], force=True)
            assert sum("called by --force" in warning for warning in said) == 1, about
            assert not any(skipped), about
        else:
            said, skipped = come_of([path])
            assert [UNSURE in line for line in said] == [True] * (outcome == WARNED), (about, said)
            assert skipped
            assert not any(skipped), about


def made(tmp_path: Path, name: str, cell: str, kit: str, rate: float = 4000, number: int = 1) -> Path:
    path = tmp_path / name
    given = {"flow_cell_product_code": cell, "sequencing_kit": kit}
    write_many(path, records({key: value for key, value in given.items() if value}, rate, number))
    return path


def test_a_mixed_folder_is_refused_with_its_counts(tmp_path: Path) -> None:
    for number, name in enumerate(("a.pod5", "b.fast5", "c.blow5", "d.pod5")):
        rna = name == "c.blow5"
        made(tmp_path, name, "FLO-MIN106", "SQK-RNA002" if rna else "SQK-LSK109", 3012 if rna else 4000, number)
    with pytest.raises(InputError, match=r"c\.blow5: found chemistry rna002_70bps .*dna_r9\.4\.1_e8 3, rna002_70bps 1"):
        come_of([tmp_path])
    said, skipped = come_of([tmp_path], force=True)
    assert len(said) == 1
    assert "1 of 4 files does not fit" in said[0]
    assert len(skipped) == 8


def test_a_read_that_comes_late_is_left_out_with_a_reason(tmp_path: Path) -> None:
    path = made(tmp_path, "a.fast5", "FLO-MIN106", "SQK-LSK109")
    with h5py.File(path, "a") as file:
        names = [name for name in file if name.startswith("read_")]
        for number in range(40):
            file.copy(names[0], f"read_{number}")
            file[f"read_{number}/Raw"].attrs["read_id"] = f"r{number}"
        file["read_39/tracking_id"].attrs["flow_cell_product_code"] = b"FLO-MIN114"
        file["read_39/context_tags"].attrs["sequencing_kit"] = b"SQK-LSK114"
    said, skipped = come_of([path])
    assert said == []
    assert len(skipped) == 42
    wrong = [reason for reason in skipped if reason]
    assert wrong == ["chemistry dna_r10.4.1_e8.2_400bps_4khz where the model is for R9.4.1 DNA"]


def test_one_warning_a_run_for_all_unknown(tmp_path: Path) -> None:
    for number in range(5):
        made(tmp_path, f"{number}.pod5", "", "", number=number)
    said, skipped = come_of([tmp_path])
    assert len(said) == 1
    assert "5 of 5 files" in said[0]
    assert not any(skipped)


def test_another_rate_is_refused_only_where_all_have_it(tmp_path: Path) -> None:
    odd = made(tmp_path, "a.pod5", "FLO-MIN106", "SQK-LSK109", 5000)
    with pytest.raises(InputError, match=r"found a sample rate of 5000 Hz .*where dna_r9\.4\.1_e8 has 4000 Hz"):
        come_of([odd])
    assert come_of([odd], part=True)[1] == ["sample rate 5000 Hz where the model needs 4000 Hz"] * 2  # a shard
    made(tmp_path, "b.pod5", "FLO-MIN106", "SQK-LSK109", number=2)
    assert come_of([tmp_path])[1].count(None) == 2


def test_reads_asked_for_by_id_are_judged_alone(tmp_path: Path) -> None:
    made(tmp_path, "a.pod5", "FLO-MIN106", "SQK-LSK109", number=1)
    made(tmp_path, "b.pod5", "FLO-MIN114", "SQK-LSK114", number=2)
    good, bad = str(uuid.UUID(int=16)), str(uuid.UUID(int=32))
    intake = Intake([tmp_path], {good})
    intake.check(MODEL)
    assert [record.read_id for record in intake.reads(lambda problem: None)] == [good]
    intake = Intake([tmp_path], {bad})
    intake.check(MODEL)
    with pytest.raises(InputError, match=f"record '{bad}': found chemistry dna_r10"):
        list(intake.reads(lambda problem: None))


def test_a_limit_looks_no_further_than_it_reads(tmp_path: Path) -> None:
    made(tmp_path, "a.pod5", "FLO-MIN106", "SQK-LSK109", number=1)
    made(tmp_path, "b.pod5", "FLO-MIN114", "SQK-LSK114", number=2)
    intake = Intake([tmp_path], limit=1)
    intake.check(MODEL)
    assert len(list(intake.reads(lambda problem: None))) == 1


def test_a_model_that_says_nothing_checks_nothing_and_says_so(tmp_path: Path) -> None:
    path = made(tmp_path, "b.pod5", "FLO-MIN114", "SQK-LSK114", number=2)
    said: list[str] = []
    Intake([path]).check(Purpose("old", (), 4000.0), said.append)
    assert said == ["warning: old has no known chemistry, so reads are not checked"]


def test_training_reads_say_what_a_model_is_for(tmp_path: Path) -> None:
    from biorrn.config.recipe import load_recipe
    from biorrn.nanopore.labels.prepare import mix, prepare_signal
    from biorrn.nanopore.task import open_data
    from biorrn.sequences.records import ReadLabels
    from biorrn.sequences.splits import parse_split

    def reads(given: dict[str, str], first: int) -> list[tuple[SignalRecord, ReadLabels]]:
        found = []
        for number in range(first, first + 8):
            raw = np.random.default_rng(number).integers(400, 700, 4000).astype(np.int16)
            record = SignalRecord(f"r{number}", raw, 4.0, 0.18, 4000.0, run_tags=given)
            found.append((record, ReadLabels(np.tile(np.arange(1, 5, dtype=np.uint8), 100), 10 * np.arange(400), 4000)))
        return found

    split = parse_split("random:0.5,0.5,0", "signal", 1)
    known = {"flow_cell_product_code": "FLO-MIN106", "sequencing_kit": "sqk-lsk109"}
    counts = prepare_signal(reads(known, 0), tmp_path / "a.h5", split)
    assert counts["reads of chemistry dna_r9.4.1_e8"] == 8
    prepare_signal(reads({}, 20), tmp_path / "b.h5", split)
    mix([(tmp_path / "a.h5", 1), (tmp_path / "b.h5", 1)], tmp_path / "mix.h5")
    with h5py.File(tmp_path / "mix.h5") as file:
        assert json.loads(file.attrs["chemistry"]) == {R9: 8, "unknown": 8}
    recipe = load_recipe("demo_basecall")
    assert open_data(tmp_path / "mix.h5", recipe).facts["chemistry"] == [R9]
    assert "chemistry" not in open_data(tmp_path / "b.h5", recipe).facts


def test_the_shipped_model_is_for_r941(shared_data: Path) -> None:
    from biorrn.nn.store import load_facts

    purpose = Purpose.of(load_facts("dna_r9.4.1_fast"), "dna_r9.4.1_fast")
    assert str(purpose) == "R9.4.1 DNA at 4000 Hz (dna_r9.4.1_e8)"
    for folder, fine in (
        ("klebsiella_r941", True),
        ("ecoli_r94", True),
        ("human_r1041", False),
        ("sequin_rna002", False),
    ):
        intake = Intake([shared_data / "nanopore" / folder], limit=2)
        if fine:
            said: list[str] = []
            intake.check(purpose, said.append)
            assert said == []
        else:
            with pytest.raises(InputError, match="found chemistry"):
                intake.check(purpose)
    record = next(iter(Intake([shared_data / "nanopore" / "klebsiella_r941"]).reads(lambda problem: None)))
    assert chemistry_of(record).name == R9

"""Reads of another chemistry than the model: refused, or called with --force; the model by their chemistry."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pysam
import pytest

from biorrn.config.samples import CALLER
from biorrn.sequences.records import SignalRecord

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--decoder", "greedy", "--threads", 1, "--min-length", 1)
GOOD = {"flow_cell_product_code": "FLO-MIN106", "sequencing_kit": "SQK-LSK109"}
R10 = {"flow_cell_product_code": "FLO-MIN114", "sequencing_kit": "sqk-lsk114"}
REASON = "chemistry dna_r10.4.1_e8.2_400bps_4khz where the model is for R9.4.1 DNA"


@pytest.fixture(scope="module")
def mixed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two short reads of R9.4.1 in one file and one that claims R10.4.1 in another, of one run."""
    from biorrn.nanopore.readers.files import read_signal
    from biorrn.nanopore.simulate.writers import open_signal

    def cut(tags: dict[str, str], first: int, last: int) -> Iterator[SignalRecord]:
        for record in list(read_signal(root / "data/simulated_reads/simulated.blow5"))[first:last]:
            yield replace(record, raw=record.raw[:4000], run_tags=tags, kit=tags.get("sequencing_kit", ""))

    folder = tmp_path_factory.mktemp("mixed")
    for name, tags, first, last in (("a.pod5", GOOD, 0, 2), ("b.fast5", R10, 2, 3), ("c.blow5", {}, 3, 5)):
        place = folder if tags else folder.parent / "mixed_unknown"
        place.mkdir(exist_ok=True)
        with open_signal(place / name) as write:
            for record in cut(tags, first, last):
                write(record)
    return folder


def test_a_run_that_does_not_fit_is_refused_in_one_line(biorrn: Run, mixed: Path, model: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls.bam"
    code, out, err = biorrn("basecall", mixed, "--model", model, "-o", calls, "--allow-empty", *QUICK)
    assert (code, out) == (2, "")
    assert err == (
        f"biorrn: error: {mixed / 'b.fast5'}: found chemistry dna_r10.4.1_e8.2_400bps_4khz (flow cell FLO-MIN114, kit "
        "SQK-LSK114, 4000 Hz) (among all files: dna_r9.4.1_e8 1, dna_r10.4.1_e8.2_400bps_4khz 1); tiny is for R9.4.1 "
        "DNA at 4000 Hz (dna_r9.4.1_e8). Name a model of that chemistry with --model, or call anyway with "
        "--force\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_force_calls_and_everything_says_so(biorrn: Run, mixed: Path, model: Path, tmp_path: Path) -> None:
    from biorrn.report.sections import sample_part

    calls, table, qc = (tmp_path / name for name in ("calls.bam", "calls.tsv", "qc.json"))
    code, _, err = biorrn("basecall", mixed, "--model", model, "-o", calls, "--summary", table, "--force", *QUICK)
    assert code == 0, err
    assert err.count("warning") == 1
    assert "1 of 2 files does not fit tiny" in err
    assert f"flagged 1 ({REASON}, called by --force: 1)" in err
    rows = list(csv.DictReader(table.open(), delimiter="\t"))
    assert [(row["chemistry"], row["warning"]) for row in rows] == [
        ("dna_r9.4.1_e8", ""), ("dna_r9.4.1_e8", ""),
        ("dna_r10.4.1_e8.2_400bps_4khz", f"{REASON}, called by --force"),
    ]  # fmt: skip
    with pysam.AlignmentFile(str(calls), check_sq=False) as file:
        header = file.header.to_dict()
        assert len(list(file)) == 3
    (group,) = header["RG"]  # the reads are of one run
    assert group["DS"].endswith(" chemistry=dna_r10.4.1_e8.2_400bps_4khz warning=chemistry_mismatch")
    assert header["CO"] == [f"biorrn warning: {REASON}, called by --force: 1 reads"]
    code, out, _ = biorrn("qc", table, "-o", qc)
    assert code == 0
    caution = f"1 of 3 called reads: {REASON}, called by --force."
    assert f"caution: {caution}" in out
    content = json.loads(qc.read_text())
    assert content["chemistry"] == {"dna_r9.4.1_e8": 2, "dna_r10.4.1_e8.2_400bps_4khz": 1}
    assert content["cautions"] == [caution]
    assert sample_part(qc, "qc")["cautions"] == [caution]  # what the report shows


def test_unknown_metadata_are_called_with_one_warning(biorrn: Run, mixed: Path, model: Path) -> None:
    code, out, err = biorrn("basecall", mixed.parent / "mixed_unknown", "--model", model, *QUICK)
    assert code == 0, err
    assert err.count("warning") == 1
    assert "1 of 1 files: the metadata leave the chemistry open" in err
    assert out.count("\n") == 8


def test_shards_and_lists_are_checked_too(biorrn: Run, mixed: Path, model: Path, tmp_path: Path) -> None:
    files = tmp_path / "files.txt"
    files.write_text(f"{mixed / 'a.pod5'}\n{mixed / 'b.fast5'}\n")
    options = ("--model", model, "-o", tmp_path / "x.fastq", *QUICK)
    codes = [biorrn("basecall", "--files", files, "--shard", f"{part}/2", *options)[0] for part in (1, 2)]
    assert codes == [0, 2]
    assert biorrn("basecall", "--files", files, *options)[0] == 2


def test_reads_are_listed_with_their_chemistry(biorrn: Run, mixed: Path) -> None:
    code, out, _ = biorrn("reads", mixed)
    assert code == 0
    rows = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    assert [row["chemistry"] for row in rows] == ["dna_r9.4.1_e8"] * 2 + ["dna_r10.4.1_e8.2_400bps_4khz"]
    code, out, _ = biorrn("reads", mixed, mixed.parent / "mixed_unknown", "--summary")
    for line in ("dna_r9.4.1_e8\t2", "dna_r10.4.1_e8.2_400bps_4khz\t1", "unknown\t2"):
        assert f"reads of chemistry {line}\n" in out


def test_labels_by_a_model_are_checked_too(biorrn: Run, root: Path, mixed: Path, model: Path, tmp_path: Path) -> None:
    reference = root / "data/simulated_reads/reference.fasta"
    words = ("prepare", "signal", mixed, "--labels", "bootstrap", "--reference", reference, "--model", model,
             "--split", "random:1,0,0", "-o", tmp_path / "x.h5", "--threads", 1)  # fmt: skip
    code, _, err = biorrn(*words)
    assert code == 2
    assert "b.fast5: found chemistry dna_r10.4.1_e8.2_400bps_4khz" in err
    code, _, err = biorrn(*words, "--force")  # which does not make an untrained model place reads
    assert "found chemistry" not in err
    assert "called by --force" in err
    code, _, err = biorrn("calibrate", model, mixed, "--reference", reference, "--dry-run")
    assert code == 2
    assert "b.fast5: found chemistry" in err


def test_what_force_began_goes_on_with_force(biorrn: Run, mixed: Path, model: Path, tmp_path: Path) -> None:
    from biorrn.base.journal import open_journal
    from biorrn.nanopore.basecall.caller import Caller
    from biorrn.nanopore.basecall.intake import Intake
    from biorrn.nanopore.basecall.output import resume_settings
    from biorrn.nanopore.basecall.summary import columns, unread
    from biorrn.nn.store import load_model

    calls = tmp_path / "calls.fastq"
    stored = load_model(model)
    must = resume_settings(stored, Intake([mixed]).files, engine=Caller(stored).engine, decoder="greedy",
                           device="cpu", emit="fastq", moves=True, min_qscore=0.0, min_length=1, max_reads=None,
                           force=True, trim="adapters")  # fmt: skip
    journal = open_journal(Path(f"{calls}.partial"), {"must": must, "command": ""})
    cells = unread("b.fast5", "r", "called")
    cells[columns(False).index("warning")] = f"{REASON}, called by --force"
    journal.append({"number": 2, "status": "called", "row": cells, "called": True}, "@r\nA\n+\n!\n")
    journal.close()
    code, _, err = biorrn("basecall", mixed, "--model", model, "-o", calls, "--resume", "--device", "cpu", *QUICK)
    assert code == 2
    assert "--force was given and is now not given" in err
    code, _, err = biorrn("basecall", mixed, "--model", model, "-o", calls, "--resume", "--force", "--device", "cpu",
                          *QUICK)  # fmt: skip
    assert code == 0, err
    assert "resumed: 1 reads already done" in err
    assert f"flagged 1 ({REASON}, called by --force: 1)" in err  # of the earlier part too
    assert calls.read_text().count("\n") == 12


# -- the model by the chemistry of the reads -------------------------------------------------------------------------


@pytest.fixture
def own(make_caller: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a folder with a model for R10.4.1 at 4 kHz, called `ten`."""
    made = make_caller(chemistry=["dna_r10.4.1_e8.2_400bps_4khz"])
    (tmp_path / "own").mkdir()
    return shutil.copytree(made, tmp_path / "own" / "ten").parent


def test_groups_are_called_one_by_one_and_merged(biorrn: Run, mixed: Path, own: Path, tmp_path: Path) -> None:
    """What the refusal says to do, done."""
    code, out, err = biorrn("basecall", mixed, "--models-dir", own, "-o", tmp_path / "all.bam", *QUICK)
    assert (code, out) == (2, "")
    assert err == (
        f"biorrn: error: {mixed / 'a.pod5'}: the files hold reads of several chemistries (dna_r9.4.1_e8 1, "
        "dna_r10.4.1_e8.2_400bps_4khz 1), and no available model is for all; call each by itself: --chemistry "
        f"dna_r9.4.1_e8 (model {CALLER}), --chemistry dna_r10.4.1_e8.2_400bps_4khz (model ten); then biorrn "
        "merge\n"
    )
    parts = []
    for name, model, count in (("dna_r9.4.1_e8", f"{CALLER} (default", 2),
                               ("dna_r10.4.1_e8.2_400bps_4khz", f"ten ({own})", 1)):  # fmt: skip
        parts.append(tmp_path / f"{name}.bam")
        code, out, err = biorrn("basecall", mixed, "--models-dir", own, "--chemistry", name, "-o", parts[-1], *QUICK)
        assert (code, out) == (0, ""), err
        assert f"biorrn basecall: model {model}" in err
        assert f"{3 - count} reads are not of --chemistry {name}\n" in err
    code, _, err = biorrn("merge", *parts, "-o", tmp_path / "all.bam")
    assert code == 0, err
    with pysam.AlignmentFile(str(tmp_path / "all.bam"), check_sq=False) as file:
        groups = {group["ID"]: group["DS"] for group in file.header.to_dict()["RG"]}
        models = [groups[read.get_tag("RG")].split("basecall_model=")[1].split()[0] for read in file]
    assert models == [CALLER] * 2 + ["ten"]


def test_the_folders_of_the_variable(
    biorrn: Run, mixed: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIORRN_MODELS", str(own))
    by_itself = biorrn("basecall", mixed / "b.fast5", "--emit", "sam", *QUICK)
    named = biorrn("basecall", mixed / "b.fast5", "--emit", "sam", "--model", "ten", *QUICK)
    assert (by_itself[0], named[0]) == (0, 0), by_itself[2]
    same = [[line for line in out.splitlines() if not line.startswith("@PG")] for _, out, _ in (by_itself, named)]
    assert same[0] == same[1]
    assert "model" not in named[2]
    code, _, err = biorrn("basecall", mixed, "--model", "tenn", "-o", tmp_path / "x.fastq")
    assert code == 2
    assert f"model 'tenn' is not a folder nor a shipped model nor in {own}; did you mean 'ten'?" in err
    code, out, _ = biorrn("models")
    assert code == 0
    rows = {row["model"]: row for row in csv.DictReader(out.splitlines(), delimiter="\t")}
    assert (rows["ten"]["folder"], rows["ten"]["problem"]) == (str(own / "ten"), ".")
    code, out, _ = biorrn("models", "show", "ten")
    assert out.startswith("model: ten\ntask: basecalling\n")


def test_all_shards_take_the_model_of_all_reads(biorrn: Run, mixed: Path, own: Path, tmp_path: Path) -> None:
    """Each of them alone would be called."""
    options = ("--models-dir", own, *QUICK)
    for part in (1, 2):
        code, _, err = biorrn("basecall", mixed, "--shard", f"{part}/2", "-o", tmp_path / "x.fastq", *options)
        assert code == 2
        assert "hold reads of several chemistries" in err
    name = "dna_r10.4.1_e8.2_400bps_4khz"
    codes = [biorrn("basecall", mixed, "--shard", f"{part}/2", "--chemistry", name, "-o", tmp_path / f"{part}.fastq",
                    "--allow-empty", *options)[0] for part in (1, 2)]  # fmt: skip
    assert codes == [0, 0]
    assert [(tmp_path / f"{part}.fastq").read_text().count("\n") for part in (1, 2)] == [0, 4]


def test_a_run_goes_on_with_the_model_and_chemistry_that_it_began_with(
    biorrn: Run, mixed: Path, own: Path, tmp_path: Path
) -> None:
    from biorrn.base.journal import open_journal
    from biorrn.nanopore.basecall.caller import Caller
    from biorrn.nanopore.basecall.intake import Intake
    from biorrn.nanopore.basecall.output import resume_settings
    from biorrn.nn.store import load_model

    calls = tmp_path / "calls.fastq"
    stored = load_model(own / "ten")
    must = resume_settings(stored, Intake([mixed]).files, engine=Caller(stored).engine, decoder="greedy", device="cpu",
                           emit="fastq", moves=True, min_qscore=0.0, min_length=1, max_reads=None, force=False,
                           trim="adapters", chemistry="dna_r10.4.1_e8.2_400bps_4khz")  # fmt: skip
    journal = open_journal(Path(f"{calls}.partial"), {"must": must, "command": ""})
    journal.append({"number": 9, "status": "skipped", "row": [""] * 40, "called": False})
    journal.close()
    words = ("basecall", mixed, "--models-dir", own, "-o", calls, "--resume", "--device", "cpu", *QUICK)
    code, _, err = biorrn(*words, "--chemistry", "dna_r9.4.1_e8")
    assert code == 2
    assert "--model was ten" in err or "--chemistry was" in err
    code, _, err = biorrn(*words, "--chemistry", "dna_r10.4.1_e8.2_400bps_4khz")
    assert code == 0, err
    assert calls.read_text().count("\n") == 4


def test_labels_by_a_model_take_that_of_their_chemistry(
    biorrn: Run, root: Path, mixed: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIORRN_MODELS", str(own))
    words = ("--labels", "bootstrap", "--reference", root / "data/simulated_reads/reference.fasta", "--split",
             "random:1,0,0", "-o", tmp_path / "x.h5", "--threads", 1)  # fmt: skip
    code, _, err = biorrn("prepare", "signal", mixed / "b.fast5", *words)
    assert f"biorrn: model ten ({own})\n" in err  # it is not trained, so its calls map nowhere
    code, _, err = biorrn("prepare", "signal", mixed, *words)
    assert code == 2
    assert "hold reads of several chemistries" in err


def test_the_api_takes_the_model_of_the_chemistry(mixed: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import biorrn
    from biorrn.base.errors import BiorrnError

    options = {"min_length": 1, "decoder": "greedy", "device": "cpu"}
    with pytest.raises(BiorrnError, match="no available model is for it"):
        list(biorrn.basecall(mixed / "b.fast5", **options))
    monkeypatch.setenv("BIORRN_MODELS", str(own))
    (call,) = biorrn.basecall(mixed / "b.fast5", **options)
    (named,) = biorrn.basecall(mixed / "b.fast5", own / "ten", **options)
    assert call.bases == named.bases

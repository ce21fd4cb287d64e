"""`biorrn basecall --split-reads --estimate-poly-a`: parts, tails, summary, and a resumed run."""

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pysam
import pytest

from biorrn.nanopore.basecall.output import CallOutput
from biorrn.nanopore.readers.files import read_all

Run = Callable[..., tuple[int, str, str]]
OPTIONS = ("--split-reads", "--estimate-poly-a", "--threads", 1, "--min-length", 0)


@pytest.fixture(scope="module")
def cdna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with simulated reads of cDNA, half of them chimeras, and their truth."""
    from biorrn.nanopore.simulate.pore_model import load_pore_model
    from biorrn.nanopore.simulate.reads import Settings, open_truth, random_genome, simulate
    from biorrn.nanopore.simulate.writers import open_signal

    folder = tmp_path_factory.mktemp("cdna")
    settings = Settings(600, 20, chimeras=0.5, poly_a=(60, 100))
    made = simulate(random_genome("20000", 0), load_pore_model("dna_r9.4.1_6mer"), settings, reads=8, seed=4)
    with open_signal(folder / "cdna.pod5") as write, open_truth(folder / "truth.tsv", settings) as label:
        for record, labels in made:
            write(record)
            label(record.read_id, labels)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with open(path) as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, calls: int) -> Iterator[None]:
    """Interrupt runs of the block after so many calls are written."""
    write, left = CallOutput.write, calls

    def stop(self: CallOutput, *of: object) -> str:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        return write(self, *of)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(CallOutput, "write", stop)
        yield


def test_every_chimera_is_split_and_no_read_is_lost(biorrn: Run, cdna: Path, tmp_path: Path) -> None:
    code, _, err = biorrn("basecall", cdna / "cdna.pod5", "--model", "fast", "-o", tmp_path / "c.bam", *OPTIONS,
                          "--summary", tmp_path / "s.tsv")  # fmt: skip
    assert code == 0
    truth = {row["read_id"]: row for row in table(cdna / "truth.tsv")}
    double = {name for name, row in truth.items() if row["second"]}
    rows = table(tmp_path / "s.tsv")
    assert {row["parent_read_id"] for row in rows} - {""} == double
    assert {row["parent_read_id"] or row["read_id"] for row in rows} == truth.keys()
    assert len(rows) == len(truth) + len(double)
    assert f"{len(double)} reads split, into {2 * len(double)}" in err
    with pysam.AlignmentFile(tmp_path / "c.bam", check_sq=False) as file:
        records = {record.query_name: record for record in file}
    assert records.keys() == {row["read_id"] for row in rows}
    tails = 0
    for row in rows:
        record = records[row["read_id"]]
        own = dict(record.get_tags())
        assert own["ts"] + own["mv"][0] * (len(own["mv"]) - 1) <= own["ns"] == int(row["num_samples"])
        assert (own.get("pi", ""), str(own.get("sp", ""))) == (row["parent_read_id"], row["start_in_parent"])
        if row["poly_tail_length"]:
            tails += 1
            assert own["pt"] == int(row["poly_tail_length"])
            assert list(own["pa"])[1:] == [int(row["poly_tail_start"]), int(row["poly_tail_end"]), -1, -1]
            assert 0.6 * 60 < own["pt"] < 1.5 * 100
    assert tails >= len(rows) / 2
    samples = {record.read_id: len(record.raw) for record in read_all([cdna / "cdna.pod5"])}
    for name in double:
        one, two = (row for row in rows if row["parent_read_id"] == name)
        assert int(one["start_in_parent"]) == 0
        assert int(two["start_in_parent"]) + int(two["num_samples"]) == samples[name]
        assert int(truth[name]["open_pore_end"]) - int(two["start_in_parent"]) < 100


def test_parts_of_an_interrupted_run_are_not_lost_nor_written_twice(
    biorrn: Run, cdna: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("basecall", cdna / "cdna.pod5", "--model", model, "-o", tmp_path / "c.sam", "--split-reads", "--resume",
             "--summary", tmp_path / "s.tsv", "--decoder", "greedy", *OPTIONS[2:])  # fmt: skip
    assert biorrn(*words)[0] == 0
    whole = [(tmp_path / name).read_bytes() for name in ("c.sam", "s.tsv")]
    for place in (1, 2, 3, 5):  # after the first part of a read, and after its last
        (tmp_path / "c.sam").unlink()
        with interrupted(monkeypatch, place):
            code, _, err = biorrn(*words)
        assert code != 0
        assert (tmp_path / "c.sam.partial").exists()
        kept = int(re.search(r"keeps ([0-9]+) reads", err)[1])  # type: ignore[index]
        code, _, err = biorrn(*words)
        assert (code, f"resumed: {kept} reads already done" in err) == (0, kept > 0)
        assert [(tmp_path / name).read_bytes() for name in ("c.sam", "s.tsv")] == whole


def test_another_option_on_resume_is_told_as_options_are(
    biorrn: Run, cdna: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("basecall", cdna / "cdna.pod5", "--model", model, "-o", tmp_path / "c.sam", "--decoder", "greedy")
    with interrupted(monkeypatch, 2):
        assert biorrn(*words, "--estimate-poly-a", "--kit", "EXP-NBD104", *OPTIONS[2:])[0] != 0
    code, _, err = biorrn(*words, "--kit", "EXP-NBD104", "--resume", *OPTIONS[2:])
    assert (code, "--estimate-poly-a was given and is now not given" in err) == (2, True)
    code, _, err = biorrn(*words, "--kit", "EXP-NBD103", "--estimate-poly-a", "--resume", *OPTIONS[2:])
    assert code == 2
    assert "--kit was EXP-NBD104 (" in err
    assert len(err) < 400


def test_finished_reads_are_split_by_their_signal(biorrn: Run, root: Path, cdna: Path, tmp_path: Path) -> None:
    calls, parts = tmp_path / "c.bam", tmp_path / "p.tsv"
    assert biorrn("basecall", cdna / "cdna.pod5", "--model", "fast", "-o", calls, "--threads", 1)[0] == 0
    code, _, err = biorrn("split", calls, "--signal", cdna, "-o", tmp_path / "p.bam", "--summary", parts)
    assert code == 0
    double = {row["read_id"] for row in table(cdna / "truth.tsv") if row["second"]}
    assert {row["parent_id"] for row in table(parts)} - {""} == double
    assert f"split: {len(double)} of 8 reads split" in err
    assert "warning" not in err
    code, _, err = biorrn("split", tmp_path / "p.bam", "--signal", cdna, "-o", tmp_path / "again.bam")
    assert (code, "split: none of" in err, "warning" in err) == (0, True, False)
    other = root / "data/simulated_reads/simulated.pod5"
    code, _, err = biorrn("split", calls, "--signal", other, "-o", tmp_path / "q.bam")
    assert code == 0
    assert "warning: 8 of 8 reads have no signal or no move table; split at adapters alone" in err
    code, _, err = biorrn("split", calls, "--signal", tmp_path / "none", "-o", tmp_path / "q.bam")
    assert (code, "none" in err, "Traceback" in err) == (2, True, False)

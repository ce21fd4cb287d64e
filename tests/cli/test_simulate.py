"""`biorrn simulate` and `biorrn pore-model`, from the command line to the files and back."""

import shlex
import sys
from pathlib import Path

import pytest

from biorrn.cli.main import main


def run(command: str, folder: Path) -> int:
    """Run a command in this process, `{d}` being the folder, and return its exit code."""
    words = shlex.split(command.replace("{d}", str(folder)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["biorrn", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


SIMULATE = "simulate --random-genome 6000:0.4 --reads 4 --length-mean 3000 --length-shape 20 --seed 7"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simulate")
    (made / "none.fa").write_text(">n\n" + "N" * 500 + "\n")
    (made / "protein.fa").write_text(">p\nMKTAYIAKQR\n")
    (made / "not.tsv").write_text("kmer\tlevel\n")
    options = "--truth {d}/sim.tsv --reference {d}/sim.fa"
    assert run(f"{SIMULATE} -o {{d}}/sim.blow5 {options}", made) == 0
    assert (
        run("prepare signal {d}/sim.blow5 --labels truth --truth {d}/sim.tsv --split random:1,0,0 -o {d}/sim.h5", made)
        == 0
    )
    return made


def test_simulated_reads_make_a_pore_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pore-model {d}/sim.h5 --k 3 --note made -o {d}/model.tsv", folder) == 0
    assert run("pore-model {d}/sim.h5 --k 3 -o {d}/again.tsv --compare {d}/model.tsv", folder) == 0
    err = capsys.readouterr().err
    assert "round 1: " in err
    assert "comparison, all: 64 k-mers, r = 1.0000" in err
    head = (folder / "model.tsv").read_text()
    assert "# source: made\n" in head
    assert "# made by: biorrn pore-model READS --k 3 --rounds 1\n" in head
    assert run("simulate {d}/sim.fa --pore-model {d}/model.tsv --coverage 1 -o {d}/second.pod5", folder) == 0
    assert run("reads {d}/second.pod5 --summary", folder) == 0


def test_raw_reads_make_the_same_pore_model(folder: Path) -> None:
    raw = "pore-model {d}/sim.blow5 --labels truth --truth {d}/sim.tsv --k 2 --rounds 0 -o {d}/raw.tsv"
    assert run(raw, folder) == 0
    assert run("pore-model {d}/sim.h5 --k 2 --rounds 0 -o {d}/prepared.tsv", folder) == 0
    tables = [
        [line for line in (folder / name).read_text().splitlines() if line[0] != "#"]
        for name in ("raw.tsv", "prepared.tsv")
    ]
    assert tables[0] == tables[1]


def test_seeds_repeat(folder: Path) -> None:
    assert run(f"{SIMULATE} -o {{d}}/twice.blow5 --truth {{d}}/twice.tsv", folder) == 0
    assert (folder / "twice.blow5").read_bytes() == (folder / "sim.blow5").read_bytes()
    assert (folder / "twice.tsv").read_bytes() == (folder / "sim.tsv").read_bytes()
    assert run(f"{SIMULATE} --noise 0 -o {{d}}/bare.blow5".replace("--seed 7", "--seed 8"), folder) == 0
    assert (folder / "bare.blow5").read_bytes() != (folder / "sim.blow5").read_bytes()


# name: (command, part of the message)
BAD = {
    "no DNA": ("simulate --reads 1 -o {d}/x.pod5", "give exactly one of them"),
    "two sources": ("simulate {d}/sim.fa --random-genome 100 --reads 1 -o {d}/x.pod5", "give exactly one of them"),
    "no number": ("simulate {d}/sim.fa -o {d}/x.pod5", "--reads and --coverage"),
    "no reads": ("simulate {d}/sim.fa --reads 0 -o {d}/x.pod5", "--reads: found 0"),
    "a format that is not written": ("simulate {d}/sim.fa --reads 1 -o {d}/x.slow5", "allowed are .pod5"),
    "an unknown pore model": ("simulate {d}/sim.fa --reads 1 -o {d}/x.pod5 --pore-model rna", "'rna' is unknown"),
    "a table that is none": (
        "simulate {d}/sim.fa --reads 1 -o {d}/x.pod5 --pore-model {d}/not.tsv",
        "not a pore model",
    ),
    "a pore model that is not there": (
        "simulate {d}/sim.fa --reads 1 -o {d}/x.pod5 --pore-model {d}/no.tsv",
        "no.tsv: cannot be read",
    ),
    "a FASTA that is not there": ("simulate {d}/no.fa --reads 1 -o {d}/x.pod5", "no.fa: cannot be read"),
    "protein for DNA": ("simulate {d}/protein.fa --reads 1 -o {d}/x.pod5", "record 'p'"),
    "only unknown bases": ("simulate {d}/none.fa --reads 1 -o {d}/x.pod5", "no fragment"),
    "a length of none": ("simulate {d}/sim.fa --reads 1 --length-mean 0 -o {d}/x.pod5", "--length-mean: found 0"),
    "a genome of none": ("simulate --random-genome 3 --reads 1 -o {d}/x.pod5", "--random-genome: found '3'"),
    "labels that are not there": ("pore-model {d}/no.h5 -o {d}/x.tsv", "no such file"),
    "a k of none": ("pore-model {d}/sim.h5 --k 0 -o {d}/x.tsv", "--k: found 0"),
    "reads without labels": ("pore-model {d}/sim.blow5 --labels truth -o {d}/x.tsv", "name it with --truth"),
    "a table to compare that is none": ("pore-model {d}/sim.h5 -o {d}/x.tsv --compare {d}/sim.fa", "expected kmer"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_2(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command, fragment = BAD[name]
    assert run(command, folder) == 2
    err = capfd.readouterr().err
    assert err.startswith("biorrn: error: "), err
    assert err.count("\n") == 1, err
    assert fragment in err
    assert not (folder / "x.pod5").exists()
    assert not (folder / "x.tsv").exists()

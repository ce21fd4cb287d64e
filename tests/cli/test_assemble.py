"""`biorrn assemble`: contigs of synthetic reads, and the messages if the programs are not installed."""

import json
import shutil
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from biorrn.nanopore.alignment import reverse_complement

Run = Callable[..., tuple[int, str, str]]
TOOLS = ("minimap2", "miniasm", "racon")
FILES = ["assembly.json", "contigs.fasta", "layout.gfa", "log.txt"]
needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason="minimap2, miniasm and racon are not all installed"
)


@pytest.fixture
def assemble(biorrn: Run) -> Run:
    return partial(biorrn, "assemble")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return reads, 20 times a made-up genome of 15,000 bases with 4 % of errors, and the genome."""
    rng = np.random.default_rng(5)
    genome = "".join(rng.choice(list("ACGT"), 15_000))
    folder = tmp_path_factory.mktemp("assembly")
    (folder / "genome.fa").write_text(f">made up\n{genome}\n")
    with open(folder / "reads.fastq", "w") as stream:
        for number in range(60):
            start = int(rng.integers(-2500, 12_500))
            bases = genome[max(0, start) : start + 5000]
            bases = reverse_complement(bases) if number % 2 else bases
            wrong = rng.random(len(bases))
            noisy = "".join(
                "" if chance < 0.01 else base + "A" if chance < 0.02 else "ACGT"[int(50 * chance) % 4] if chance < 0.04
                else base for base, chance in zip(bases, wrong, strict=True)
            )  # fmt: skip
            stream.write(f"@same\tRG:Z:x\n{noisy}\n+\n{'/' * len(noisy)}\n")
    return folder / "reads.fastq", folder / "genome.fa"


def result(folder: Path) -> dict:
    return json.loads((folder / "assembly.json").read_text())


@needs_tools
def test_reads_become_the_genome(assemble: Run, made: tuple[Path, Path], tmp_path: Path) -> None:
    reads, genome = made
    code, out, err = assemble(reads, "-o", tmp_path / "a", "--reference", genome, "--threads", 2)
    assert code == 0, err
    content = result(tmp_path / "a")
    assert (content["kind"], content["name"], content["rounds"]) == ("assembly", "a", 2)
    assert set(content["tools"]) == set(TOOLS)
    assert all(content["tools"].values())
    assert set(content["seconds"]) == {"overlaps", "layout", "mapping", "consensus"}
    counts, found = content["counts"], content["reference"]
    assert counts["reads"] == 60
    assert counts["contigs"] == len(content["contigs"]) == 1
    assert found["reference_fraction"] > 0.9
    assert found["identity"] > 0.99  # reads have 0.96
    assert found["per_100_kb"]["mismatches"] < 1000
    lines = (tmp_path / "a" / "contigs.fasta").read_text().splitlines()
    assert lines[0] == f">contig_1 length={counts['bases']} circular=false"
    assert len("".join(lines[1:])) == counts["bases"]
    assert (tmp_path / "a" / "layout.gfa").read_text().startswith("S\t")
    assert "miniasm" in (tmp_path / "a" / "log.txt").read_text()
    assert [figure["path"] for figure in content["figures"]] == ["figures/dot_plot.svg"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted([*FILES, "figures"])
    assert "reference covered" in out


@needs_tools
def test_without_rounds_and_reference_contigs_are_pieces_of_reads(
    assemble: Run, made: tuple[Path, Path], tmp_path: Path
) -> None:
    assert assemble(made[0], "-o", tmp_path / "a", "--rounds", 0, "--name", "x")[0] == 0
    content = result(tmp_path / "a")
    assert (content["name"], content["rounds"], content["reference"]) == ("x", 0, None)
    assert content["counts"]["contigs"] == 1
    assert "consensus" not in content["seconds"]


@needs_tools
def test_fasta_has_no_qualities_and_is_assembled(assemble: Run, made: tuple[Path, Path], tmp_path: Path) -> None:
    records = made[0].read_text().splitlines()
    (tmp_path / "r.fa").write_text("".join(f">r\n{bases}\n" for bases in records[1::4]))
    code, _, err = assemble(tmp_path / "r.fa", "-o", tmp_path / "a", "--reference", made[1])
    assert code == 0, err
    content = result(tmp_path / "a")
    assert (content["counts"]["reads"], content["counts"]["contigs"]) == (60, 1)
    assert content["reference"]["identity"] > 0.99


@needs_tools
@pytest.mark.parametrize("reads", ["", "@r\nACGTACGTTGCATT\n+\n//////////////\n"], ids=["no read", "one read"])
def test_no_contig_is_said(assemble: Run, made: tuple[Path, Path], tmp_path: Path, reads: str) -> None:
    (tmp_path / "r.fastq").write_text(reads)
    code, _, err = assemble(tmp_path / "r.fastq", "-o", tmp_path / "a", "--reference", made[1])
    assert code == 0, err
    content = result(tmp_path / "a")
    assert content["counts"]["contigs"] == 0
    assert "skipped" not in content
    assert content["cautions"][0].startswith("No contig was assembled from ")
    assert err.splitlines()[-1] == f"biorrn assemble: {content['cautions'][0]}"
    assert (tmp_path / "a" / "contigs.fasta").read_text() == ""


def test_without_the_programs_it_is_skipped(
    assemble: Run, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = assemble(made[0], "-o", tmp_path / "a")
    reason = "minimap2, miniasm, racon are not installed (PATH)"
    assert (code, err) == (0, f"biorrn assemble: skipped: {reason}\n")
    assert out == f"skipped: {reason}\n"
    assert result(tmp_path / "a")["skipped"] == reason
    assert (tmp_path / "a" / "contigs.fasta").read_text() == ""
    assert (tmp_path / "a" / "layout.gfa").read_text() == ""
    code, out, err = assemble(made[0], "-o", tmp_path / "b", "--require-tools")
    assert (code, out, err) == (2, "", f"biorrn: error: assemble: {reason}\n")
    assert not (tmp_path / "b").exists()


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Put programs of these names on PATH, before all others."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    ("script", "ending"),
    [("echo 'out of ideas' >&2; exit 3", "ended with exit code 3"), ("kill -9 $$", "was ended by SIGKILL")],
)
def test_a_program_that_fails_is_one_line(
    assemble: Run, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, ending: str
) -> None:
    whole = "case $1 in --version|-V) echo 1.0;; *) echo x;; esac"
    programs(tmp_path / "bin", monkeypatch, minimap2=whole, miniasm=script, racon=whole)
    code, out, err = assemble(made[0], "-o", tmp_path / "a")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"biorrn: error: miniasm: {ending}")
    assert err.splitlines()[-1].endswith(f"in the step 'layout'; its messages are in {tmp_path / 'a' / 'log.txt'}")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["log.txt"]
    log = (tmp_path / "a" / "log.txt").read_text()
    assert "# layout: miniasm -f " in log
    assert ("out of ideas" in log) == ("echo" in script)


def test_a_layout_of_few_reads_is_tried_last(
    assemble: Run, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say = "case $1 in --version|-V) echo 1.0;; {} esac"
    two = "-c) printf 'S\\tutg1c\\tACGT\\nS\\tutg2l\\tACGTAC\\n';;"
    programs(tmp_path / "bin", monkeypatch, minimap2=say.format("*) echo x;;"), miniasm=say.format(two),
             racon=say.format("*) printf '>utg1c LN:i:4\\nAAAA\\n>utg2l\\nCCCCCC\\n';;"))  # fmt: skip
    code, _, err = assemble(made[0], "-o", tmp_path / "a", "--rounds", 1)
    assert code == 0, err
    content = result(tmp_path / "a")
    assert content["layout_options"] == "-c 1 -e 1"
    assert content["contigs"] == [{"name": "contig_1", "length": 6, "circular": False},
                                  {"name": "contig_2", "length": 4, "circular": True}]  # fmt: skip
    assert (tmp_path / "a" / "contigs.fasta").read_text() == (
        ">contig_1 length=6 circular=false\nCCCCCC\n>contig_2 length=4 circular=true\nAAAA\n"
    )
    assert content["cautions"][0].startswith("miniasm found no layout with its defaults")
    assert [figure["path"] for figure in content["figures"]] == ["figures/contigs.svg"]


def test_bad_reads_are_left_out(
    assemble: Run, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "case $1 in --version|-V) echo 1.0;; esac"
    programs(tmp_path / "bin", monkeypatch, **dict.fromkeys(TOOLS, script))
    bad = "@odd\nACXT\n+\n5555\n"
    (tmp_path / "r.fastq").write_text(bad + made[0].read_text())
    code, out, err = assemble(tmp_path / "r.fastq", "-o", tmp_path / "a")
    assert code == 0, err
    assert "record 'odd': base 'X' at position 3 is not one of ACGTUN" in err
    assert result(tmp_path / "a")["counts"]["reads"] == 60
    assert "1 read cannot be used; the contigs are of the others." in out
    (tmp_path / "r.fastq").write_text(bad)
    code, _, err = assemble(tmp_path / "r.fastq", "-o", tmp_path / "b")
    assert code == 2
    assert err.splitlines()[-1].endswith("base 'X' at position 3 is not one of ACGTUN; no read can be used")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.fastq", "-o", "a"], "no.fastq: cannot be read"),
        (["r.fastq", "-o", "a", "--reference", "no.fa"], "no.fa: cannot be read"),
        (["r.fastq", "-o", "r.fastq"], "is the input r.fastq"),
    ],
)
def test_what_cannot_be_assembled_is_one_line(
    assemble: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.fastq").write_text("@r\nACGT\n+\nIIII\n")
    code, out, err = assemble(*words)
    assert (code, out) == (2, "")
    assert err.startswith("biorrn: error: ")
    assert message in err
    assert err.count("\n") == 1

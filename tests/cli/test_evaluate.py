"""`biorrn evaluate` and `biorrn report`: from files to files, and what is refused."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biorrn.nanopore.alignment import reverse_complement
from biorrn.proteins.baselines.fit import BASELINES, SETS
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer

Biorrn = Callable[..., int]
GENOME = "".join(np.random.default_rng(3).choice(list("ACGT"), 5000))


@pytest.fixture
def biorrn(run_cli: Biorrn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Biorrn:
    """Return a function that runs the command line in the test's folder and returns the exit code."""
    monkeypatch.chdir(tmp_path)
    return run_cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a prepared file, its predictions, a reference and called reads."""
    rng = np.random.default_rng(0)
    with protein_writer(tmp_path / "set.h5", [{"name": "tm", "unit": "°C"}]) as writer:
        for number in range(40):
            sequence = "".join(rng.choice(list("ACDE"), 10))
            writer.add(f"p{number}", tokens(sequence), [float(sequence.count("A"))], 1.0, number % 2)
    lines = [f"p{number}\t10\t{rng.normal():.4f}\t." for number in range(40)]
    (tmp_path / "predictions.tsv").write_text("\n".join(["id\tlength\ttm\tflags", *lines]) + "\n")
    (tmp_path / "reference.fa").write_text(f">genome\n{GENOME}\n")
    reads = {"inside": GENOME[100:900], "back": reverse_complement(GENOME[500:1500]), "away": GENOME[3000:4000]}
    reads["noise"] = "".join(rng.choice(list("ACGT"), 500))
    reads["empty"] = ""
    text = "".join(f"@{id} x\n{bases}\n+\n{'5' * len(bases)}\n" for id, bases in reads.items())
    (tmp_path / "calls.fastq").write_text(text)
    return tmp_path


def test_regression_from_files_to_report(biorrn: Biorrn, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-o", "out/eval.json", "--figures", "out/figures", "--note", "made up for a test")
    assert biorrn("evaluate", "regression", "predictions.tsv", "set.h5", *words) == 0
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.split()[0] in ("model", *BASELINES) for line in printed) == 1 + len(BASELINES)
    assert any(line.startswith("The model does not beat ") and "ridge" in line for line in printed)
    assert sum(line.startswith("Split 'valid' holds the rows that chose the model") for line in printed) == 1
    content = json.loads((folder / "out/eval.json").read_text())
    assert content["split"] == "valid"
    assert content["metrics"]["tm"]["spearman"]["n"] == 20
    assert content["baselines"]["tm"]["mean"]["metrics"]["spearman"]["value"] is None  # JSON has no NaN
    assert content["baselines"]["tm"]["ridge"]["beats"] is False
    assert content["inputs"]["prepared"]["path"] == "set.h5"
    assert [entry["path"] for entry in content["figures"]] == [
        "figures/scatter.svg",
        "figures/residuals.svg",
        "figures/baselines.svg",
    ]
    assert biorrn("report", "out/eval.json", "--title", "A & B", "-o", "out/report.html") == 0
    page = (folder / "out/report.html").read_text()
    assert "A &amp; B" in page
    assert "made up for a test" in page
    assert "holds the rows that chose the model" in " ".join(page.split())
    assert any("rows that chose the model" in caution for caution in content["cautions"])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--no-baselines"], set()),
        (["--baselines", "none"], set()),
        (["--baselines", "fast"], set(SETS["fast"])),
        (["--baselines", "svm,mean"], {"svm", "mean"}),
    ],
)
def test_baselines_are_chosen(biorrn: Biorrn, folder: Path, words: list[str], names: set[str]) -> None:
    assert biorrn("evaluate", "regression", "predictions.tsv", "set.h5", *words, "-o", "eval.json") == 0
    assert set(json.loads((folder / "eval.json").read_text())["baselines"].get("tm", {})) == names


def test_rows_of_a_table_that_were_trained_on_are_told(
    biorrn: Biorrn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from biorrn.proteins.predictions import read_prepared

    texts = read_prepared(folder / "set.h5").rows.sequences()
    table = "".join(f"p{row},{text},{text.count('A')}\n" for row, text in enumerate(texts))
    (folder / "table.csv").write_text("id,sequence,tm\n" + table)
    (folder / "run").mkdir()
    content = {"name": "one", "task": "regression", "model": {"frontend": {"name": "onehot"}, "pool": ["mean"]}}
    (folder / "run" / "recipe.yaml").write_text(json.dumps(content))
    (folder / "run" / "provenance.json").write_text(json.dumps({"data": {"set.h5": ""}}))
    words = ("evaluate", "regression", "predictions.tsv", "table.csv", "-o", "out.json")
    assert biorrn(*words, "--model", "run") == 0
    printed = capsys.readouterr().out
    assert "run was trained on 20 of these 40 rows: these numbers do not measure performance on new rows." in printed
    assert "prepared file has no training rows" not in printed
    assert biorrn(*words) == 0
    assert "Whether the model was trained on these rows is unknown" in capsys.readouterr().out


def test_mutations_are_of_the_wild_type_of_the_model(
    biorrn: Biorrn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from biorrn.nn.facts import wild_type_of
    from biorrn.nn.store import load_facts

    facts = load_facts("beta_lactamase")
    wild, name = wild_type_of(facts), facts["targets"][0]["name"]
    cells = [f"{wild[k]}{k + 1}{'G' if wild[k] != 'G' else 'A'}" for k in range(60, 66)]
    table, made = tmp_path / "scan.csv", tmp_path / "predictions.tsv"
    table.write_text(f"mutant,{name}\n" + "".join(f"{cell},{k / 10}\n" for k, cell in enumerate(cells)))
    assert biorrn("predict", "beta_lactamase", table, "-o", made, "--threads", "1") == 0
    words = ("evaluate", "regression", made, table, "-o", tmp_path / "scan.json")
    assert biorrn(*words) == 2
    assert "--wild-type FASTA|SEQUENCE" in capsys.readouterr().err
    assert biorrn(*words, "--model", "beta_lactamase") == 0
    import biorrn as package

    assert set(package.evaluate("beta_lactamase", table).metrics["n"]) == {6}


def test_same_command_gives_the_same_file(biorrn: Biorrn, folder: Path) -> None:
    found = []
    for _ in range(2):
        biorrn("evaluate", "regression", "predictions.tsv", "set.h5", "-o", "eval.json")
        found.append((folder / "eval.json").read_bytes())
    assert found[0] == found[1]


def test_basecalls_from_files_to_report(biorrn: Biorrn, folder: Path) -> None:
    words = ("--region", "genome:0-1200", "-o", "eval.json", "--table", "reads.tsv", "--figures", "figures")
    assert biorrn("evaluate", "basecalls", "calls.fastq", "reference.fa", *words) == 0
    content = json.loads((folder / "eval.json").read_text())
    counts = content["counts"]
    assert (counts["reads"], counts["mapped"], counts["unmapped"], counts["scored"], counts["outside"]) == (
        5,
        3,
        2,
        2,
        1,
    )
    assert counts["reverse_strand"] == 1
    assert content["metrics"]["median_identity"] == {"n": 2, "value": 1.0, "low": 1.0, "high": 1.0}
    assert content["within"]["n"] == 1
    assert content["cautions"] == ["2 of 5 reads are unmapped and have no identity."]
    rows = [line.split("\t") for line in (folder / "reads.tsv").read_text().splitlines()]
    status = {row[0]: row[2] for row in rows}
    assert status == {
        "read_id": "status",
        "inside": "scored",
        "back": "scored",
        "away": "outside",
        "noise": "unmapped",
        "empty": "unmapped",
    }
    assert biorrn("report", "eval.json", "-o", "report.html") == 0
    assert "genome:0-1200" in (folder / "report.html").read_text()


def test_errors_by_context_and_signal_from_files_to_report(biorrn: Biorrn, folder: Path, root: Path) -> None:
    data = root / "data" / "simulated_reads"
    with open(data / "truth.tsv") as stream:
        rows = [line.rstrip("\n").split("\t") for line in list(stream)[9:17]]  # the reads in POD5
    sam = ["@HD\tVN:1.6"]
    for read_id, *_, bases, starts, end in rows:
        begin, *_ = places = [int(start) for start in starts.split(",")]
        moves = np.zeros(int(end) - begin, int)
        moves[np.array(places) - begin] = 1
        tags = f"ts:i:{begin}\tmv:B:c,1,{','.join(map(str, moves))}"
        sam.append(f"{read_id}\t4\t*\t0\t0\t*\t*\t0\t0\t{bases}\t{'5' * len(bases)}\t{tags}")
    (folder / "calls.sam").write_text("\n".join(sam) + "\n")
    words = ("--figures", "figures", "--signal", data / "simulated.pod5", "-o", "eval.json")
    assert biorrn("evaluate", "basecalls", "calls.sam", data / "reference.fasta", *words) == 0
    content = json.loads((folder / "eval.json").read_text())
    drawn = [Path(entry["path"]).stem for entry in content["figures"]]
    assert {"homopolymers", "homopolymer_lengths", "contexts", "substitutions", "squiggle"} <= set(drawn)
    assert all((folder / entry["path"]).stat().st_size < 200_000 for entry in content["figures"])
    assert [entry["placed_by"] for entry in content["squiggle"]] == ["move table"] * 3
    assert sum(row["bases"] for row in content["contexts"]["kmers"]) == content["counts"]["scored_columns"] - 2 * 8
    assert all(row["right"] == 1.0 for row in content["homopolymers"]["all"])
    assert biorrn("report", "eval.json", "-o", "report.html") == 0


def test_reads_that_all_map_nowhere_are_a_result(biorrn: Biorrn, folder: Path) -> None:
    (folder / "calls.fastq").write_text("@r\nACGT\n+\n!!!!\n")
    assert biorrn("evaluate", "basecalls", "calls.fastq", "reference.fa", "--figures", "f", "-o", "eval.json") == 0
    assert json.loads((folder / "eval.json").read_text())["metrics"]["identity"]["value"] is None
    assert biorrn("report", "eval.json", "-o", "report.html") == 0


def test_gzip_fastq_is_the_same(biorrn: Biorrn, folder: Path) -> None:
    (folder / "calls.fastq.gz").write_bytes(gzip.compress((folder / "calls.fastq").read_bytes()))
    for name in ("calls.fastq", "calls.fastq.gz"):
        assert biorrn("evaluate", "basecalls", name, "reference.fa", "-o", f"{name}.json") == 0
    plain, packed = (json.loads((folder / f"{name}.json").read_text()) for name in ("calls.fastq", "calls.fastq.gz"))
    assert plain["metrics"] == packed["metrics"]


# command, what is done to the folder first, part of the message
REGRESSION = ("evaluate", "regression", "predictions.tsv", "set.h5", "-o", "eval.json")
BASECALLS = ("evaluate", "basecalls", "calls.fastq", "reference.fa", "-o", "eval.json")


def test_bad_reads_are_left_out_and_stand_in_the_table(
    biorrn: Biorrn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = folder / "calls.fastq"
    assert biorrn(*BASECALLS) == 0
    good = json.loads((folder / "eval.json").read_text())
    calls.write_text("@odd\nACXT\n+\n5555\n" + calls.read_text() + "@short\nACGT\n+\n55\n")
    capsys.readouterr()
    assert biorrn(*BASECALLS, "--table", "reads.tsv") == 0
    printed = capsys.readouterr()
    assert "calls.fastq: record 'odd': base 'X' at position 3 is not one of ACGTUN" in printed.err
    assert "2 reads cannot be used; no figure counts them." in printed.out
    content = json.loads((folder / "eval.json").read_text())
    assert content["metrics"] == good["metrics"]
    assert content["counts"] == good["counts"] | {"left_out": 2}
    rows = [line.split("\t") for line in (folder / "reads.tsv").read_text().splitlines()]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row[0] for row in rows[-2:]] == ["odd", "short"]
    assert rows[-2][2] == "left out: base 'X' at position 3 is not one of ACGTUN"


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def leave(folder: Path) -> None:
    """Change nothing."""


BAD = {
    "missing id": (
        REGRESSION,
        edit("predictions.tsv", lambda text: text.replace("p7\t", "q7\t")),
        "record 'p7': no prediction for 1 of 20",
    ),
    "a run in place of predictions": (
        ("evaluate", "regression", "run", "set.h5", "-o", "eval.json"),
        lambda folder: (folder / "run").mkdir(),
        "run: is a folder; expected a table, that of biorrn predict",
    ),
    "missing column": (REGRESSION, edit("predictions.tsv", lambda text: text.replace("tm", "temp")), "'tm' is missing"),
    "no predictions file": (REGRESSION, lambda folder: (folder / "predictions.tsv").unlink(), "cannot be read"),
    "prepared is text": (REGRESSION, lambda folder: (folder / "set.h5").write_text("x"), "set.h5: not HDF5 or damaged"),
    "unknown split": ((*REGRESSION, "--split", "held_out"), leave, "allowed is one of train, valid, test, all"),
    "unknown baseline": (
        (*REGRESSION, "--baselines", "cnn,rigde"),
        leave,
        "baseline 'rigde' is unknown; did you mean 'ridge'?",
    ),
    "empty split": ((*REGRESSION, "--split", "test"), leave, "has no rows in split 'test'"),
    "empty FASTQ": (BASECALLS, edit("calls.fastq", lambda _: ""), "calls.fastq: holds no reads"),
    "no read of bases": (BASECALLS, edit("calls.fastq", lambda _: "@r\nACXT\n+\n5555\n"), "; no read can be used"),
    "FASTQ cut off in a record": (
        BASECALLS,
        edit("calls.fastq", lambda text: text[:3000]),
        "record 'back': has 1000 bases and",
    ),
    "FASTQ cut off after a line": (
        BASECALLS,
        edit("calls.fastq", lambda text: "".join(text.splitlines(keepends=True)[:6])),
        "record 'back': is cut off after line 6",
    ),
    "reference is a table": (BASECALLS, edit("reference.fa", lambda _: "id\tlength\n"), "a FASTA file starts with '>'"),
    "reference is protein": (BASECALLS, edit("reference.fa", lambda _: ">p\nMKLVE\n"), "is not a base"),
    "no reference": (BASECALLS, lambda folder: (folder / "reference.fa").unlink(), "reference.fa: cannot be read"),
    "unknown region": ((*BASECALLS, "--region", "genom:0-100"), leave, "no sequence 'genom'; did you mean 'genome'?"),
    "region out of range": ((*BASECALLS, "--region", "genome:0-9000"), leave, "allowed is a span inside 0-5000"),
    "region too short": ((*BASECALLS, "--region", "genome:0-50"), leave, "--min-bases: found 100; allowed is 1 to 50"),
    "signal without figures": (
        (*BASECALLS, "--signal", "calls.fastq"),
        leave,
        "--signal: needs --figures, the folder for the drawings",
    ),
    "signal is missing": (
        (*BASECALLS, "--figures", "f", "--signal", "away.pod5"),
        leave,
        "away.pod5: ",
    ),
    "signal is no signal": (
        (*BASECALLS, "--figures", "f", "--signal", "reference.fa"),
        leave,
        "reference.fa: found the suffix '.fa'; allowed are .fast5",
    ),
    "reads of standard input and signal": (
        ("evaluate", "basecalls", "-", "reference.fa", "--figures", "f", "--signal", "signal", "-o", "eval.json"),
        leave,
        "--signal: READS is read twice, so it must be a file; found standard input",
    ),
    "BAM of no reads": (
        ("evaluate", "basecalls", "calls.bam", "reference.fa", "-o", "eval.json"),
        lambda folder: (folder / "calls.bam").write_bytes(b"BAM\1"),
        "calls.bam: ",
    ),
    "figures folder is a file": ((*BASECALLS, "--figures", "calls.fastq"), leave, "is the input calls.fastq"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_2(
    biorrn: Biorrn, folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    command, change, message = BAD[case]
    change(folder)
    assert biorrn(*command) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("biorrn: error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (folder / "eval.json").exists()

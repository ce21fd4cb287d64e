"""Invalid input, one entry each: exit code 2 and one line with the problem, no traceback.

In a command `{d}` is a folder with the files that `make_files` wrote, and `{data}` the example data of the project.
"""

import gzip
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from biorrn.cli.main import main

ROOT = Path(__file__).resolve().parents[2]

TRUTH = "--truth {data}/simulated_reads/truth.tsv"


def protein(table: str, options: str = "--split column:set", target: str = "stability") -> str:
    return f"prepare protein {{d}}/{table} --target {target} {options} -o {{d}}/out.h5"


def signal(options: str, truth: str = TRUTH) -> str:
    return f"prepare signal {{data}}/simulated_reads --labels truth {truth} {options} -o {{d}}/out.h5"


def train(recipe: str, prepared: str = "protein.h5", options: str = "") -> str:
    return f"train {recipe} {{d}}/{prepared} {options} -o {{d}}/run"


# name: (command, part of the message)
BAD = {
    # export
    "an export of a model of proteins": ("models export stability --to dorado -o {d}/out", "is a model for regression"),
    "an export to an unknown format": ("models export dna_r9.4.1_fast --to guppy -o {d}/out", "dorado, bonito"),
    "an export into a folder with files": ("models export dna_r9.4.1_fast --to dorado -o {d}", "holds files"),
    # signal files
    "a signal file that is not there": ("reads {d}/missing.pod5", "missing.pod5"),
    "a folder without signal": ("reads {d}/empty", "the folder holds no file with a suffix of .fast5"),
    "a signal file of another kind": ("reads {d}/notes.txt", "found the suffix '.txt'"),
    "text named FAST5": ("reads {d}/text.fast5", "text.fast5"),
    "HDF5 without reads named FAST5": ("reads {d}/protein_as.fast5", "protein_as.fast5"),
    "a POD5 that was cut off": ("reads {d}/cut.pod5", "cut.pod5"),
    "a BLOW5 that was cut off": ("reads {d}/cut.blow5", "cut.blow5"),
    "a FAST5 that was cut off": ("reads {d}/cut.fast5", "cut.fast5"),
    # tables and sequences
    "a table that is not there": (protein("no.csv"), "no.csv: cannot be read"),
    "a column with a typing error": (
        protein("good.csv", target="stabilty"),
        "column 'stabilty' is missing; did you mean 'stability'?",
    ),
    "a cell that is no number": (protein("words.csv"), "row 2: column 'stability': found 'high'"),
    "a row with a cell too few": (protein("ragged.csv"), "row 2 has 3 cells"),
    "a residue that is none": (protein("digit.csv"), "record 'p2': residue '7' at position 3"),
    "DNA for proteins": (protein("dna.csv"), "looks like DNA"),
    "a split with a typing error": (protein("trian.csv"), "found 'trian'; allowed is train"),
    "a weight below zero": (protein("negative.csv", "--split column:set --weight weight"), "allowed is"),
    "an empty table": (protein("empty.csv"), "empty.csv: the table is empty"),
    "a table that is not text": (protein("binary.csv"), "not text: byte"),
    "a gzip file that was cut off": (protein("cut.csv.gz"), "damaged gzip"),
    "FASTA without values": (protein("good.fasta", "--split random:0.8,0.1,0.1"), "--targets"),
    "FASTA and table without a common id": (
        "prepare protein {d}/good.fasta --targets {d}/good.csv --target stability --split cluster:0.5 -o {d}/out.h5",
        "no id of the FASTA",
    ),
    "a kind of split with a typing error": (protein("good.csv", "--split colum:set"), "did you mean 'column'?"),
    "parts that do not sum to one": (protein("good.csv", "--split random:0.8,0.3,0.1"), "three parts that sum to 1"),
    "an identity out of range": (protein("good.csv", "--split cluster:7"), "allowed is 0.3 to 1"),
    "an export without a path": (
        protein("good.csv", "--split column:set --export-fasta valid"),
        "allowed is SPLIT=PATH",
    ),
    "an output below a file": (
        "prepare protein {d}/good.csv --target stability --split column:set -o {d}/notes.txt/o.h5",
        "cannot be written",
    ),
    # labelled reads
    "labels without their table": (signal("--split random:0.8,0.1,0.1", ""), "name it with --truth"),
    "labels of an unknown kind": (signal("--labels moves --split random:0.8,0.1,0.1"), "moves"),
    "a region that no read covers": (signal("--split reference:chr1:0-100=valid"), "no base lies in chr1:0-100"),
    "a region that ends before it starts": (signal("--split reference:x:9-3=valid"), "must be before its end"),
    "an unknown normaliser": (signal("--split random:0.8,0.1,0.1 --normaliser medmd"), "did you mean 'medmad'?"),
    "a table of labels without a column": (
        signal("--split random:0.8,0.1,0.1", "--truth {d}/good.csv"),
        "column 'read_id' is missing",
    ),
    # recipes and training
    "a recipe with a typing error": (train("demo_stabilty"), "did you mean 'demo_stability'?"),
    "a key of a recipe with a typing error": (
        train("{d}/typo.yaml"),
        "key 'model.core.hiden' is unknown; did you mean 'hidden'?",
    ),
    "a recipe that is not YAML": (train("{d}/broken.yaml"), "broken.yaml: not YAML at line"),
    "a value out of range": (train("demo_stability", options="--set training.epochs=-1"), "key 'training.epochs'"),
    "a setting without a value": (train("demo_stability", options="--set training.epochs"), "KEY=VALUE"),
    "data of another task": (train("demo_basecall"), "holds protein data"),
    "data that was not prepared": (train("demo_stability", "good.csv"), "good.csv"),
    "a seed below zero": (train("demo_stability", options="--seed -1"), "-1"),
    "a device that is none": (train("demo_stability", options="--device tpu"), "allowed is one of auto, cpu"),
    "no threads": (train("demo_stability", options="--threads 0"), "--threads: found 0"),
    "no processes": (train("demo_stability", options="--processes 0"), "--processes: found 0; allowed is 1 or more"),
    "processes for a table": (
        "train protein {d}/good.csv --target stability --processes 2 -o {d}/run",
        "--processes: belongs to 'biorrn train', not to 'biorrn train-table'",
    ),
    "a folder that is no run": ("rerun {d}/empty", "is no finished run: provenance.json is missing"),
    "a run into itself": ("rerun {d}/empty -o {d}/empty", "is the run itself; give another folder"),
    "a cell that is none": ("cells --cells grru -o {d}/cells", "did you mean 'gru'?"),
    # models
    "a model that is not there": ("predict {d}/no_model {d}/good.fasta", "is not a folder nor a shipped model"),
    "a folder without a model": ("predict {d}/empty {d}/good.fasta", "is not a model folder"),
    "weights that are damaged": ("predict {d}/damaged {d}/good.fasta", "is not a readable safetensors file"),
    "a basecaller for proteins": ("predict {d}/caller {d}/good.fasta", "caller"),
    "a model of proteins for reads": ("basecall {data}/simulated_reads --model {d}/model", "basecall"),
    "an import of a folder that is no model": (
        "models import {d}/empty -o {d}/imported",
        "is not a model folder of Dorado or Bonito: config.toml is missing",
    ),
    "letters of RNA for a model of DNA": (
        "basecall {data}/simulated_reads --model dna_r9.4.1_fast --uracil",
        "dna_r9.4.1_fast is a model of DNA; allowed is one of RNA",
    ),
    "a folder of models that is not there": ("models --models-dir {d}/no", "--models-dir: '"),
    "a folder of models that is a file": ("basecall {data}/simulated_reads --models-dir {d}/notes.txt", "not a folder"),
    "a model of the folder that is misspelt": (
        "basecall {data}/simulated_reads --models-dir {d} --model callr",
        "did you mean 'caller'?",
    ),
    "a chemistry that is none": (
        "basecall {data}/simulated_reads --chemistry rna04_130bps",
        "--chemistry 'rna04_130bps' is unknown; did you mean 'rna004_130bps'?",
    ),
    "a chemistry that the reads are not of": (
        "basecall {data}/simulated_reads --chemistry rna004_130bps",
        "--chemistry rna004_130bps: no read is of it; the files are of dna_r9.4.1_e8 3",
    ),
    "an unknown decoder": ("basecall {data}/simulated_reads --model {d}/caller --decoder bean", "did you mean 'beam'?"),
    "a batch of none": ("predict {d}/model {d}/good.fasta --batch-size 0", "found 0"),
    "sequences that are not there": ("predict {d}/model {d}/no.fasta", "no.fasta: cannot be read"),
    "FASTQ for FASTA": ("predict {d}/model {d}/good.fastq", "looks like FASTQ, which is not read"),
    "an empty FASTA": ("predict {d}/model {d}/empty.fasta", "the file is empty"),
    "an id given twice": (
        "scan {d}/model {d}/twice.fasta --strict",
        "record 'q1': the id is given twice, on lines 1 and 3",
    ),
    # mutants
    "a mutation of another residue": (
        "scan {d}/model {d}/good.fasta --mutations A3G -o {d}/s.tsv",
        "record 'q1': --mutations: mutation 'A3G': found 'T' at position 3 of the wild type, expected 'A'",
    ),
    "a mutation that is none": (
        "scan {d}/model {d}/good.fasta --mutations A+G",
        "mutation 'A' of 'A+G' is not understood",
    ),
    "a basecaller to explain": ("explain {d}/caller {d}/good.fasta", "is a model for basecalling"),
    "an unknown way to explain": ("explain {d}/model {d}/good.fasta --method shap", "--method 'shap' is unknown"),
    # language models and what is inside of models
    "a model of a property to generate with": ("generate {d}/model", "is a model for regression; expected one for"),
    "a property of residues with a typing error": (
        "activations {d}/model {d}/good.fasta --properties hydropaty",
        "--properties: property 'hydropaty' is unknown; did you mean 'hydropathy'?",
    ),
    "states as text": ("embed states {d}/model {d}/good.fasta -o {d}/s.tsv", "allowed is a name that ends in .npz"),
    # gradient flow
    "a cell with a typing error": ("gradient-flow -o {d}/flow --cells lsmt", "--cells 'lsmt' is unknown; did you mean"),
    "an unknown first matrix": ("gradient-flow -o {d}/flow --init identiy", "did you mean 'identity'?"),
    "one step of a gradient": ("gradient-flow -o {d}/flow --length 1", "--length: found 1; allowed is 2 or more"),
    "a clip of none": ("gradient-flow -o {d}/flow --clip 0", "--clip: found 0; allowed is a number above 0"),
    "a gradient without data": ("gradient-flow {d}/model -o {d}/flow", "give both MODEL and PREPARED"),
    "cells beside a model": (
        "gradient-flow {d}/model {d}/protein.h5 --cells rnn -o {d}/flow",
        "cannot be combined with MODEL",
    ),
    "a model that is not recurrent": (
        "gradient-flow solubility {d}/protein.h5 -o {d}/flow",
        "without a recurrent layer",
    ),
    "an input that was not prepared": ("gradient-flow --input {d}/good.csv -o {d}/flow", "good.csv"),
    # called reads
    "parts of two formats": ("merge {d}/good.fastq {d}/good.csv -o {d}/m.fastq", "found the suffix '.csv'"),
    "a part named twice": ("merge {d}/good.fastq {d}/good.fastq -o {d}/m.fastq", "is given twice"),
    "a table that is no summary": ("qc {d}/good.csv -o {d}/qc.json", "column 'sequence_length_template' is missing"),
    "a reference that is none": ("map {d}/good.fastq {d}/good.csv -o {d}/m.bam", "a FASTA file starts with '>'"),
    "reads that are not there to assemble": ("assemble {d}/no.fastq -o {d}/assembly", "no.fastq: cannot be read"),
    # evaluation and report
    "a split that is none": (
        "evaluate regression {d}/predictions.tsv {d}/protein.h5 --split vaild -o {d}/e.json",
        "found 'vaild'; allowed is one of train",
    ),
    "a language model that is none": (
        "evaluate language solubility {d}/protein.h5 -o {d}/e.json",
        "is a model for regression",
    ),
    "a split of a language model that is none": (
        "evaluate language solubility {d}/protein.h5 --split tset -o {d}/e.json",
        "--split: found 'tset'; allowed is train, valid, test or all",
    ),
    "values of bases": (
        "prepare protein {d}/good.fasta --alphabet dna --target x --split random -o {d}/out.h5",
        "--alphabet dna: is for sequences alone",
    ),
    "clusters of bases": (
        "prepare protein {d}/good.fasta --no-target --alphabet dna --split cluster:0.5 -o {d}/out.h5",
        "--alphabet dna: allowed is --split random",
    ),
    "residues as bases": (
        "prepare protein {d}/good.fasta --no-target --alphabet dna --split random -o {d}/out.h5",
        "base 'M' at position 1 is not one of ACGTUN",
    ),
    "an alphabet that is none": (
        "prepare protein {d}/good.fasta --no-target --alphabet rna --split random -o {d}/out.h5",
        "--alphabet 'rna' is unknown",
    ),
    "k-mers that are too many": (
        train("residue_lm", options="--set model.frontend.tokens.name=kmer --set model.frontend.tokens.k=5"),
        "tokens.k: found 5; allowed is 2 to 3",
    ),
    "bases of residues": (train("base_lm"), "the prepared file holds letters ACDEFGHIKLMNPQRSTVWYX; expected ACGTN"),
    "predictions of other proteins": (
        "evaluate regression {d}/predictions.tsv {d}/protein.h5 -o {d}/e.json",
        "no prediction for",
    ),
    "FASTA for called reads": (
        "evaluate basecalls {d}/good.fasta {data}/simulated_reads/reference.fasta -o {d}/e.json",
        "that is FASTA",
    ),
    "a region of no sequence": (
        "evaluate basecalls {d}/good.fastq {data}/simulated_reads/reference.fasta --region chr1:0-9 -o {d}/e.json",
        "the reference has no sequence 'chr1'",
    ),
    "an evaluation that is not JSON": ("report {d}/good.csv -o {d}/r.html", "good.csv: not JSON at line 1"),
    "JSON that is no evaluation": ("report {d}/other.json -o {d}/r.html", "key 'kind'"),
    "predictions without a model": ("report --predictions x.tsv -o {d}/r.html", "allowed is MODEL=TSV"),
    "a run that is no folder": ("report {d}/result.json --run {d}/good.csv -o {d}/r.html", "not a folder"),
    # the command line itself
    "an unknown command": ("basecal {d}/good.fasta", "No such command 'basecal'"),
    "an unknown option": ("predict {d}/model {d}/good.fasta --ouput x", "No such option: --ouput"),
    "a missing argument": ("predict {d}/model", "Missing argument"),
    "an option of the wrong kind": ("predict {d}/model {d}/good.fasta --batch-size many", "--batch-size"),
}
AS_PROCESS = ("a signal file that is not there", "an unknown option", "a recipe with a typing error")


def make_files(folder: Path) -> None:
    """Write every file that the commands name."""
    data = ROOT / "data"
    sequence = "MKTAYIAKQRQISFVKSHFSRQ"
    header = "id,sequence,stability,set,weight\n"
    good = [f"p{i},{sequence}{'AG'[i % 2] * i},{i / 2},{('train', 'valid')[i % 3 == 2]},1\n" for i in range(1, 9)]
    tables = {
        "good": "".join(good),
        "words": good[0] + f"p2,{sequence},high,train,1\n",
        "ragged": good[0] + f"p2,{sequence},1\n",
        "digit": good[0] + "p2,MK7V,1,train,1\n",
        "dna": f"p1,{'ACGT' * 10},1,train,1\n",
        "trian": good[0] + f"p2,{sequence},1,trian,1\n",
        "negative": good[0] + f"p2,{sequence},1,train,-1\n",
    }
    for name, rows in tables.items():
        (folder / f"{name}.csv").write_text(header + rows)
    (folder / "empty.csv").write_text("")
    (folder / "empty.fasta").write_text("")
    (folder / "binary.csv").write_bytes((header + "a,MKV,1,train,1\n").encode() + b"\x89\x00\xff\n")
    (folder / "cut.csv.gz").write_bytes(gzip.compress((header + "".join(good) * 50).encode())[:-40])
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("not signal\n")
    (folder / "text.fast5").write_text("not HDF5\n")
    for suffix in ("pod5", "blow5", "fast5"):
        whole = (data / f"simulated_reads/simulated.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(whole[:5000])  # the first read is not whole
    (folder / "good.fasta").write_text(f">q1 a protein\n{sequence}\n>q2\n{sequence}AG\n")
    (folder / "twice.fasta").write_text(f">q1\n{sequence}\n>q1\n{sequence}AG\n")
    (folder / "good.fastq").write_text("@r1\nACGT\n+\nIIII\n")
    (folder / "predictions.tsv").write_text("id\tlength\tstability\tflags\nother\t22\t0.5\t\n")
    (folder / "typo.yaml").write_text(
        "name: typo\ntask: regression\nmodel: {frontend: {name: onehot}, core: {hiden: 8}, pool: [mean]}\n"
    )
    (folder / "broken.yaml").write_text("name: broken\n  task: [regression\n")
    (folder / "other.json").write_text('{"a": 1}\n')
    keys = {"metrics": {}, "baselines": {}, "figures": [], "inputs": {}, "note": "", "cautions": [], "region": None}
    (folder / "result.json").write_text(json.dumps({"kind": "basecalls", "name": "x", "split": "all reads", **keys}))
    make_models(folder)


def make_models(folder: Path) -> None:
    """Write a prepared file and untrained models of both tasks."""
    import h5py

    from biorrn.config.recipe import load_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import save_model

    run(protein("good.csv").replace("out.h5", "protein.h5"), folder)
    with h5py.File(folder / "protein_as.fast5", "w") as file:
        file["residues"] = [1, 2, 3]
    proteins, caller = load_recipe("demo_stability"), load_recipe("demo_basecall")
    facts = {"targets": [{"name": "stability", "unit": ""}], "min_length": 20, "max_length": 40, "outputs": 1}
    save_model(folder / "model", build_model(proteins.model, 1), proteins, {"task": "regression", **facts})
    signal = {"normaliser": "medmad", "sample_rate": 4000.0, "stride": 5, "outputs": 5}
    save_model(folder / "caller", build_model(caller.model, 5), caller, {"task": "basecalling", **signal})
    save_model(folder / "damaged", build_model(proteins.model, 1), proteins, {"task": "regression", **facts})
    weights = folder / "damaged" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])


def words_of(command: str, folder: Path) -> list[str]:
    return shlex.split(command.replace("{d}", str(folder)).replace("{data}", str(ROOT / "data")))


def run(command: str, folder: Path) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["biorrn", *words_of(command, folder)])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def check(err: str, fragment: str) -> None:
    assert err.startswith("biorrn: error: "), err
    assert err.count("\n") == 1, err
    assert fragment in err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bad")
    make_files(made)
    return made


@pytest.mark.parametrize("name", BAD)
def test_one_line_and_exit_2(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command, fragment = BAD[name]
    assert run(command, folder) == 2
    check(capfd.readouterr().err, fragment)


@pytest.mark.parametrize("name", AS_PROCESS)
def test_the_same_as_a_process(name: str, folder: Path) -> None:
    command, fragment = BAD[name]
    words = [sys.executable, "-m", "biorrn", *words_of(command, folder)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, check=False)
    assert done.returncode == 2
    assert not done.stdout
    check(done.stderr, fragment)


def test_a_fault_leaves_no_output(folder: Path) -> None:
    """Half a file would be taken for a whole one by whatever comes next."""
    assert run(protein("digit.csv").replace("out.h5", "half.h5"), folder) == 2
    assert not list(folder.glob("*half*"))


def test_there_are_thirty() -> None:
    assert len(BAD) >= 30

"""The Python API: same results as the command line, from files and from plain objects, without output."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import biorrn as api

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]
FASTA = ROOT / "data/proteins.fasta"
POD5 = ROOT / "data/simulated_reads/simulated.pod5"
TABLE = ROOT / "data/synthetic_stability.csv"


@pytest.fixture(scope="module")
def stability() -> "api.Model":
    return api.load_model("stability")


def same(frame: pd.DataFrame, path: Path) -> None:
    """Check that a frame is the parquet file that the command line wrote, whose numbers are float32."""
    other = pd.read_parquet(path)
    assert list(frame) == list(other)
    for name in frame.select_dtypes("float"):
        frame = frame.astype({name: "float32"})
    pd.testing.assert_frame_equal(frame, other, check_dtype=False)


def test_predict_is_that_of_the_command_line(biorrn: Run, tmp_path: Path, stability: "api.Model") -> None:
    assert biorrn("predict", "stability", FASTA, "-o", tmp_path / "p.parquet")[0] == 0
    from_file = api.predict("stability", FASTA)
    same(from_file, tmp_path / "p.parquet")
    proteins = api.read_proteins(FASTA)
    named = dict(zip(proteins["id"], proteins["sequence"], strict=True))
    pd.testing.assert_frame_equal(api.predict(stability, named), from_file)
    listed = api.predict(stability, list(named.values()))
    pd.testing.assert_frame_equal(listed.drop(columns="id"), from_file.drop(columns="id"))
    carried = api.predict(stability, proteins, batch_size=3, threads=1)
    pd.testing.assert_frame_equal(carried.drop(columns="description"), from_file)


def test_predict_of_a_table_carries_its_columns(biorrn: Run, tmp_path: Path, stability: "api.Model") -> None:
    assert biorrn("predict", "stability", TABLE, "-o", tmp_path / "p.parquet", "--level", 0.8)[0] == 0
    given = pd.read_csv(TABLE)
    frame = api.predict(stability, given, level=0.8)
    assert list(frame)[-2:] == ["input_stability", "set"]
    assert frame["input_stability"].tolist() == given["stability"].tolist()
    same(api.predict(stability, TABLE, level=0.8), tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(frame.iloc[:, :-2], api.predict(stability, TABLE, level=0.8).iloc[:, :-2])


def test_predict_flags_what_is_left_out(stability: "api.Model") -> None:
    table = api.predict(stability, {"good": "MKVLAYGGSSQETIEVEDEE", "bad": "MKV7", "empty": ""})
    assert table["flags"].str.split(",").str[0].tolist()[1:] == ["left_out", "left_out"]
    assert np.isfinite(table["stability"]).tolist() == [True, False, False]
    assert table["length"].tolist() == [20, pd.NA, pd.NA]
    with pytest.raises(api.BiorrnError, match=r"record 'bad': .* '7'"):
        api.predict(stability, {"good": "MKVLAYGGSSQETIEVEDEE", "bad": "MKV7"}, strict=True)
    with pytest.raises(api.BiorrnError, match=r"^list: holds no sequence that can be predicted; skipped 1"):
        api.predict(stability, ["MKV7"])


def test_predict_tags_is_that_of_the_command_line(biorrn: Run, tmp_path: Path) -> None:
    assert biorrn("predict", "secondary_structure", FASTA, "-o", tmp_path / "t.parquet")[0] == 0
    same(api.predict("secondary_structure", FASTA), tmp_path / "t.parquet")


def test_predict_of_mutations(biorrn: Run, tmp_path: Path, stability: "api.Model") -> None:
    wild = "GSSQETIEVEDEEEARRVAKELRKKGYEVEVRVRGNKVEVRVRR"
    frame = pd.DataFrame({"mutant": ["E5A", "WT", "R17G:V18A"], "batch": ["x", "y", "z"]})
    frame.to_csv(tmp_path / "m.csv", index=False)
    assert biorrn("predict", "stability", tmp_path / "m.csv", "--wild-type", wild, "-o", tmp_path / "p.parquet")[0] == 0
    found = api.predict(stability, frame, wild_type=wild)
    same(found, tmp_path / "p.parquet")
    assert found["id"].tolist() == ["E5A", "WT", "R17G:V18A"]


def test_a_data_frame_keeps_its_index_and_columns(stability: "api.Model") -> None:
    """An empty row is a row, also where there is no other column, and no column changes its type."""
    wild = "GSSQETIEVEDEEEARRVAKELRKKGYEVEVRVRGNKVEVRVRR"
    one = pd.DataFrame({"sequence": [wild, "", None, wild[:-1]]}, index=list("abcd"))
    found = api.predict(stability, one)
    assert found.index.tolist() == list("abcd")
    assert found["length"].tolist()[::3] == [44, 43]
    assert found["flags"].str.startswith("left_out").tolist() == [False, True, True, False]
    more = {"n": [3, 1, 2, 0], "ok": [True, False, True, True], "day": pd.to_datetime(["2020-01-01"] * 4), "flags": 1.5}
    frame = one.assign(**more).set_index(pd.Index([7, 5, 5, 1], name="clone"))
    found = api.predict(stability, frame)
    pd.testing.assert_index_equal(found.index, frame.index)
    pd.testing.assert_frame_equal(found[["n", "ok", "day"]], frame[["n", "ok", "day"]])
    assert found["input_flags"].tolist() == [1.5] * 4
    assert "clone" not in found
    named = api.predict(stability, frame.set_index(pd.Index(list("wxyz"), name="id")))
    assert named["id"].tolist() == named.index.tolist() == list("wxyz")
    assert named.merge(frame.assign(id=list("wxyz")), on="id")["n_x"].tolist() == [3, 1, 2, 0]


def test_scan_is_that_of_the_command_line(biorrn: Run, tmp_path: Path, stability: "api.Model") -> None:
    words = ("--positions", "3-5", "--deletions", "-o", tmp_path / "s.parquet")
    assert biorrn("scan", "stability", FASTA, *words)[0] == 0
    same(api.scan(stability, FASTA, positions="3-5", deletions=True), tmp_path / "s.parquet")
    proteins = api.read_proteins(FASTA)
    same(api.scan("stability", proteins, positions=[3, 4, 5], deletions=True), tmp_path / "s.parquet")
    one = proteins.head(1)
    (tmp_path / "one.fa").write_text(f">{one['id'][0]}\n{one['sequence'][0]}\n")
    words = ("--mutations", "M1A,Q2E:I3V", "-o", tmp_path / "m.parquet")
    assert biorrn("scan", "stability", tmp_path / "one.fa", *words)[0] == 0
    same(api.scan(stability, one, mutations=["M1A", "Q2E:I3V"]), tmp_path / "m.parquet")


def test_basecall_is_that_of_the_command_line(biorrn: Run, tmp_path: Path, model: Path) -> None:
    assert biorrn("basecall", POD5, "--model", model, "-o", tmp_path / "c.fastq", "--force")[0] == 0
    lines = (tmp_path / "c.fastq").read_text().splitlines()
    loaded = api.load_model(model)
    calls = list(api.basecall(POD5, loaded, force=True))
    assert [call.read_id for call in calls] == [line[1:].split("\t")[0] for line in lines[::4]]
    assert [call.bases for call in calls] == lines[1::4]
    assert ["".join(chr(33 + q) for q in call.quals) for call in calls] == lines[3::4]
    reads = list(api.read_signal(POD5))
    by_record = api.basecall(reads, loaded, force=True, batch_size=7, threads=1)
    assert [call.bases for call in by_record] == lines[1::4]
    arrays = {read.read_id: read.picoamperes() for read in reads}
    by_array = list(api.basecall(arrays, loaded, sample_rate=4000, force=True))
    assert [(call.read_id, call.bases) for call in by_array] == [(call.read_id, call.bases) for call in calls]
    assert [call.bases for call in api.basecall(next(iter(arrays.values())), loaded, sample_rate=4000)] == lines[1:2]


def test_pooled_chimeric_reads_are_those_of_the_command_line(biorrn: Run, tmp_path: Path) -> None:
    kit, signal = "EXP-NBD104", tmp_path / "pool.pod5"
    made = ("simulate", "--random-genome", 20000, "--reads", 6, "--length-mean", 600, "--length-shape", 20)
    assert biorrn(*made, "--kit", kit, "--chimeras", 0.5, "--poly-a", "60-90", "-o", signal)[0] == 0
    words = ("--kit", kit, "--split-reads", "--estimate-poly-a", "--threads", 1)
    assert biorrn("basecall", signal, "--model", "fast", "-o", tmp_path / "c.fastq", *words)[0] == 0
    calls = list(api.basecall(signal, "fast", kit=kit, split_reads=True, estimate_poly_a=True, threads=1))
    lines = [line[1:].split("\t") for line in (tmp_path / "c.fastq").read_text().splitlines()[::4]]
    assert [call.read_id for call in calls] == [name for name, *_ in lines]
    assert len({call.record.parent for call in calls}) > 1
    assert sum(call.tail is not None for call in calls) > 2
    for call, (_, *tags) in zip(calls, lines, strict=True):
        told = {tag[:2]: tag[5:] for tag in tags}
        assert (call.barcode, call.record.parent) == (told.get("BC", ""), told.get("pi", ""))
        assert str(call.tail.length if call.tail else None) == told.get("pt", "None")
        assert f"I,{call.cut[0]},{call.cut[1]}" == told.get("xt", "I,0,0")
    whole = api.basecall(signal, "fast", kit=kit, trim="none", threads=1, max_reads=2)
    assert {call.cut for call in whole} == {(0, 0)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trim": "ends"}, "^trim: found 'ends'; allowed is"),
        ({"kit": "EXP-NBD14"}, "^kit: 'EXP-NBD14' is unknown"),
        ({"kit": "SQK-RNA004", "trim": "primers"}, "^trim primers: the kit has no primers"),
        ({"batch_size": 0}, "^batch_size: found 0"),
    ],
)
def test_errors_of_basecall_name_its_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(api.BiorrnError, match=message):
        api.basecall(POD5, "fast", **options)


def test_reads_that_are_left_out_are_one_warning(model: Path) -> None:
    current = next(api.read_signal(POD5)).picoamperes()
    with pytest.warns(UserWarning, match="skipped 1 .no samples: 1"):
        (call,) = api.basecall([current[:0], current], model, sample_rate=4000)
    assert call.read_id == "read2"
    with pytest.warns(UserWarning, match="shorter than 100000 bases: 1"):  # as the summary of the command says it
        assert not list(api.basecall([current], model, sample_rate=4000, min_length=100_000))
    with pytest.raises(api.BiorrnError, match="read 'read1': no samples"):
        list(api.basecall([current[:0], current], model, sample_rate=4000, strict=True))
    with pytest.raises(api.BiorrnError, match="no read could be called; skipped 1 "):
        list(api.basecall([current], model, sample_rate=5000))
    with pytest.raises(api.BiorrnError, match="sample_rate: found None"):
        list(api.basecall([current], model))
    with pytest.raises(api.BiorrnError, match="read 'read1': the signal must be an array"):
        list(api.basecall([current * np.nan], model, sample_rate=4000))


def test_evaluate_is_that_of_the_command_line(biorrn: Run, tmp_path: Path, stability: "api.Model") -> None:
    assert biorrn("predict", "stability", TABLE, "-o", tmp_path / "p.parquet")[0] == 0
    words = ("-o", tmp_path / "e.json", "--baselines", "mean,length", "--split", "test")
    code, out, _ = biorrn("evaluate", "regression", tmp_path / "p.parquet", TABLE, *words)
    assert code == 0
    content = json.loads((tmp_path / "e.json").read_text())
    frame, measured = pd.read_parquet(tmp_path / "p.parquet"), pd.read_csv(TABLE)
    found = api.evaluate(frame, measured, baselines="mean,length", split="test")
    for _, row in found.metrics.iterrows():
        told = content["metrics"][row["target"]][row["metric"]]
        assert [row[key] for key in ("n", "value", "low", "high")] == [told[key] for key in told]
    assert found.baselines["baseline"].unique().tolist() == list(content["baselines"]["stability"])
    assert f"{found}\n" == out
    by_model = api.evaluate(stability, measured.drop(columns="set"), baselines="none")
    assert by_model.metrics["n"].tolist() == [len(measured)] * 5


def test_evaluate_basecalls_is_that_of_the_command_line(biorrn: Run, tmp_path: Path) -> None:
    reference = ROOT / "data/simulated_reads/reference.fasta"
    assert biorrn("basecall", POD5, "--max-reads", 3, "-o", tmp_path / "c.fastq")[0] == 0
    assert biorrn("evaluate", "basecalls", tmp_path / "c.fastq", reference, "-o", tmp_path / "e.json")[0] == 0
    content = json.loads((tmp_path / "e.json").read_text())
    calls = list(api.basecall(POD5, max_reads=3))
    for given in (calls, tmp_path / "c.fastq"):
        found = api.evaluate(given, reference=reference)
        assert found.metrics["value"].tolist() == [one["value"] for one in content["metrics"].values()]


def test_train_on_a_frame(tmp_path: Path, biorrn: Run, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(TABLE).drop(columns="set").head(320)
    settings = {"model": "gaussian", "split": "random:0.2,0.1,0.7", "max_minutes": 0.01}
    trained = api.train(frame, "stability", output=tmp_path / "run", **settings)
    assert capsys.readouterr() == ("", "")
    assert (trained.task, trained.targets[0]["name"]) == ("regression", "stability")
    assert (tmp_path / "run/report.html").is_file()
    assert np.isfinite(api.predict(trained, frame["sequence"].head(3).tolist())["stability"]).all()
    with pytest.raises(api.BiorrnError, match="holds a run of another DataFrame"):
        api.train(frame.head(70), "stability", output=tmp_path / "run", **settings)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    words = (
        "--target",
        "stability",
        "--model",
        "gaussian",
        "--max-minutes",
        0.01,
        "--split",
        "random:0.2,0.1,0.7",
        "-o",
        tmp_path / "cli",
    )
    assert biorrn("train-table", tmp_path / "t.parquet", *words)[0] == 0
    one, two = (api.predict(tmp_path / folder, FASTA) for folder in ("run", "cli"))
    pd.testing.assert_frame_equal(one, two)


def test_train_of_a_recipe(tmp_path: Path, tiny_proteins: Path) -> None:
    from biorrn.config.recipe import load_recipe

    assert load_recipe("stability_gru").task == "regression"
    settings = {"training.epochs": 1}
    trained = api.train(tiny_proteins, recipe="stability_gru", output=tmp_path / "run", settings=settings, threads=1)
    assert trained.targets[0]["name"] == "leucine"


def test_read_proteins_warns_of_what_it_leaves_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="skipped 1 .* the first: dict: record 'b'"):
        frame = api.read_proteins({"a": "mk-v", "b": "MK1"})
    assert frame.to_dict("list") == {"id": ["a"], "sequence": ["MKV"]}
    with pytest.raises(api.BiorrnError, match="record 'b'"):
        api.read_proteins({"a": "mk-v", "b": "MK1"}, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert api.read_proteins(FASTA)["description"][1].startswith("P06654")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: api.load_model("stabilty"), "did you mean 'stability'"),
        (lambda: api.predict("stability", "none.fasta"), "none.fasta: "),
        (lambda: api.predict("dna_r9.4.1_fast", ["MKV"]), "is a model for basecalling"),
        (lambda: api.predict("stability", ["MKVLAY"], level=2), "level"),
        (lambda: api.predict("stability", ["MKVLAY"], device="tpu"), "--device: found 'tpu'"),
        (lambda: api.predict("stability", ["MKVLAY"], threads=0), "--threads: found 0"),
        (lambda: api.scan("stability", ["MKVLAY"], positions=[7]), "--positions: found 7"),
        (lambda: list(api.basecall("none.pod5")), "none.pod5"),
        (lambda: api.basecall(POD5, "stability"), "biorrn predict"),
        (lambda: api.evaluate("stability"), "measured"),
        (lambda: api.train(pd.DataFrame({"sequence": ["MKV"]}), "tm", output="x"), "column 'tm' is missing"),
    ],
)
def test_a_fault_is_one_line(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(api.BiorrnError, match=message):
        call()


def test_threads_are_as_before(stability: "api.Model") -> None:
    import torch

    before = torch.get_num_threads()
    api.predict(stability, ["MKVLAYGGSSQETIEVEDEE"], threads=2)
    next(iter(api.basecall(POD5, max_reads=1, threads=2)))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("proteins", "said"),
    [
        ("RKWEEIAERLREEFN", "'RKWEEIAERLREEFN' is not a file; a sequence is given in a list"),
        (None, "proteins: found NoneType; expected a file, DataFrame, dict or list of str"),
        ([b"MKV"], "proteins: found an entry of type bytes; expected str"),
        ([("a", "MKV")], "proteins: found an entry of type tuple; expected str"),
    ],
)
def test_objects_that_are_no_proteins_are_named(proteins: object, said: str) -> None:
    with pytest.raises(api.BiorrnError, match=re.escape(said)):
        api.predict("stability", proteins)  # type: ignore[arg-type]
    with pytest.raises(api.BiorrnError, match="model: found NoneType"):
        api.predict(None, ["MKV"])  # type: ignore[arg-type]

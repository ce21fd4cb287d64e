"""`biorrn predict`: table, order, streams, summary line, exit codes."""

import csv
import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained regression model of the shape of the demo recipe."""
    import torch

    from biorrn.config.recipe import load_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import save_model

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    recipe = load_recipe("demo_stability")
    facts = {
        "task": "regression",
        "outputs": 1,
        "targets": [{"name": "stability", "unit": ""}],
        "min_length": 50,
        "max_length": 300,
    }
    save_model(folder, build_model(recipe.model, 1), recipe, facts)
    return folder


def ids(fasta: Path) -> list[str]:
    return [line[1:].split()[0] for line in fasta.read_text().splitlines() if line.startswith(">")]


def test_one_row_a_protein_in_order(biorrn: Run, model: Path, root: Path, tmp_path: Path) -> None:
    fasta = root / "data" / "proteins.fasta"
    code, out, err = biorrn("predict", model, fasta, "-o", tmp_path / "p.tsv", "--device", "cpu", "--threads", 1)
    assert (code, out) == (0, "")
    header, *rows = (line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines())
    assert header == ["id", "length", "stability", "flags"]
    assert [row[0] for row in rows] == ids(fasta)
    for row in rows:
        float(row[2])
        assert ("longer_than_training" in row[3]) == (int(row[1]) > 300)
        assert ("shorter_than_training" in row[3]) == (int(row[1]) < 50)
    assert "no intervals: the model carries none (it was never calibrated" in err.splitlines()[-2]
    assert f"predict: {len(rows)} sequences" in err.splitlines()[-1]
    assert "sequences/s" in err


def test_any_batch_size_and_stream_give_the_same_bytes(
    biorrn: Run, model: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fasta = root / "data" / "proteins.fasta"
    _, one, _ = biorrn("predict", model, fasta, "--batch-size", 1)
    _, many, _ = biorrn("predict", model, fasta, "--batch-size", 64)
    assert one.count("\n") == len(ids(fasta)) + 1
    assert many == one
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(fasta.read_bytes()))))
    _, streamed, _ = biorrn("predict", model, "-")
    assert streamed == one
    biorrn("predict", model, fasta, "-o", tmp_path / "p.tsv.gz")
    assert gzip.decompress((tmp_path / "p.tsv.gz").read_bytes()).decode() == one


def test_flags_are_counted_in_the_last_line(biorrn: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKVXLA\n>b\n" + "MKVLA" * 20 + "\n")
    code, out, err = biorrn("predict", model, tmp_path / "a.fa")
    assert code == 0
    assert out.splitlines()[1].endswith("\tunknown_residues,shorter_than_training")
    assert out.splitlines()[2].endswith("\t.")
    assert "flagged 1 (unknown_residues: 1, shorter_than_training: 1)" in err


def test_a_bad_record_is_one_line_and_leaves_no_file(biorrn: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKVLAMKVLA\n>b\nMKV7LA\n")
    code, out, err = biorrn("predict", model, tmp_path / "a.fa", "-o", tmp_path / "p.tsv", "--strict")
    assert (code, out) == (2, "")
    assert err.startswith("biorrn: error: ")
    assert err.count("\n") == 1
    assert "record 'b'" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fa"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "0"], "--batch-size: found 0; allowed is 1 or more"),
        (["--threads", "0"], "--threads: found 0; allowed is 1 or more"),
        (["--level", "0.3"], "--level: found 0.3; allowed is 0.5 to 0.99"),
        (["--level", "95"], "--level: found 95; allowed is 0.5 to 0.99"),
        (["--id", "name"], "--id: needs a table;"),
        (["-o", "p.parquet.gz"], "p.parquet.gz: parquet is packed in itself"),
        (["--device", "tpu"], "--device: found 'tpu'; allowed is one of auto, cpu"),
    ],
)
def test_options_out_of_range(biorrn: Run, model: Path, root: Path, arguments: list[str], message: str) -> None:
    code, out, err = biorrn("predict", model, root / "data" / "proteins.fasta", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"biorrn: error: {message}")
    assert err.count("\n") == 1


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained ensemble of two members that carries intervals and what tells unlike proteins."""
    import numpy as np
    import torch

    from biorrn.config.recipe import parse_recipe
    from biorrn.nn.sequence import build
    from biorrn.nn.store import save_model
    from biorrn.proteins.uncertainty import conformal, novelty
    from biorrn.sequences.alphabets import tokens

    folder = tmp_path_factory.mktemp("pair")
    core = {"hidden": 6, "layers": 1}
    small = {
        "name": "s",
        "task": "regression",
        "model": {"frontend": {"name": "onehot"}, "core": core, "pool": ["max"]},
    }
    members = [{"recipe": small, "seed": 1}, {"recipe": {**small, "name": "t"}}]
    recipe = parse_recipe({"name": "pair", "task": "regression", "members": members})
    facts = {"task": "regression", "outputs": 1, "targets": [{"name": "tm", "unit": "K"}]}
    rng = np.random.default_rng(0)
    facts["conformal"] = {"tm": conformal.fit(rng.normal(size=99), np.zeros(99), np.ones(99))}
    flat, lengths = tokens("".join(rng.choice(list("ACDEFGHIKLMN"), 4000))), np.full(100, 40)
    facts["novelty"] = novelty.fit(flat, lengths, flat[:0], lengths[:0])
    torch.manual_seed(0)
    save_model(folder, build(recipe, facts), recipe, facts)
    return folder


COLUMNS = ["id", "length", "tm", "tm_lower", "tm_upper", "tm_spread", "tm_unit", "flags"]
ROWS = [
    ("a,b", "LFNGNNMKAIEMADCGIEHKCLEANEHFDHDCDLLIDDAA"),
    ("c", "W" * 40),
    ("d", "EEDDFGEKMMEDNEHFAGHDDFCGFLLALMNGCFGFINGD"),
]


def test_intervals_spread_and_flags_in_every_format(biorrn: Run, pair: Path, tmp_path: Path) -> None:
    import csv

    import pyarrow.parquet as pq

    (tmp_path / "a.fa").write_text("".join(f">{name}\n{sequence}\n" for name, sequence in ROWS))
    for name in ("p.tsv", "p.csv", "p.parquet", "p.csv.gz"):
        code, out, err = biorrn("predict", pair, tmp_path / "a.fa", "-o", tmp_path / name)
        assert (code, out) == (0, "")
        assert "no intervals" not in err
        assert "unlike_training: 1" in err
    tsv = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()]
    assert tsv[0] == COLUMNS
    assert [row[0] for row in tsv[1:]] == [name for name, _ in ROWS]
    assert [row[-1] for row in tsv[1:]] == [".", "unlike_training", "."]
    for row in tsv[1:]:
        if row[-1] == "unlike_training":
            assert row[3:5] == ["", ""]  # nothing was measured on such proteins
            continue
        value, lower, upper, spread = map(float, row[2:6])
        assert lower < value < upper
        assert spread > 0
    with (tmp_path / "p.csv").open() as stream:
        assert list(csv.reader(stream)) == tsv
    assert gzip.decompress((tmp_path / "p.csv.gz").read_bytes()) == (tmp_path / "p.csv").read_bytes()
    found = pq.read_table(tmp_path / "p.parquet").to_pylist()
    assert [list(row) for row in found] == [COLUMNS] * 3
    for row, cells in zip(found, tsv[1:], strict=True):
        assert [row["id"], str(row["length"]), row["flags"]] == [cells[0], cells[1], cells[-1]]
        wanted = [float(cell or "nan") for cell in cells[2:6]]
        assert [row[name] for name in COLUMNS[2:6]] == pytest.approx(wanted, rel=1e-4, nan_ok=True)


def test_a_higher_level_is_wider(biorrn: Run, pair: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(f">a\n{ROWS[0][1]}\n")
    widths = []
    for level in (0.5, 0.9, 0.98):
        cells = biorrn("predict", pair, tmp_path / "a.fa", "--level", level)[1].splitlines()[1].split("\t")
        widths.append(float(cells[4]) - float(cells[3]))
    assert widths == sorted(widths)
    out, err = biorrn("predict", pair, tmp_path / "a.fa", "--level", 0.99)[1:]  # 99 rows are 1 too few for 0.99
    assert "tm_lower" in out or "too few calibration rows" in err


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".csv.gz"])
def test_a_table_gives_what_fasta_gives(biorrn: Run, pair: Path, tmp_path: Path, suffix: str) -> None:
    import pandas as pd

    (tmp_path / "a.fa").write_text("".join(f">{name}\n{sequence}\n" for name, sequence in ROWS))
    wanted = biorrn("predict", pair, tmp_path / "a.fa")[1]
    path = tmp_path / f"t{suffix}"
    table = pd.DataFrame(ROWS, columns=["id", "sequence"])
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert biorrn("predict", pair, path)[1] == wanted
    other = tmp_path / "other.csv"
    table.rename(columns={"id": "name", "sequence": "protein"}).to_csv(other, index=False)
    assert biorrn("predict", pair, other, "--sequence-column", "protein", "--id", "name")[1] == wanted
    numbered = biorrn("predict", pair, other, "--sequence-column", "protein")[1].splitlines()
    assert [line.split("\t")[0] for line in numbered[1:]] == ["row1", "row2", "row3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,y\na,MKV\n", "no column of sequences is found; name it with --sequence-column. Columns: id, y"),
        ("id,sequence\na,\n", "record 'a': the sequence is empty"),
        ("id,sequence\na,NaN\n", "column 'sequence': found 'NaN', which means missing"),
        ("id,sequence\na," + "ACGT" * 10 + "\n", "record 'a': looks like DNA or RNA"),
        ("", "the table is empty"),
    ],
)
def test_tables_that_cannot_be_used(biorrn: Run, pair: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    code, out, err = biorrn("predict", pair, tmp_path / "t.csv", "-o", tmp_path / "out.tsv", "--strict")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_any_number_of_threads_gives_the_same_bytes(biorrn: Run, pair: Path, root: Path) -> None:
    one, three = (biorrn("predict", pair, root / "data" / "proteins.fasta", "--threads", n)[1] for n in (1, 3))
    assert one == three


GFP = (
    "MSKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTFSYGVQCFSRYPDHMKQHDFFKSAMPEGYVQERTIFFKDDGNY"
    "KTRAEVKFEGDTLVNRIELKGIDFKEDGNILGHKLEYNYNSHNVYIMADKQKNGIKVNFKIRHNIEDGSVQLADHYQQNTPIGDGPVLLPDNHYLSTQSALSKDPN"
    "EKRDHMVLLEFVTAAGITHGMDELYK"
)
OTHERS = {
    "GFP": GFP,
    "lysozyme": "KVFGRCELAAAMKRHGLDNYRGYSLGNWVCAAKFESNFNTQATNRNTDGSTDYGILQINSRWWCNDGRTPGSRNLCNIPCSALLSSDITASVNCAKKIVSDG"
    "NGMNAWVAWRNRCKGTDVQAWIRGCRL",
    "ubiquitin": "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG",
}


@pytest.mark.parametrize(
    ("model", "all_unknown"), [("stability", True), ("beta_lactamase", True), ("solubility", False)]
)
def test_proteins_that_a_model_does_not_know_are_told_in_one_line(
    biorrn: Run, tmp_path: Path, model: str, all_unknown: bool
) -> None:
    (tmp_path / "p.fa").write_text("".join(f">{name}\n{text}\n" for name, text in OTHERS.items()))
    code, out, err = biorrn("predict", model, tmp_path / "p.fa")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    name = next(column[: -len("_lower")] for column in rows[0] if column.endswith("_lower"))
    told = [line for line in err.splitlines() if f"unlike what {model} knows" in line]
    assert len(told) == all_unknown
    assert all(row[f"{name}_unit"] for row in rows)
    if all_unknown:
        assert "3 of 3 sequences" in told[0]
        assert "GFP, lysozyme, ubiquitin" in told[0]
        assert [(row[f"{name}_lower"], row[f"{name}_upper"]) for row in rows] == [("", "")] * 3
        assert all(row["flags"] != "." for row in rows)
    else:
        assert {row["solubility_unit"] for row in rows} == {"fraction"}
        ends = [(float(row[f"{name}_lower"]), float(row[f"{name}_upper"])) for row in rows]
        assert all(0 <= low < high <= 1 for low, high in ends)  # a part of a protein


def test_a_protein_without_a_relative_has_the_interval_of_such_proteins(biorrn: Run, tmp_path: Path) -> None:
    (tmp_path / "p.fa").write_text(f">GFP\n{GFP}\n")
    code, out, err = biorrn("predict", "melting_temperature", tmp_path / "p.fa")
    assert code == 0, err
    row = next(csv.DictReader(out.splitlines(), delimiter="\t"))
    assert row["flags"] == "no_relative_in_training"
    assert float(row["tm_lower"]) < 77 < float(row["tm_upper"])  # what is measured of it
    assert "1 of 1 sequences are unlike what melting_temperature knows" in err
    assert "measured for such proteins" in err
    code, out, err = biorrn("scan", "melting_temperature", tmp_path / "p.fa", "--positions", "66")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    assert all("not_trained_on_mutants" in row["flags"] for row in rows)
    assert sum("not trained on mutants" in line for line in err.splitlines()) == 1


SCAN = "mutant,note\nK6A,a\nW11*,b\nK6A/T7G,c\np.(Lys6Ala),d\nWT,e\nA2G,f\n"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a table of mutations, of which one cannot be used and one is of another protein, and the wild type."""
    folder = tmp_path_factory.mktemp("scan")
    (folder / "scan.csv").write_text(SCAN)
    (folder / "wt.fasta").write_text(">pin1\nKLPPGKTKRMSRSSGRVYYFNHITNASQWERPSGNSSSGGKNGQGEPARV\n")
    return folder / "scan.csv", folder / "wt.fasta"


def test_mutations_are_predicted_as_their_sequences_are(
    biorrn: Run, model: Path, scan: tuple[Path, Path], tmp_path: Path
) -> None:
    """A table, a list and the mutants written out give the same values; what cannot be used has a row that says why."""
    table, wild = scan
    code, out, err = biorrn("predict", model, table, "--wild-type", wild)
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
    assert [row["id"] for row in rows] == ["K6A", "W11*", "K6A/T7G", "p.(Lys6Ala)", "WT", "A2G"]
    assert [row["mutant"] for row in rows] == [row["id"] for row in rows]
    assert [row["note"] for row in rows] == list("abcdef")
    assert [row["flags"] for row in rows if not row["stability"]] == [
        *("left_out,stop_codon", "left_out,wild_type_differs"),
    ]
    assert "4 variants, at most 2 mutations in one, 1 of them wild type or synonymous; 2 left out" in err
    assert "record 'row6': mutation 'A2G': found 'L' at position 2 of the wild type, expected 'A'" in err
    sequence = wild.read_text().split()[1]
    texts = {"K6A": sequence[:5] + "A" + sequence[6:], "K6A/T7G": sequence[:5] + "AG" + sequence[7:], "WT": sequence}
    (tmp_path / "mutants.csv").write_text("id,sequence\n" + "".join(f"{name},{text}\n" for name, text in texts.items()))
    written = biorrn("predict", model, tmp_path / "mutants.csv")[1]
    values = {row["id"]: row["stability"] for row in csv.DictReader(io.StringIO(written), delimiter="\t")}
    assert values == {row["id"]: row["stability"] for row in rows if row["id"] in values}
    listed = biorrn("predict", model, wild, "--mutations", "K6A,K6A/T7G,W11*")[1]
    chosen = list(csv.DictReader(io.StringIO(listed), delimiter="\t"))
    assert [(row["id"], row["mutation"]) for row in chosen] == [(name, name) for name in ("K6A", "K6A/T7G", "W11*")]
    assert [row["stability"] for row in chosen] == [values["K6A"], values["K6A/T7G"], ""]
    # the wild type as text says the same
    assert biorrn("predict", model, "--wild-type", sequence, "--mutations", "K6A,K6A/T7G,W11*")[1] == listed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "column 'mutant' holds mutations, as 'K6A', and no column holds sequences; give what"),
        (["--wild-type", "{wild}", "--strict"], "record 'row2': mutation 'W11*': stop codon"),
        (["--wild-type", "{wild}", "--offset", "100"], "position 6 is outside the wild type"),
        (["--wild-type", "wildtyp"], "found 'wildtyp', which is neither a file nor a sequence (small letters are"),
        (["--wild-type", "mutants"], "did you mean the column 'mutant'?"),
        (["--wild-type", "no.fasta"], "no.fasta: not found; --wild-type takes a FASTA file, a sequence or a column"),
        (["--wild-type", "{wild}", "--mutations", "K6A"], "--wild-type: needs a table of mutations"),
    ],
)
def test_mutations_that_cannot_be_predicted(
    biorrn: Run, model: Path, scan: tuple[Path, Path], options: list[str], message: str
) -> None:
    table, wild = scan
    code, out, err = biorrn("predict", model, table, *(option.format(wild=wild) for option in options))
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained model of effects of substitutions."""
    import torch

    from biorrn.config.recipe import parse_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import save_model
    from biorrn.sequences.alphabets import RESIDUES, STANDARD

    folder = tmp_path_factory.mktemp("effects")
    torch.manual_seed(0)
    network = {"frontend": {"name": "embedding"}, "core": {"layers": 0}, "head": {"name": "values"}}
    recipe = parse_recipe({"name": "tiny", "task": "tagging", "model": network})
    targets = [{"name": letter, "unit": ""} for letter in STANDARD]
    facts = {"task": "tagging", "kind": "values", "outputs": 20, "targets": targets, "alphabet": RESIDUES}
    save_model(folder, build_model(recipe.network, 20), recipe, facts | {"effect": {"name": "ddg", "unit": "kcal/mol"}})
    return folder


def test_effects_of_mutations_of_a_wild_type(biorrn: Run, effects: Path, tmp_path: Path) -> None:
    wild = tmp_path / "wild.fasta"
    wild.write_text(">w\nMKVLAW\n")
    code, out, err = biorrn("predict", effects, "--wild-type", wild, "--mutations", "K2A,K2A:V3L,V3_L4del,A5del")
    assert code == 0, err
    header, one, two, three, four = (line.split("\t") for line in out.splitlines())
    assert header == ["id", "length", "ddg", "ddg_unit", "flags", "mutation"]
    assert [one[0], two[0], three[0]] == ["K2A", "K2A:V3L", "V3_L4del"]
    assert three[4] == "left_out,no_substitution"
    assert (four[1], four[4]) == ("5", "deletion")
    assert "skipped: " in err
    assert "record 'V3_L4del': has 4 residues, its wild type 6" in err
    assert "skipped 1 (no_substitution: 1)" in err
    strict = biorrn("predict", effects, "--wild-type", wild, "--mutations", "K2A,V3_L4del", "--strict")
    assert strict[0] == 2
    assert "record 'V3_L4del'" in strict[2]
    code, _, err = biorrn("predict", effects, wild, "--mutations", "V3_L4del")
    assert code == 2
    assert "skipped 1 (no_substitution: 1)" in err
    table = tmp_path / "table.csv"
    table.write_text("mutation,wt\nK2A,MKVLAW\nL1K,LKV\n")
    code, out, err = biorrn("predict", effects, table, "--wild-type", "wt")
    assert code == 0, err
    assert out.splitlines()[1].split("\t")[2] == one[2]
    there = biorrn("predict", effects, "MKVLAW.fa", "--mutations", "K2A")
    assert there[0] == 2
    code, there_and_back, err = biorrn("predict", effects, "--wild-type", wild, "--mutations", "K2A", "--antisymmetric")
    assert code == 0, err
    (tmp_path / "back.fasta").write_text(">w\nMAVLAW\n")
    back = biorrn("predict", effects, tmp_path / "back.fasta", "--mutations", "A2K", "--antisymmetric")[1]
    values = [float(text.splitlines()[1].split("\t")[2]) for text in (there_and_back, back)]
    assert values[0] == -values[1]


def test_a_model_of_effects_needs_mutations(biorrn: Run, effects: Path, model: Path, tmp_path: Path) -> None:
    wild = tmp_path / "wild.fasta"
    wild.write_text(">w\nMKVLAW\n")
    code, _, err = biorrn("predict", effects, wild)
    assert code == 2
    assert "names no mutations; give --mutations" in err
    code, _, err = biorrn("predict", effects)
    assert code == 2
    assert "Missing argument 'PROTEINS'" in err
    code, _, err = biorrn("predict", model, wild, "--antisymmetric")
    assert code == 2
    assert "--antisymmetric: needs a model of effects" in err


def test_a_scan_of_effects(biorrn: Run, effects: Path, tmp_path: Path) -> None:
    wild = tmp_path / "wild.fasta"
    wild.write_text(">w\nMKVLAW\n")
    code, out, err = biorrn("scan", effects, wild, "-o", "-", "--figure", tmp_path / "scan.png")
    assert code == 0, err
    header = "id position wild_type mutant mutation ddg ddg_unit flags"
    assert out.splitlines()[0].split("\t") == header.split()
    assert len(out.splitlines()) == 1 + 6 * 19
    assert (tmp_path / "scan.png").stat().st_size > 1000


def test_pairs_of_sequences(biorrn: Run, effects: Path, tmp_path: Path) -> None:
    """A table of wild types and mutants as sequences, without a column of mutations."""
    wild = "MKVLAWTGHEYRMKVLAWTGHEYR"
    mutant, short = wild.replace("K", "A", 1), wild[:-2]
    rows: list[Any] = [f"{wild},{mutant},a", f"{mutant},{mutant},b", f"{wild},{short},c", f"M1{wild},{mutant},d"]
    rows.append(f"{wild.lower()},{mutant},e")
    table = tmp_path / "pairs.csv"
    table.write_text("wt_seq,mut_seq,note\n" + "\n".join(rows) + "\n")
    words = ["predict", effects, table, "--wild-type", "wt_seq", "--sequence-column", "mut_seq"]
    code, out, err = biorrn(*words)
    assert code == 0, err
    rows = [line.split("\t") for line in out.splitlines()][1:]
    (tmp_path / "wild.fasta").write_text(f">w\n{wild}\n")
    named = biorrn("predict", effects, "--wild-type", tmp_path / "wild.fasta", "--mutations", "K2A")[1]
    assert rows[0][2] == named.splitlines()[1].split("\t")[2]
    assert rows[1][2] == "0"
    assert rows[2][4] == "left_out,no_substitution"
    assert rows[3][4] == "left_out,unusable_wild_type"
    assert "column 'wt_seq'" in err
    assert rows[4][4] == "."
    assert [row[-1] for row in rows] == list("abcde")
    assert (
        biorrn("predict", effects, table, "--wild-type", "wt_seq", "--sequence-column", "mut_seq", "--strict")[0] == 2
    )

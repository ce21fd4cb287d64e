"""The sample sheet."""

from pathlib import Path

import pytest

from biorrn.base.errors import InputError
from biorrn.config.samples import CALLER, COLUMNS, Sample, read_samples


def sheet(folder: Path, *lines: str) -> Path:
    path = folder / "samples.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_sheet(tmp_path: Path) -> None:
    path = sheet(
        tmp_path,
        "# flow cells of 2018",
        "\ufeffname\tinput\tkind\tshards\tnote\tmodel\treference",
        "fc1\tone/;two/x.pod5 \tsignal\t4\tfirst\t\tref.fa",
        "",
        "# left out",
        "designs\tdesigns.fasta\tprotein\t.\t.\tmine\t.",
    )
    assert read_samples(path, ["mine"], {"mine": "regression"}) == [
        Sample("fc1", "signal", ("one/", "two/x.pod5"), CALLER, "ref.fa", 4, "first"),
        Sample("designs", "protein", ("designs.fasta",), "mine"),
    ]


def test_a_pool_has_a_kit_and_aliases(tmp_path: Path) -> None:
    path = sheet(tmp_path, "name\tkind\tinput\tkit\taliases", "fc1\tsignal\tx.pod5\tSQK-RBK004\tnames.csv")
    (found,) = read_samples(path)
    assert (found.kit, found.aliases) == ("SQK-RBK004", "names.csv")


POOL = "name\tkind\tinput\tmodel\tkit\taliases"
HEAD = "name\tkind\tinput\tmodel\treference\tshards"
FAULTS = [
    ([], "is empty"),
    ([HEAD], "holds no sample"),
    (["name\tkind\tinputs"], "line 1: column 'inputs' is unknown; did you mean 'input'?"),
    (["name\tkind"], "line 1: column 'input' is missing"),
    (["name\tname\tkind\tinput"], "line 1: column 'name' occurs twice"),
    ([HEAD, "a\tsignal\tx"], "line 2: found 3 cells; the first line names 6 columns"),
    ([HEAD, "a b\tsignal\tx\t\t\t"], "line 2, column 'name': found 'a b'; allowed is letters"),
    ([HEAD, "../a\tsignal\tx\t\t\t"], "line 2, column 'name': found '../a'"),
    ([HEAD, "a\tsignals\tx\t\t\t"], "line 2, column 'kind': found 'signals'; allowed is signal, protein, scan"),
    ([HEAD, "a\tsignal\t\t\t\t"], "line 2, column 'input': found nothing"),
    ([HEAD, "a\tprotein\tx;y\tm\t\t"], "line 2, column 'input': found 'x;y'; allowed is one FASTA"),
    ([HEAD, "a\tprotein\tx\t\t\t"], "line 2, column 'model': found nothing"),
    ([HEAD, "a\tprotein\tx\tm\tr.fa\t"], "line 2, column 'reference': found 'r.fa'; allowed is nothing"),
    ([HEAD, "a\tsignal\tx\t\t\t0"], "line 2, column 'shards': found '0'; allowed is a whole number"),
    ([POOL, "a\tprotein\tx\tm\tSQK-RBK004\t"], "line 2, column 'kit': found 'SQK-RBK004'; allowed is nothing"),
    ([POOL, "a\tsignal\tx\t\t\tnames.csv"], "line 2, column 'kit': found nothing; allowed is the kit"),
    ([HEAD, "a\tsignal\tx\t\t\t2", "a\tsignal\ty\t\t\t2"], "line 3: name 'a' is taken by line 2"),
    ([HEAD, "run\tsignal\tx\t\t\t"], "line 2: name 'run' is taken by a run of the configuration"),
    ([HEAD, "a\tsignal\tx\trun\t\t"], "allowed is a run of task basecalling for kind signal"),
]


@pytest.mark.parametrize(("lines", "fragment"), FAULTS)
def test_fault_is_named(tmp_path: Path, lines: list[str], fragment: str) -> None:
    with pytest.raises(InputError) as raised:
        read_samples(sheet(tmp_path, *lines), ["run"], {"run": "regression"})
    assert fragment in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_sheets_as_spreadsheets_write_them(tmp_path: Path, separator: str) -> None:
    cells = [["Name", " Kind", "INPUT", "note", ""], ["fc1", "signal", '"one/;two/"', "", ""], ["", "", "", "", ""]]
    cells[1][2] = "one/;two/" if separator == "\t" else '"one/;two/"'
    path = sheet(tmp_path, *(separator.join(row) for row in cells))
    assert read_samples(path) == [Sample("fc1", "signal", ("one/", "two/"), CALLER)]


def test_every_column_is_in_the_manual() -> None:
    manual = (Path(__file__).resolve().parents[3] / "config/config.yaml").read_text()
    assert not [column for column in COLUMNS if f"#   {column} " not in manual]

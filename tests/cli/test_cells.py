"""`biorrn experiments cells`: from prepared files to the table and its figure."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

SMALL = ["--threads", 1, "--device", "cpu", "--budget", 900, "--length", 6, "--steps", 2, "--cells", "mut1"]
SMALL += ["--set", "training.epochs=1"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table of values and FASTA files of states of 60 made-up proteins."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("cells")
    names = [f"p{number}" for number in range(60)]
    texts = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), rng.integers(8, 20))) for _ in names]
    sets = ["train"] * 40 + ["valid"] * 10 + ["test"] * 10
    lines = [
        f"{name},{text},{text.count('L') / len(text):.3f},{part}"
        for name, text, part in zip(names, texts, sets, strict=True)
    ]
    (folder / "values.csv").write_text("\n".join(["name,sequence,y,set", *lines]) + "\n")
    header = {"train": "SET=train VALIDATION=False", "valid": "SET=train VALIDATION=True", "test": "SET=test"}
    fasta = "".join(f">{name}\n{text}\n" for name, text in zip(names, texts, strict=True))
    states = "".join(
        f">{name} {header[part]}\n{''.join('H' if letter in 'AELM' else 'C' for letter in text)}\n"
        for name, text, part in zip(names, texts, sets, strict=True)
    )
    (folder / "sequences.fasta").write_text(fasta)
    (folder / "states.fasta").write_text(states)
    return folder


def test_every_task_gives_a_row_a_cell(biorrn, sources: Path, tmp_path: Path) -> None:
    values, tags, output = tmp_path / "values.h5", tmp_path / "tags.h5", tmp_path / "cells"
    code, _, err = biorrn(
        "prepare", "protein", sources / "values.csv", "--target", "y", "--split", "column:set", "-o", values
    )
    assert code == 0, err
    code, _, err = biorrn(
        "prepare", "tags", sources / "sequences.fasta", "--labels", sources / "states.fasta", "-o", tags
    )
    assert code == 0, err
    words = ["cells", "--stability", values, "--tagging", tags, "--cells", "mingru", *SMALL, "-o", output]
    code, out, err = biorrn(*words)
    assert code == 0, err
    with open(output / "cells.tsv") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [(row["task"], row["cell"]) for row in rows] == [
        (task, cell) for task in ("stability", "tagging", "synthetic") for cell in ("mut1", "mingru")
    ]
    assert {row["split"] for row in rows[:4]} == {"test"}
    assert all(int(row["core_parameters"]) <= 900 for row in rows)
    content = json.loads((output / "cells.json").read_text())
    assert content["kind"] == "cells"
    assert [row["score"] for row in content["rows"]] == pytest.approx([float(row["score"]) for row in rows], rel=1e-5)
    for name in ("cells.png", "cells.svg"):
        assert (output / name).stat().st_size > 1000
    assert "steps/s" in out

    # nothing is trained again; and the files are the same
    before = (output / "cells.tsv").read_bytes()
    code, again, err = biorrn(*words)
    assert code == 0, err
    assert again == out
    assert "1 of 2" not in err
    assert (output / "cells.tsv").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cells", "grru"], "did you mean 'gru'"),
        (["--tasks", "stabilty"], "did you mean 'stability'"),
        (["--tasks", "tagging"], "found tagging without its prepared file; give --tagging"),
        (["--synthetic", "coping"], "did you mean 'copying'"),
        (["--length", "1"], "--length: found 1; allowed for adding is 2 or more"),
        (["--budget", "3", "--length", "6"], "--budget: found 3; cell rnn with one unit has 35"),
        (["--stability", "{values}"], "values.csv"),
        (["--threads", "0"], "--threads: found 0"),
        (["--device", "tpu", "--cells", "rnn", "--steps", "1"], "--device: found 'tpu'"),
    ],
)
def test_bad_wishes_are_one_line(biorrn, sources: Path, tmp_path: Path, words: list[str], message: str) -> None:
    given = [word.format(values=sources / "values.csv") for word in words]
    code, _, err = biorrn("cells", *given, "-o", tmp_path / "out")
    assert code == 2
    assert message in err
    assert err.splitlines()[-1].startswith("biorrn: error: ")
    assert "Traceback" not in err

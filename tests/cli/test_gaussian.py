"""`biorrn train` and `biorrn predict` with a Gaussian process."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Run = Callable[..., tuple[int, str, str]]
WILD = "MKTAYIAKQRGW"
RECIPE = {
    "name": "tiny",
    "task": "regression",
    "model": {"name": "gaussian_process", "kernel": {"name": "sites"}, "warp": "none", "steps": 15},
}


def test_prepare_train_predict(tmp_path: Path, biorrn: Run) -> None:
    def run(*words: object) -> None:
        code, _, said = biorrn(*words)
        assert code == 0, said

    lines = ["id,sequence,value,set"]
    for number, (a, b) in enumerate(itertools.product("ACDEFG", "KLMNP")):
        split = "test" if number % 10 == 9 else "valid" if number % 10 > 6 else "train"
        sequence = WILD[:3] + a + WILD[4:7] + b + WILD[8:]
        lines.append(f"v{number},{sequence},{'ACDEFG'.index(a) - 0.5 * 'KLMNP'.index(b)},{split}")
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    prepared, model, fasta = tmp_path / "a.h5", tmp_path / "model", tmp_path / "new.fa"
    run("prepare", "protein", tmp_path / "a.csv", "--target", "value", "--split", "column:set", "-o", prepared)
    run("train", tmp_path / "tiny.yaml", prepared, "-o", model, "--threads", "1")
    good, bad = (WILD[:3] + a + WILD[4:7] + b + WILD[8:] for a, b in ("GK", "AP"))
    fasta.write_text(f">good\n{good}\n>bad\n{bad}\n")
    run("predict", model, fasta, "-o", tmp_path / "out.tsv")
    header, *rows = (tmp_path / "out.tsv").read_text().splitlines()
    value = header.split("\t").index("value")
    values = [float(row.split("\t")[value]) for row in rows]
    assert values == [pytest.approx(5, abs=1), pytest.approx(-2, abs=1)]


def test_a_fault_of_the_recipe_is_one_line(tmp_path: Path, biorrn: Run) -> None:
    (tmp_path / "a.h5").touch()
    for change, message in [({"warp": "sqrt"}, "key 'model.warp': found 'sqrt'"), ({"kernal": 1}, "did you mean")]:
        broken = RECIPE | {"model": RECIPE["model"] | change}  # type: ignore[operator]
        (tmp_path / "bad.yaml").write_text(yaml.safe_dump(broken))
        code, _, said = biorrn("train", tmp_path / "bad.yaml", tmp_path / "a.h5", "-o", tmp_path / "run")
        assert code == 2
        assert message in said
        assert len(said.strip().splitlines()) == 1

"""`biorrn train` of an ensemble, then `biorrn predict` with it."""

from collections.abc import Callable
from pathlib import Path

import yaml

SMALL = {
    "name": "small",
    "task": "regression",
    "model": {"frontend": {"name": "onehot"}, "core": {"hidden": 8, "layers": 1}, "pool": ["mean"]},
    "training": {"epochs": 5, "lr": 0.01},
}


def test_two_members(biorrn: Callable[..., tuple[int, str, str]], tiny_proteins: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    members = [{"recipe": "small.yaml", "seed": seed} for seed in (1, 2)]
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump({"name": "pair", "task": "regression", "members": members}))
    run, fasta = tmp_path / "run", tmp_path / "p.fasta"
    words = ["train", tmp_path / "pair.yaml", tiny_proteins, "-o", run, "--threads", 2, "--set", "training.epochs=1"]
    code, _, err = biorrn(*words)
    assert code == 0, err
    assert "training pair: 2 members, 2 at a time with 1 threads each on cpu" in err
    for line in ("[00_small_1] epoch 1/1: ", "[01_small_2] epoch 1/1: ", "2 of 2 members are trained"):
        assert line in err
    assert "members/00_small_1" not in (run / "recipe.yaml").read_text()
    fasta.write_text(">a\nMLLLKKAAWGGCC\n>b\nMKKKAAAAWWWWGG\n")
    code, out, err = biorrn("predict", run, fasta, "--device", "cpu", "--threads", 1)
    assert code == 0, err
    header, *rows = (line.split("\t") for line in out.splitlines())
    values = [float(row[header.index("leucine")]) for row in rows]
    assert len(values) == 2
    assert all(0 < value < 100 for value in values)
    assert "training is finished" in biorrn(*words)[2]

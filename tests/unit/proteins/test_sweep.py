"""The table of a parameter sweep."""

import json
from pathlib import Path

import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.proteins.sweep import collect_sweep, parse_point, sweep_figure, write_sweep
from biorrn.stats.figures import as_bytes


def evaluation(folder: Path, name: str, value: float | None, kind: str = "regression") -> Path:
    entry = {"value": value, "low": None if value is None else value - 0.1, "high": value, "n": 7}
    metrics = {"y": {"spearman": entry}} if kind == "regression" else {"median_identity": entry}
    content = {"kind": kind, "name": name, "split": "valid", "metrics": metrics, "figures": [], "inputs": {}}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**content, "baselines": {"y": {}}, "targets": [{"name": "y"}]}))
    return path


def test_best_first_and_undefined_last(tmp_path: Path) -> None:
    paths = [evaluation(tmp_path, name, value) for name, value in (("a", 0.2), ("b", None), ("c", 0.9))]
    rows = collect_sweep(paths, ["lr=1,seed=0", "lr=2", "lr=3,seed=1"])
    assert [row.run for row in rows] == ["c", "a", "b"]
    write_sweep(tmp_path / "out.tsv", rows)
    lines = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert lines[0] == ["run", "lr", "seed", "target", "metric", "score", "low", "high", "n", "minutes"]
    assert lines[1] == ["c", "3", "1", "y", "spearman", "0.9000", "0.8000", "0.9000", "7", "."]
    assert lines[3] == ["b", "2", ".", "y", "spearman", ".", ".", ".", "7", "."]
    assert as_bytes(sweep_figure(rows).figure, "svg").startswith(b"<?xml")


def test_faults(tmp_path: Path) -> None:
    one, two = evaluation(tmp_path, "a", 0.5), evaluation(tmp_path, "b", 0.5, "basecalls")
    with pytest.raises(ConfigError, match="--point: found 1 for 2 evaluations"):
        collect_sweep([one, two], ["lr=1"])
    with pytest.raises(ConfigError, match="a sweep is of one task"):
        collect_sweep([one, two], ["lr=1", "lr=2"])
    with pytest.raises(ConfigError, match="allowed is KEY=VALUE"):
        parse_point("lr")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError):
        collect_sweep([tmp_path / "broken.json"], ["lr=1"])

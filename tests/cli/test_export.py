"""`biorrn models export`: trained here, exported to both formats, read again: the same calls, byte for byte."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from biorrn.nn.store import load_model

Run = Callable[..., tuple[int, str, str]]
FORMATS = ("dorado", "bonito")
# model of a recipe: flat keys; sublayers with clamps and two linear layers; two that only Bonito knows
SHAPES = {
    "flat": """
  frontend:
    name: conv
    layers: [{width: 4, kernel: 5}, {width: 16, kernel: 5}, {width: 24, kernel: 19, stride: 4}]
  core: {cell: lstm, hidden: 24, layers: 5, direction: alternating}
  head: {name: crf, state_len: 2, blank: 0.25}
""",
    "sublayers": """
  frontend:
    name: conv
    layers:
      - {width: 16, kernel: 5, clamp: [-0.5, 3.5]}
      - {width: 16, kernel: 5, clamp: [-0.5, 3.5]}
      - {width: 132, kernel: 19, stride: 4, clamp: [-0.5, 3.5]}
  core: {cell: lstm, hidden: 132, layers: 5, direction: alternating}
  head: {name: crf, state_len: 1, hidden: 12, activation: none, bias: false, squash: clamp, blank: 0.25}
""",
    "learned stays": """
  frontend: {name: conv, layers: [{width: 12, kernel: 9, stride: 4}]}
  core: {cell: lstm, hidden: 16, layers: 2, direction: forward}
  head: {name: crf, state_len: 1, scale: 3.0, blank: null}
""",
    "separable": """
  frontend:
    name: separable
    blocks: [{width: 16, kernel: 9, stride: 4, separable: false}, {width: 16, kernel: 5, repeat: 2, residual: true}]
  core: {layers: 0}
  head: {name: ctc}
""",
}
BEYOND_DORADO = {"learned stays": "learned scores of staying (blank: null)", "separable": "a head for CTC"}


def trained(shape: str, prepared: Path, folder: Path, biorrn: Run) -> Path:
    """Train a small basecaller for a few steps."""
    folder.mkdir()
    recipe = folder / "tiny.yaml"
    recipe.write_text(
        f"name: tiny\ntask: basecalling\nmodel:{SHAPES[shape]}chunks: {{samples: 400, overlap: 80, epoch: 64}}\n"
        f"training: {{batch_size: 16, epochs: 10, lr: 0.02, loss: {'ctc' if shape == 'separable' else 'crf'}, "
        "precision: '32'}\n"
    )
    code, _, err = biorrn("train", recipe, prepared, "-o", folder / "dna_r9.4.1_tiny", "--threads", "1")
    assert code == 0, err
    return folder / "dna_r9.4.1_tiny"


def called(model: Path, reads: Path, biorrn: Run, suffix: str) -> bytes:
    output = model.parent / f"calls.{suffix}"
    words = ("basecall", reads, "--model", model, "-o", output, "--threads", "1", "--force", "--min-length", "0")
    code, _, err = biorrn(*words)
    assert code == 0, err
    if suffix == "fastq":
        return output.read_bytes()
    return b"".join(line for line in output.read_bytes().splitlines(True) if not line.startswith(b"@"))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_trained_here_calls_the_same_after_export(
    shape: str, tiny_signal: Path, root: Path, tmp_path: Path, biorrn: Run
) -> None:
    run = trained(shape, tiny_signal, tmp_path / "here", biorrn)
    reads = root / "data" / "simulated_reads" / "simulated.blow5"
    expected = {suffix: called(run, reads, biorrn, suffix) for suffix in ("fastq", "sam")}
    assert expected["fastq"].count(b"\n") > 8
    for to in FORMATS:
        folder = tmp_path / to / run.name
        code, out, err = biorrn("models", "export", run, "--to", to, "-o", folder)
        if to == "dorado" and shape in BEYOND_DORADO:
            fault = f"{run}: Dorado does not know {BEYOND_DORADO[shape]}; --to bonito may"
            assert (code, err) == (2, f"biorrn: error: {fault}\n")
            continue
        assert (code, out) == (0, ""), err
        assert all(line.startswith("biorrn models export: ") for line in err.splitlines())
        for suffix, text in expected.items():
            assert called(folder, reads, biorrn, suffix) == text, (to, suffix)


def check_shipped(to: str, reads: Path, folder: Path, biorrn: Run) -> None:
    """Compare calls of the shipped model with those of its export; only the name of the folder is the same."""
    name = "dna_r9.4.1_fast"
    blank = load_model(name).recipe.network.head.blank  # type: ignore[union-attr]
    assert biorrn("models", "export", name, "--to", to, "-o", folder / name)[0] == 0
    assert tomllib.loads((folder / name / "config.toml").read_text())["encoder"]["blank_score"] == blank
    found = []
    for model in (name, folder / name):
        words = ("basecall", reads, "--model", model, "-o", folder / "calls.fastq", "--threads", "2", "--force")
        assert biorrn(*words)[0] == 0
        found.append((folder / "calls.fastq").read_bytes())
    assert found[0] == found[1]
    assert len(found[0]) > 700


@pytest.mark.parametrize("to", FORMATS)
def test_the_shipped_model_calls_the_same_after_export(to: str, root: Path, tmp_path: Path, biorrn: Run) -> None:
    check_shipped(to, root / "data" / "simulated_reads" / "simulated.blow5", tmp_path, biorrn)


@pytest.mark.parametrize("to", FORMATS)
def test_a_lambda_read_is_called_the_same(to: str, shared_data: Path, tmp_path: Path, biorrn: Run) -> None:
    reads = shared_data / "nanopore" / "lambda_r941" / "fast5"
    check_shipped(to, min(reads.glob("*.fast5"), key=lambda path: path.stat().st_size), tmp_path, biorrn)


def test_an_exported_model_can_be_exported_again(tmp_path: Path, biorrn: Run) -> None:
    first, second = tmp_path / "dorado" / "dna_r9.4.1_fast", tmp_path / "again" / "dna_r9.4.1_fast"
    assert biorrn("models", "export", "dna_r9.4.1_fast", "--to", "dorado", "-o", first)[0] == 0
    code, _, err = biorrn("models", "export", first, "--to", "dorado", "-o", second)
    assert code == 0, err
    assert (second / "config.toml").read_text() == (first / "config.toml").read_text()
    for path in first.glob("*.tensor"):
        assert (second / path.name).read_bytes() == path.read_bytes()

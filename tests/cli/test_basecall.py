"""`biorrn basecall`: FASTQ, mixed formats, skipped reads, exit codes."""

import gzip
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def biorrn(biorrn: Run) -> Run:
    """Return a function that runs `biorrn basecall` and returns its exit code, stdout and stderr."""
    return partial(biorrn, "basecall")


@pytest.fixture(scope="module")
def model(make_caller: Callable[..., Path]) -> Path:
    return make_caller()


@pytest.fixture
def reads(root: Path) -> Path:
    return root / "data" / "simulated_reads" / "simulated.blow5"


def write_fast5(path: Path, **signals: tuple[np.ndarray, float]) -> None:
    """Write a multi-read FAST5; a signal comes with its sample rate."""
    with h5py.File(path, "w") as file:
        for name, (raw, rate) in signals.items():
            group = file.create_group(f"read_{name}")
            group["Raw/Signal"] = raw
            group["Raw"].attrs["read_id"] = name
            channel = group.create_group("channel_id").attrs
            for key, value in {"offset": 0.0, "range": 1400.0, "digitisation": 8192.0, "sampling_rate": rate}.items():
                channel[key] = value


def names(fastq: str) -> list[str]:
    lines = fastq.splitlines()
    assert len(lines) % 4 == 0
    assert all(lines[i][0] == "@" and len(lines[i + 1]) == len(lines[i + 3]) for i in range(0, len(lines), 4))
    return [line[1:].split("\t")[0] for line in lines[::4]]


def test_fastq_in_the_order_of_the_file(biorrn: Run, model: Path, reads: Path, tmp_path: Path) -> None:
    from biorrn.nanopore.readers.files import read_all

    code, out, err = biorrn(reads, "--model", model, "-o", tmp_path / "c.fastq.gz", "--threads", 1)
    assert (code, out) == (0, "")
    text = gzip.decompress((tmp_path / "c.fastq.gz").read_bytes()).decode()
    assert names(text) == [record.read_id for record in read_all([reads])]
    assert f"basecall: {len(names(text))} reads" in err.splitlines()[-1]
    assert "samples/s" in err


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_any_batch_size_gives_the_same_bytes(biorrn: Run, model: Path, reads: Path, decoder: str) -> None:
    arguments = (reads, "--model", model, "--decoder", decoder, "--max-reads", 4)
    _, one, _ = biorrn(*arguments, "--batch-size", 1, "--threads", 1)
    _, many, _ = biorrn(*arguments, "--batch-size", 64, "--threads", 2)
    assert len(names(one)) == 4
    assert many == one


def test_a_folder_of_all_formats_is_called_whole(biorrn: Run, model: Path, reads: Path) -> None:
    from biorrn.nanopore.readers.files import read_all

    assert {path.suffix for path in reads.parent.iterdir()} >= {".fast5", ".pod5", ".blow5"}
    code, out, _ = biorrn(reads.parent, "--model", model)
    assert code == 0
    assert names(out) == [record.read_id for record in read_all([reads.parent])]


def test_what_cannot_be_used_is_said_and_counted_and_the_rest_is_called(
    biorrn: Run, model: Path, reads: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    (folder / "a_text.fast5").write_text("no HDF5")
    shutil.copy(reads, folder / "b.blow5")
    signal = np.random.default_rng(0).integers(300, 900, 3000).astype(np.int16)
    write_fast5(folder / "c.fast5", fast=(signal, 5000.0), empty=(signal[:0], 4000.0), flat=(signal[:1000] * 0, 4000.0))
    code, out, err = biorrn(tmp_path / "in", "--model", model)
    assert code == 0
    assert len(names(out)) >= 4
    assert not {"fast", "empty"} & set(names(out))
    assert "a_text.fast5" in err
    assert "c.fast5: record 'fast': sample rate 5000 Hz where the model needs 4000 Hz" in err
    assert "'empty'" in err
    assert "unusable file: 1" in err.splitlines()[-1]


def test_no_read_at_all_is_one_error_and_leaves_no_file(biorrn: Run, model: Path, tmp_path: Path) -> None:
    signal = np.random.default_rng(0).integers(300, 900, 3000).astype(np.int16)
    write_fast5(tmp_path / "a.fast5", fast=(signal, 5000.0))
    code, out, err = biorrn(tmp_path / "a.fast5", "--model", model, "-o", tmp_path / "c.fastq")
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last == (
        f"biorrn: error: {tmp_path / 'a.fast5'}: found a sample rate of 5000 Hz; {model.name} is for signal at 4000 "
        "Hz. Name a model of that chemistry with --model, or call anyway with --force"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.fast5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--decoder", "greddy"], "decoder 'greddy' is unknown; did you mean 'greedy'?"),
        (["--batch-size", "0"], "--batch-size: found 0; allowed is 1 or more"),
        (["-o", "calls.fasta"], "calls.fasta: found the suffix '.fasta'; allowed is .fastq, .fq"),
    ],
)
def test_options_out_of_range(biorrn: Run, model: Path, reads: Path, arguments: list[str], message: str) -> None:
    code, out, err = biorrn(reads, "--model", model, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"biorrn: error: {message}")
    assert err.count("\n") == 1


def test_without_a_shipped_model_one_must_be_named(biorrn: Run, reads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from biorrn.nanopore.models import catalogue

    monkeypatch.setattr(catalogue, "shipped_models", list)
    code, _, err = biorrn(reads)
    assert code == 2
    assert err.startswith(f"biorrn: error: {reads}: found chemistry dna_r9.4.1_e8 (flow cell FLO-MIN106, 4000 Hz); no ")
    assert "Oxford Nanopore's dna_r9.4.1_e8_hac@v3.3 or dna_r9.4.1_e8_fast@v3.4 are" in err
    code, _, err = biorrn(reads, "--force")
    assert code == 2
    assert err.startswith("biorrn: error: --model: name a basecalling model")


def test_the_shipped_model_is_the_default(
    biorrn: Run, make_caller: Callable[..., Path], reads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from biorrn.nanopore.models import catalogue

    model = make_caller(chemistry=["dna_r9.4.1_e8"])

    monkeypatch.setattr(catalogue, "shipped_models", lambda: [str(model)])
    _, named, _ = biorrn(reads, "--model", model, "--max-reads", 2)
    code, default, _ = biorrn(reads, "--max-reads", 2)
    assert code == 0
    assert default == named

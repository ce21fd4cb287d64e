"""The network of predicted structure learns from labelled chains, and faults of the archive are told in one line."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.training.residue_profile import NONE, accuracy, batches, read_chains, train

STATE_OF = {"A": "H", "V": "E", "G": "C"}


def archive(path: Path, chains: list[tuple[str, str, str, bool]]) -> Path:
    """Write splits.zip of (sequence, states, mask, validation)."""
    files: dict[str, str] = {"sampled": "", "sequences": "", "mask": ""}
    for number, (sequence, states, mask, validation) in enumerate(chains):
        files["sampled"] += f">c{number} SET=train VALIDATION={validation}\n{states}\n"
        files["sequences"] += f">c{number}\n{sequence}\n"
        files["mask"] += f">c{number}\n{mask}\n"
    with zipfile.ZipFile(path, "w") as content:
        for name, text in files.items():
            content.writestr(f"splits/{name}.fasta", text)
    return path


def simple(count: int, validation: bool) -> list[tuple[str, str, str, bool]]:
    rng = np.random.default_rng(int(validation))
    chains = []
    for _ in range(count):
        sequence = "".join(letter * 8 for letter in rng.choice(list(STATE_OF), 5))
        chains.append((sequence, "".join(STATE_OF[x] for x in sequence), "0" + "1" * 39, validation))
    return chains


def test_chains_are_read_as_they_stand(tmp_path: Path) -> None:
    path = archive(tmp_path / "splits.zip", [("MAU", "CHE", "011", False), ("GG", "CC", "11", True)])
    (chain,) = read_chains(path, validation=False)
    assert chain.tokens.tolist() == [11, 1, 21]
    assert chain.states.tolist() == [NONE, 0, 1]
    assert chain.resolved.tolist() == [0.0, 1.0, 1.0]
    assert len(read_chains(path, validation=True)) == 1


def test_every_chain_is_in_one_batch(tmp_path: Path) -> None:
    chains = read_chains(archive(tmp_path / "splits.zip", simple(9, False)), validation=False)
    sizes = [x.shape[0] for x, _, _, _ in batches(chains, np.random.default_rng(0))]
    assert sum(sizes) == len(chains)


def test_it_learns_what_residues_tell(tmp_path: Path) -> None:
    path = archive(tmp_path / "splits.zip", simple(24, False) + simple(8, True))
    network = train(read_chains(path, validation=False), read_chains(path, validation=True), epochs=25)
    assert accuracy(network, read_chains(path, validation=True)) > 0.9
    assert not network.training


@pytest.mark.parametrize("states", ["HH", "HHHHH"])
def test_lines_of_unlike_length_are_refused(tmp_path: Path, states: str) -> None:
    path = archive(tmp_path / "splits.zip", [("MAV", states, "111", False)])
    with pytest.raises(InputError, match=r"chain 'c0': 3 residues"):
        read_chains(path, validation=False)


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "splits.zip"
    other.write_text("no archive")
    with pytest.raises(InputError, match="FLIP"):
        read_chains(other, validation=False)

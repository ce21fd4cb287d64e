"""Training of the network of `nn.residue_profile` on structures: `python -m biorrn.training.residue_profile ZIP FILE`.

ZIP is splits.zip of the secondary-structure task of FLIP (Dallago et al. 2021, NeurIPS Datasets and Benchmarks): labels
of helix, strand and coil in sampled.fasta, sequences in sequences.fasta, resolved residues in mask.fasta.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.compute import prepare_libraries
from biorrn.base.errors import BiorrnError, InputError
from biorrn.base.files import atomic_path
from biorrn.nn.batch import valid
from biorrn.nn.residue_profile import STATES, Profile, ResidueProfile
from biorrn.sequences.alphabets import tokens
from biorrn.training.learner import warmup_cosine

if __name__ == "__main__":  # before torch
    prepare_libraries()

# isort: split


LETTERS = {"H": 0, "E": 1, "C": 2}  # label -> index in STATES
NONE = -100  # no label: not resolved in the crystal
RATE, DECAY = 3e-3, 0.01
PLANNED = 7  # epochs of the learning-rate schedule
# epochs trained: three predict structure better (Q3 0.715 instead of 0.702), but solubility not (R2 in cross-validation
# 0.490 instead of 0.495)
EPOCHS = 1
BATCH = 12_000  # padded residues
RESOLVED = 0.5  # weight of the second loss


@dataclass(frozen=True, slots=True)
class Chain:
    """One protein chain: tokens, states (NONE where unresolved) and 1 where resolved, each (T,)."""

    tokens: np.ndarray
    states: np.ndarray
    resolved: np.ndarray


def _records(archive: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """Return id -> (rest of the header, sequence)."""
    found = {}
    for entry in archive.read(f"splits/{name}.fasta").decode().split(">")[1:]:
        header, _, body = entry.partition("\n")
        key, _, rest = header.partition(" ")
        found[key] = (rest, "".join(body.split()))
    return found


def read_chains(path: str | Path, validation: bool) -> list[Chain]:
    """Return the training or the validation chains of the training set; the test set is not used.

    Raises
    ------
    InputError: not such an archive, or a chain whose three records differ in length.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            labels, sequences, masks = (_records(archive, name) for name in ("sampled", "sequences", "mask"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(path, f"is not splits.zip of FLIP's secondary structure: {error}") from error
    wanted = f"SET=train VALIDATION={validation}"
    chains = []
    for key, (header, states) in labels.items():
        if header != wanted:
            continue
        seen = np.frombuffer(masks[key][1].encode(), np.uint8) == ord("1")
        codes = tokens("".join(x if x in "ACDEFGHIKLMNPQRSTVWY" else "X" for x in sequences[key][1].upper()))
        if not len(codes) == len(states) == len(seen):
            raise InputError(path, f"chain '{key}': {len(codes)} residues, {len(states)} labels, {len(seen)} of mask")
        labelled = np.array([LETTERS.get(letter, NONE) for letter in states])
        chains.append(Chain(codes, np.where(seen, labelled, NONE), seen.astype(np.float32)))
    return chains


def batches(chains: list[Chain], generator: np.random.Generator | None) -> Iterator[tuple[Tensor, ...]]:
    """Yield x (B, T), lengths (B,), states (B, T) and resolved (B, T) of chains of similar lengths."""
    sizes = np.array([len(chain.tokens) for chain in chains], np.float64)
    order = np.argsort(sizes if generator is None else sizes + generator.uniform(0, 20, len(sizes)), kind="stable")
    groups: list[list[int]] = [[]]
    for index in order:
        if groups[-1] and (len(groups[-1]) + 1) * sizes[[*groups[-1], index]].max() > BATCH:
            groups.append([])
        groups[-1].append(int(index))
    for place in range(len(groups)) if generator is None else generator.permutation(len(groups)):
        group = [chains[index] for index in groups[place]]
        lengths = np.array([len(chain.tokens) for chain in group])
        shape = (len(group), int(lengths.max()))
        x, states, resolved = np.zeros(shape, np.int64), np.full(shape, NONE), np.zeros(shape, np.float32)
        for row, chain in enumerate(group):
            x[row, : lengths[row]], states[row, : lengths[row]] = chain.tokens, chain.states
            resolved[row, : lengths[row]] = chain.resolved
        yield tuple(torch.from_numpy(array) for array in (x, lengths, states, resolved))


def loss(profile: Profile, lengths: Tensor, states: Tensor, resolved: Tensor) -> Tensor:
    """Return the mean loss a residue: cross-entropy of the states plus that of being resolved."""
    inside = valid(lengths, states.shape[1])
    structure = F.cross_entropy(profile.states.transpose(1, 2), states, ignore_index=NONE)
    return structure + RESOLVED * F.binary_cross_entropy_with_logits(profile.resolved[inside], resolved[inside])


def accuracy(network: ResidueProfile, chains: list[Chain]) -> float:
    """Return the fraction of labelled residues with the correct state (Q3)."""
    right = known = 0
    with torch.inference_mode():
        for x, lengths, states, _ in batches(chains, None):
            there = states != NONE
            right += int((network.eval()(x, lengths).states.argmax(-1) == states)[there].sum())
            known += int(there.sum())
    return right / max(known, 1)


def train(chains: list[Chain], held_out: list[Chain], epochs: int = EPOCHS, seed: int = 0) -> ResidueProfile:
    """Return a trained network; prints the accuracy on the chains held out after each epoch."""
    torch.manual_seed(seed)
    generator, network = np.random.default_rng(seed), ResidueProfile()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    total = max(epochs, PLANNED) * sum(1 for _ in batches(chains, None))
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warmup_cosine(step, total, 0.07, 0.01))
    for epoch in range(epochs):
        for x, lengths, states, resolved in batches(chains, generator):
            optimiser.zero_grad()
            loss(network.train()(x, lengths), lengths, states, resolved).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            rate.step()
        print(f"epoch {epoch + 1}/{epochs}: Q3 {accuracy(network, held_out):.4f}", file=sys.stderr, flush=True)
    return network.eval()


def main() -> None:
    """Train on the archive that the first argument names and write the second."""
    from safetensors.torch import save_file

    source, target = sys.argv[1:]
    network = train(read_chains(source, validation=False), read_chains(source, validation=True))
    with atomic_path(target) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, temporary)


if __name__ == "__main__":
    try:
        main()
    except BiorrnError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error

assert len(LETTERS) == len(STATES)

"""From proteins to a table of k-mer vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biorrn.datasets.kmers import read_sequences, sentences
from biorrn.encoders.alphabets import RESIDUES
from biorrn.errors import ConfigError, InputError
from biorrn.files import sha256
from biorrn.readers.tables import Reading
from biorrn.readers.vectors import LONGEST, Vectors
from biorrn.training.word2vec import Epoch, train_word2vec


def embed_kmers(
    source: str | Path,
    *,
    k: int = 3,
    width: int = 64,
    window: int = 10,
    epochs: int = 5,
    min_count: int = 2,
    sequence_column: str = "sequence",
    split: str | None = None,
    seed: int = 0,
    after_epoch: Epoch = lambda epoch: None,
    reading: Reading | None = None,
) -> Vectors:
    """Return word2vec vectors of the k-mers of proteins, with what they were made from.

    The vector of unknown k-mers is the mean over the table, each k-mer counted as often as it came.

    Parameters
    ----------
    source : FASTA, table or prepared file; see `datasets.kmers.read_sequences`.
    k : int: residues a word; others as in `training.word2vec.train_word2vec`.
    reading : takes records and rows that cannot be used; without it, the first is an error.

    Raises
    ------
    ConfigError: a number out of range.
    InputError: the proteins cannot be read, or hold no k-mer `min_count` times.
    """
    limits = {"k": (k, LONGEST), "width": (width, 4096), "window": (window, 1000), "epochs": (epochs, 10_000)}
    for name, (found, most) in limits.items():
        if not 1 <= found <= most:
            raise ConfigError(f"--{name}: found {found}; allowed is 1 to {most}")
    if min_count < 1 or seed < 0:
        raise ConfigError(f"--min-count, --seed: found {min_count}, {seed}; allowed is 1 or more, and 0 or more")
    proteins = read_sequences(source, sequence_column, split, reading)
    corpus = list(sentences(proteins, k))
    if not corpus:
        raise InputError(source, f"no protein holds {k} known residues in a row")
    words, vectors, counts = train_word2vec(
        corpus, width=width, window=window, epochs=epochs, min_count=min_count, seed=seed, after_epoch=after_epoch
    )
    facts = {
        "method": "word2vec",
        "k": k,
        "width": width,
        "window": window,
        "epochs": epochs,
        "min_count": min_count,
        "seed": seed,
        "alphabet": RESIDUES,
        "source": {"path": str(source), "sha256": sha256(source) if Path(source).is_file() else "", "split": split},
        "proteins": len(proteins),
        "words": int(counts.sum()),
    }
    return Vectors(words, vectors, np.average(vectors, axis=0, weights=counts).astype(np.float32), facts)

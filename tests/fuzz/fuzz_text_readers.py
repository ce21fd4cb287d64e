"""What is fuzzed: for each reader how an input is made and laid down, and what a user would do with it."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_text_inputs as inputs
import fuzz_text_seeds as seeds

MOST = 10_000  # records that are taken of one input


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader: `make` gives the content of an input, `read` reads the file of that content to its end."""

    name: str  # of the file
    make: Callable[[random.Random], bytes]
    read: Callable[[Path], Any]


def take(records: Any) -> int:
    """Take the records of an iterator."""
    return sum(1 for _ in itertools.islice(records, MOST))


def of_text(seed: Callable[[random.Random], str]) -> Callable[[random.Random], bytes]:
    return lambda rng: inputs.text(rng, seed(rng))


def of_mapping(content: Callable[[], dict[str, Any]]) -> Callable[[random.Random], bytes]:
    def make(rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return inputs.text(rng, json.dumps(content(), indent=1))
        return json.dumps(inputs.mapping(rng, content())).encode()

    return make


def fasta(path: Path) -> None:
    from biorrn.sequences.fasta import read_fasta
    from biorrn.sequences.rows import read_proteins

    take(read_fasta(path, on_problem=lambda problem: None, on_repeat=lambda name: None))
    take(read_proteins(path))


def table(path: Path) -> None:
    from biorrn.sequences.tables.reader import column_names
    from biorrn.sequences.tables.targets import read_targets

    column_names(path)
    take(read_targets(path, ["y"], "id", "sequence", "weight", "split"))


def proteins(path: Path) -> None:
    from collections import Counter

    from biorrn.sequences.rows import protein_rows, read_proteins

    take(read_proteins(path))
    take(protein_rows(path, ["y"], Counter()))


def vectors(path: Path) -> None:
    from biorrn.sequences.vectors import read_vectors

    found = read_vectors(path)
    assert found.vectors.shape[0] == len(found.words)


def nucleotides(path: Path) -> None:
    from biorrn.sequences.fastq import read_bases

    take(read_bases(path))


def calls(path: Path) -> None:
    from biorrn.nanopore.readers.calls import read_sequences

    read_sequences(path)


def fastq(path: Path) -> None:
    from biorrn.nanopore.readers.calls import read_calls

    take(read_calls(path))


def reference(path: Path) -> None:
    from biorrn.nanopore.simulate.reads import read_genome
    from biorrn.sequences.fastq import reference_lengths

    reference_lengths(path)
    read_genome(path)


def option(path: Path) -> None:
    """Read the text of --mutations, and lay what it says on a protein."""
    from biorrn.sequences.records import ProteinRecord
    from biorrn.sequences.variants import apply_variants

    text = path.read_bytes().decode("utf-8", "replace")
    texts = [("--mutations", part) for part in text.split(",")[:MOST]]
    apply_variants(texts, [ProteinRecord("p", "MAKG")] * len(texts))


def mutation_file(path: Path) -> None:
    from biorrn.sequences.variants import parse_variant, variant_texts

    take(parse_variant(text) for _, text in variant_texts(str(path)))


def truth(path: Path) -> None:
    from biorrn.nanopore.labels.sources import read_truth

    take(read_truth(path))


def read_ids(path: Path) -> None:
    from biorrn.nanopore.basecall.intake import read_ids

    read_ids(path)


def pore_model(path: Path) -> None:
    from biorrn.nanopore.simulate.pore_model import read_pore_model

    read_pore_model(path)


@cache
def parquets() -> list[bytes]:
    """Return tables of several types, packings and encodings."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        "id": ["p0", "p1", "p2"],
        "sequence": ["MKV", "MAK", "ACD"],
        "y": [0.5, None, 1.5],
        "weight": [1.0, 1.0, 2.0],
    }
    plain = pa.table(rows | {"split": ["train", "test", "train"]})
    odd = plain.set_column(0, "id", pa.array([1, 2, 3])).append_column("list", pa.array([[1], [], None]))
    words = plain.set_column(1, "sequence", plain["sequence"].dictionary_encode())
    found = []
    for rows_of, packing in itertools.product((plain, odd, words), ("none", "snappy", "zstd", "gzip")):
        stream = io.BytesIO()
        pq.write_table(
            rows_of, stream, compression=packing, data_page_version=random.Random(packing).choice(("1.0", "2.0"))
        )
        found.append(stream.getvalue())
    return found


def make_npz(rng: random.Random) -> bytes:
    import numpy as np

    if rng.random() < 0.6:
        return inputs.octets(rng, seeds.npz(rng))
    odd = (
        np.array(["a", "bb"]),
        np.ones(3),
        np.ones((6, 0)),
        np.ones((2, 2, 2)),
        np.full((6, 3), np.nan),
        np.array(1j),
    )
    name = rng.choice(("words", "vectors", "unknown", "facts"))
    return seeds.npz(rng, **{name: rng.choice((*odd, np.array("[" * 3000), np.zeros((6, 1), "V4")))})


@cache
def vector_file() -> bytes:
    import numpy as np

    from biorrn.sequences.vectors import Vectors, write_vectors

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "v.safetensors")
        write_vectors(path, Vectors(list("ACD"), np.ones((3, 2), np.float32), np.zeros(2, np.float32), {"k": 1}))
        return path.read_bytes()


def make_table(rng: random.Random) -> bytes:
    return inputs.text(rng, seeds.table(rng, ","))


READERS: dict[str, Reader] = {
    "fasta": Reader("x.fasta", of_text(seeds.fasta), fasta),
    "table": Reader("x.txt", of_text(seeds.table), table),
    "proteins": Reader("x.csv", make_table, proteins),
    "parquet": Reader("x.parquet", lambda rng: inputs.octets(rng, rng.choice(parquets())), table),
    "vectors_text": Reader("x.txt", of_text(seeds.vectors), vectors),
    "vectors_npz": Reader("x.npz", make_npz, vectors),
    "vectors_safetensors": Reader("x.safetensors", lambda rng: inputs.safetensors(rng, vector_file()), vectors),
    "nucleotides": Reader("x.fastq", of_text(lambda rng: rng.choice((seeds.fastq, seeds.dna))(rng)), nucleotides),
    "calls": Reader("x.fastq", of_text(lambda rng: rng.choice((seeds.fastq, seeds.dna))(rng)), calls),
    "fastq": Reader("x.fastq", of_text(seeds.fastq), fastq),
    "reference": Reader("x.fasta", of_text(seeds.dna), reference),
    "mutations": Reader("x.txt", of_text(seeds.mutations), option),
    "mutation_file": Reader("x.txt", of_text(seeds.mutations), mutation_file),
    "truth": Reader("x.tsv", of_text(seeds.truth), truth),
    "read_ids": Reader("x.txt", of_text(seeds.read_ids), read_ids),
    "pore_model": Reader("x.tsv", lambda rng: inputs.text(rng, pore()), pore_model),
}


@cache
def pore() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return seeds.pore_model(Path(folder))

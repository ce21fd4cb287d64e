"""What is fuzzed of labels a residue, segments, archives of both, and pairs of sequences."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import fuzz_text_inputs as inputs
import fuzz_text_seeds as seeds
from fuzz_text_readers import Reader, of_text, take


def labels(path: Path) -> None:
    from biorrn.sequences.alphabets import THREE
    from biorrn.tagging.readers import rows_of_fasta

    chains = path.with_name("chains.fa")
    chains.write_text("".join(f">{name}\n{text}\n" for name, text in seeds.CHAINS.items()))
    take(rows_of_fasta(chains, path, None, THREE, "protein"))


def tag_table(path: Path) -> None:
    from biorrn.sequences.alphabets import THREE
    from biorrn.tagging.readers import rows_of_table

    take(rows_of_table(path, THREE, "protein", "labels", [], "sequence", "set"))
    take(rows_of_table(path, THREE, "protein", "labels", ["b"], "sequence", "set"))


def segments(path: Path) -> None:
    from biorrn.tagging.readers import rows_of_segments, segment_states

    genome = path.with_name("genome.fa")
    genome.write_text(">chr1\n" + "ACGTN" * 20 + "\n>chr2\n" + "ACGT" * 20 + "\n")
    states, found = segment_states(path, "none")
    take(rows_of_segments(genome, path, states, found, "dna"))


def archive(path: Path) -> None:
    from biorrn.sequences.alphabets import THREE
    from biorrn.tagging.readers import archive_files, rows_of_fasta

    files = {"mask": None} | archive_files(path)
    take(rows_of_fasta(files["sequences"], files["labels"], files["mask"], THREE, "protein"))


def make_archive(rng: random.Random) -> bytes:
    chains = "".join(f">{name}\n{text}\n" for name, text in seeds.CHAINS.items())
    masks = "".join(f">{name}\n{'1' * len(text)}\n" for name, text in seeds.CHAINS.items())
    parts = {"sequences": chains.encode(), "sampled": seeds.labels(rng).encode(), "mask": masks.encode()}
    if rng.random() < 0.4:
        name = rng.choice(list(parts))
        parts[name] = inputs.text(rng, parts[name].decode())
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as made:
        for name, data in parts.items():
            made.writestr(f"splits/{name}.fasta", data)
    return inputs.octets(rng, stream.getvalue()) if rng.random() < 0.6 else stream.getvalue()


def pairs(path: Path) -> None:
    from biorrn.translation.data import read_pair_table

    take(read_pair_table(path, id_column="id", split_column="set"))


def pair_fasta(path: Path) -> None:
    from biorrn.translation.data import read_pair_fasta

    targets = path.with_name("targets.fa")
    targets.write_text("".join(f">p{number}\nMKV\n" for number in range(5)))
    take(read_pair_fasta(path, targets))


TAGS: dict[str, Reader] = {
    "labels": Reader("x.fasta", of_text(seeds.labels), labels),
    "tag_table": Reader("x.csv", of_text(seeds.tag_table), tag_table),
    "segments": Reader("x.bed", of_text(seeds.segments), segments),
    "archive": Reader("x.zip", make_archive, archive),
    "pairs": Reader("x.tsv", of_text(seeds.pairs), pairs),
    "pair_fasta": Reader("x.fasta", of_text(seeds.dna), pair_fasta),
}

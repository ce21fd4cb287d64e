"""What is fuzzed: for each reader its sound files, how a damaged one is laid down, and what a user would do with it."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fuzz_signal_seeds as seeds
import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.nanopore.dataset import ChunkDataset
from biorrn.nanopore.labels.prepare import NAMES, import_chunks
from biorrn.nanopore.readers.calls import BamCalls, Moves
from biorrn.nanopore.readers.files import read_signal
from biorrn.sequences.prepared.files import ProteinFile, SignalFile
from biorrn.sequences.records import ReadCall
from biorrn.tagging.data import TagDataset, whole
from biorrn.tagging.prepare import TagFile, tag_summary
from biorrn.training.batches import ProteinDataset
from biorrn.translation.data import PairDataset, pair_summary

Lay = Callable[[Path, bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """One reader.

    Attributes
    ----------
    name : str: name of the damaged file.
    make : returns the sound files, as bytes.
    read : reads the damaged file to its end.
    lay : writes the damaged file.
    """

    name: str
    make: Callable[[Path], list[bytes]]
    read: Callable[[Path], None]
    lay: Lay = field(default=lambda path, content: path.write_bytes(content) and None)


def consume(reads: object) -> None:
    """Take every read of an iterator as a basecaller does: all in pA, the fields in a table."""
    from biorrn.nanopore.readers.summary import row

    for item in reads:  # type: ignore[attr-defined]
        record = item[0] if isinstance(item, tuple) else item
        record.picoamperes()
        row(record)


def signal(path: Path) -> None:
    """Read a file of reads; what is wrong with one read is passed over, as `biorrn basecall` does."""
    problems: list[BiorrnError] = []
    consume(read_signal(path, problems.append))
    if problems:
        raise problems[0]


def with_labels(path: Path) -> None:
    """Read Tombo's events of FAST5."""
    from biorrn.nanopore.readers.files import read_labels

    problems: list[BiorrnError] = []
    consume(read_labels(path, problems.append))
    if problems:
        raise problems[0]


def with_calls(path: Path) -> None:
    """Read Guppy's calls of FAST5."""
    from biorrn.nanopore.readers.files import read_calls

    problems: list[BiorrnError] = []
    consume(read_calls(path, problems.append))
    if problems:
        raise problems[0]


def calls(path: Path) -> None:
    """Read the calls of BAM, SAM or CRAM by id."""
    problem = None
    with BamCalls(path) as file:
        for name in file:
            try:
                for _ in file.calls(name):
                    pass
            except BiorrnError as error:
                problem = error
    if problem:
        raise problem


def moves(path: Path) -> None:
    """Place calls by PAF."""
    found = Moves(path)
    for name in seeds.IDS:
        if name in found:
            found.place(name, ReadCall(np.array([1, 2, 3, 4, 1, 2], np.uint8)))


def lay_arrays(path: Path, content: bytes) -> None:
    """Write the three files that a string holds, each after its length, as far as the lengths still say so."""
    path.mkdir(exist_ok=True)
    for name in NAMES:
        size = struct.unpack("<I", content[:4].ljust(4, b"\0"))[0]
        (path / name).write_bytes(content[4 : 4 + size])
        content = content[4 + size :]


def arrays(path: Path) -> None:
    """Import a folder of chunks."""
    import_chunks(path, path / "out.h5")


def prepared_signal(path: Path) -> None:
    """Read a prepared signal file as training does."""
    with SignalFile(path) as file:
        _ = file.sources, file.normaliser, file.sample_rate
        for name in ("read_id", "reference", "strand"):
            file.strings(name)
        for row in file.rows():
            file.signal(row)
            file.labels(row)
    for split in ("train", "valid"):
        data = ChunkDataset(path, split, 80)
        data.collate(data.tiles())
        data.collate(data.windows(0, 0, 4))


def prepared_proteins(path: Path) -> None:
    """Read a prepared protein file as training does."""
    with ProteinFile(path) as file:
        _ = file.sources, file.targets, file.strings("id")
        for row in file.rows():
            file.tokens(row)
    for split in ("train", "valid"):
        data = ProteinDataset(path, split)
        data.collate(range(len(data)))


def prepared_tags(path: Path) -> None:
    """Read a prepared file of tags as training and its account do."""
    with TagFile(path) as file:
        _ = file.sources, file.targets, file.tags, file.alphabet, file.strings("id")
        for row in file.rows():
            file.tokens(row)
            file.labels(row)
    tag_summary(path)
    for split in ("train", "valid"):
        data = TagDataset(path, split)
        data.collate(whole(data.lengths))


def prepared_pairs(path: Path) -> None:
    """Read a prepared file of pairs as training and its account do."""
    pair_summary(path)
    for split in ("train", "valid"):
        data = PairDataset(path, split)
        data.collate(range(len(data)))


TARGETS = {
    "fast5": Target("a.fast5", seeds.fast5, signal),
    "tombo": Target("a.fast5", seeds.old_fast5, with_labels),
    "guppy": Target("a.fast5", seeds.old_fast5, with_calls),
    "pod5": Target("a.pod5", seeds.pod5, signal),
    "slow5": Target("a.slow5", seeds.slow5, signal),
    "blow5": Target("a.blow5", seeds.blow5, signal),
    "sam": Target("a.sam", seeds.sam, calls),
    "bam": Target("a.bam", seeds.alignments("wb"), calls),
    "cram": Target("a.cram", seeds.alignments("wc"), calls),
    "paf": Target("a.paf", seeds.paf, moves),
    "npy": Target("chunks", seeds.arrays, arrays, lay_arrays),
    "prepared_signal": Target("a.h5", seeds.prepared_signal, prepared_signal),
    "prepared_proteins": Target("a.h5", seeds.prepared_proteins, prepared_proteins),
    "prepared_tags": Target("a.h5", seeds.prepared_tags, prepared_tags),
    "prepared_pairs": Target("a.h5", seeds.prepared_pairs, prepared_pairs),
}

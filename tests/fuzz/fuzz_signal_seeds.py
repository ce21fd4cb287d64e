"""Small sound files of every format, made by the package's own writers where it has one."""

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import h5py
import numpy as np

from biorrn.nanopore.readers.slow5 import END, FIELDS, HEAD, MAGIC
from biorrn.nanopore.simulate.writers import AUXILIARY, encode_svb_zd, open_signal
from biorrn.sequences.alphabets import RESIDUES, THREE, tokens
from biorrn.sequences.prepared import schema
from biorrn.sequences.prepared.files import protein_writer, signal_writer
from biorrn.sequences.records import SignalRecord
from biorrn.tagging.prepare import tag_writer
from biorrn.translation.data import pair_writer

IDS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
BASES = "ACGTTGCAAC"
SMALL = {axis: 64 for axis in ("samples", "residues", "bases", "rows", "rows+1")}  # elements a chunk: all structure


def records(samples: int = 200) -> Iterator[SignalRecord]:
    """Yield two reads."""
    rng = np.random.default_rng(3)
    for number, read_id in enumerate(IDS):
        raw = (500 + np.cumsum(rng.integers(-30, 31, samples + number))).astype(np.int16)
        values = {"channel": 7, "mux": 2, "read_number": number, "start_time": 5000 * number, "run_id": "run1"}
        yield SignalRecord(read_id, raw, 10.0, 0.18, 4000.0, **values, flow_cell="FAB1", kit="sqk-lsk109",
                           end_reason="signal_positive")  # fmt: skip


def written(folder: Path, suffix: str) -> bytes:
    """Return a file as `biorrn simulate` writes it."""
    path = folder / f"seed{suffix}"
    with open_signal(path) as write:
        for record in records():
            write(record)
    return path.read_bytes()


def old_fast5(folder: Path) -> list[bytes]:
    """Return files of a single read, with Tombo's events and Guppy's call: contiguous, zlib, and of the newest HDF5."""
    made = []
    for number, options in enumerate(({}, {"compression": "gzip", "shuffle": True, "fletcher32": True})):
        path = folder / f"old{number}.fast5"
        record = next(records())
        with h5py.File(path, "w", libver="latest" if number else None) as file:
            raw = file.create_group("Raw/Reads/Read_1")
            raw.create_dataset("Signal", data=record.raw, **options)
            raw.attrs.update({"read_id": np.bytes_(record.read_id), "read_number": 1, "start_mux": 2})
            raw.attrs["start_time"] = np.uint64(77)
            channel = file.create_group("UniqueGlobalKey/channel_id").attrs
            channel.update({"digitisation": 8192.0, "range": 1400.0, "offset": 5.0, "sampling_rate": 4000.0})
            channel["channel_number"] = "12"
            tracking = file.create_group("UniqueGlobalKey/tracking_id").attrs
            tracking.update({"run_id": "run1", "exp_start_time": "2020-10-27T05:41:50Z", "sample_id": "s"})
            file.create_group("UniqueGlobalKey/context_tags").attrs["sequencing_kit"] = "sqk-lsk109"
            _events(file.create_group("Analyses/RawGenomeCorrected_000/BaseCalled_template"), options)
            _call(file["Analyses"], options)
        made.append(path.read_bytes())
    return made


def _events(template: h5py.Group, options: dict) -> None:
    kinds = [("norm_mean", "f8"), ("norm_stdev", "f8"), ("start", "u4"), ("length", "u4"), ("base", "S1")]
    rows = [(0.1, 0.2, 8 * place, 8, letter.encode()) for place, letter in enumerate(BASES)]
    events = template.create_dataset("Events", data=np.array(rows, kinds), **options)
    events.attrs["read_start_rel_to_raw"] = 20
    template.attrs["status"] = "success"
    places = {"mapped_chrom": "lambda", "mapped_start": 100, "mapped_end": 110, "mapped_strand": "+"}
    template.create_group("Alignment").attrs.update(places)


def _call(analyses: h5py.Group, options: dict) -> None:
    group = analyses.create_group("Basecall_1D_000")
    template = group.create_group("BaseCalled_template")
    template["Fastq"] = f"@{IDS[0]}\n{BASES}\n+\n{'5' * len(BASES)}\n"
    moves = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0], np.uint8)
    template.create_dataset("Move", data=moves, **options)
    group.create_group("Summary/basecall_1d_template").attrs["block_stride"] = 10
    analyses.create_group("Segmentation_000/Summary/segmentation").attrs["first_sample_template"] = 15


def fast5(folder: Path) -> list[bytes]:
    """Return FAST5 of several reads by VBZ, and of single reads."""
    return [written(folder, ".fast5"), *old_fast5(folder)]


def pod5(folder: Path) -> list[bytes]:
    """Return POD5."""
    return [written(folder, ".pod5")]


def blow5(folder: Path) -> list[bytes]:
    """Return BLOW5 of every record and signal code."""
    return [written(folder, ".blow5"), *(binary(record, signal) for record in range(3) for signal in range(3))]


def header() -> bytes:
    """Return the lines that SLOW5 and BLOW5 share."""
    columns = (*FIELDS, *AUXILIARY)
    lines = ["@run_id\trun1", "@flow_cell_id\tFAB1", "@exp_start_time\t2020-10-27T05:41:50Z"]
    lines += ["#" + "\t".join(kind for _, kind in columns), "#" + "\t".join(name for name, _ in columns)]
    return ("\n".join(lines) + "\n").encode()


def binary(record_code: int, signal_code: int) -> bytes:
    """Return BLOW5 by the codes of its head."""
    import pyarrow

    pack = {0: bytes, 1: zlib.compress, 2: lambda body: pyarrow.compress(body, "zstd", asbytes=True)}[record_code]
    top = header()
    out = HEAD.pack(MAGIC, 1, 0, 0, record_code, 1, signal_code, b"\0" * 49, len(top)) + top
    for record in records(60):
        signal = {0: lambda raw: raw.tobytes(), 1: encode_svb_zd, 2: _ex_zd}[signal_code](record.raw)
        size = len(signal) // (2 if signal_code == 0 else 1)
        body = struct.pack("<H", len(record.read_id)) + record.read_id.encode()
        body += struct.pack("<IddddQ", 0, 8192.0, 10.0, 1400.0, 4000.0, size) + signal
        body += struct.pack("<Q", 1) + b"7" + struct.pack("<diBQB", 200.0, 1, 2, 5000, 4)
        packed = pack(body)
        out += struct.pack("<Q", len(packed)) + packed
    return out + END


def _ex_zd(raw: np.ndarray) -> bytes:
    """Return a signal by ex-zd whose only large difference is one, so that no block is needed."""
    steps = np.diff(raw.astype(np.int64))
    zigzag = (steps << 1) ^ (steps >> 63)
    first = int(raw[0]) << 1
    zigzag[5] = 255
    small = np.delete(zigzag, 5).astype(np.uint8).tobytes()
    return struct.pack("<BQBHIII", 0, len(raw), 0, first, 1, 5, 44) + small


def slow5(folder: Path) -> list[bytes]:
    """Return SLOW5."""
    text = b"#slow5_version\t1.0.0\n#num_read_groups\t1\n" + header()
    for record in records(60):
        signal = ",".join(map(str, record.raw.tolist()))
        cells = [record.read_id, 0, 8192, 10, 1400.5, 4000, len(record.raw), signal, 7, 200.5, 1, 2, 5000, 4]
        text += ("\t".join(map(str, cells)) + "\n").encode()
    return [text]


def sam(folder: Path) -> list[bytes]:
    """Return SAM: an aligned record with moves, a reversed one, one that is a part of a read."""
    moves = "mv:B:c,5," + ",".join("1011101111110")
    quals = "5" * len(BASES)
    rows = [
        f"{IDS[0]}\t0\tchr1\t101\t60\t2S6M2S\t*\t0\t0\t{BASES}\t{quals}\t{moves}\tts:i:15\tqs:f:12.5",
        f"{IDS[1]}\t16\tchr1\t301\t60\t4M1I3M1D2M\t*\t0\t0\t{BASES}\t*\t{moves}\tts:i:3\tqs:f:9",
        f"part\t4\t*\t0\t0\t*\t*\t0\t0\t{BASES}\t{quals}\t{moves}\tsp:i:40\tpi:Z:{IDS[1]}",
    ]
    head = "@HD\tVN:1.6\tSO:unknown\n@SQ\tSN:chr1\tLN:1000\n@RG\tID:g\tDS:basecall_model=dna\n"
    return [(head + "\n".join(rows) + "\n").encode()]


def alignments(mode: str) -> Callable[[Path], list[bytes]]:
    """Return what makes the same records as BAM ("wb") or CRAM ("wc")."""

    def make(folder: Path) -> list[bytes]:
        import pysam

        source, path = folder / "seed.sam", folder / "seed.out"
        source.write_bytes(sam(folder)[0])
        with pysam.AlignmentFile(str(source)) as file:
            options = [b"no_ref=1"] if mode == "wc" else None
            with pysam.AlignmentFile(str(path), mode, template=file, format_options=options) as out:
                for record in file:
                    out.write(record)
        return [path.read_bytes()]

    return make


def paf(folder: Path) -> list[bytes]:
    """Return PAF with moves, as squigualiser writes it."""
    row = [IDS[0], 200, 20, 45, "+", IDS[0], 6, 0, 6, 6, 6, 255, "sc:f:1.0", "ss:Z:10,5,2I3,2D5,"]
    other = [IDS[1], 200, 0, 12, "+", IDS[1], 6, 1, 4, 6, 6, 255, "ss:Z:4,4,4,"]
    return ["".join("\t".join(map(str, cells)) + "\n" for cells in (row, other)).encode()]


def arrays(folder: Path) -> list[bytes]:
    """Return a folder of chunks as one string: its three files one after the other, with their lengths before them."""
    rng = np.random.default_rng(5)
    content = rng.normal(size=(3, 40)).astype(np.float16), rng.integers(1, 5, (3, 9)).astype(np.uint8)
    out = b""
    for array in (*content, np.array([9, 5, 1], np.uint16)):
        file = io.BytesIO()
        np.save(file, array)
        out += struct.pack("<I", len(file.getvalue())) + file.getvalue()
    return [out]


def prepared_signal(folder: Path) -> list[bytes]:
    """Return a prepared file of signal."""
    path = folder / "signal.h5"
    rng = np.random.default_rng(1)
    with mock.patch.dict(schema.CHUNK, SMALL), signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for row in range(3):
            bases = rng.integers(1, 5, 30)
            place = ("chr1", 100, 130, "+")
            writer.add(f"r{row}", rng.normal(size=240), bases, np.arange(30) * 8, int(row == 2), *place)
        writer.flush()
        writer.file.attrs["sources"] = json.dumps({"a.fast5": "0" * 64})
    return [path.read_bytes()]


def prepared_proteins(folder: Path) -> list[bytes]:
    """Return a prepared file of proteins."""
    path = folder / "proteins.h5"
    targets = [{"name": "stability", "unit": "kcal/mol"}]
    with mock.patch.dict(schema.CHUNK, SMALL), protein_writer(path, targets) as writer:
        for row, letters in enumerate(("MKTAYIAK", "GGSLLV", "WQACD")):
            writer.add(f"p{row}", tokens(letters), [0.5 * row], split=row)
    return [path.read_bytes()]


def prepared_tags(folder: Path) -> list[bytes]:
    """Return prepared files of tags: states with probabilities by a model, and values."""
    found = []
    for kind in ("states", "values"):
        path = folder / f"{kind}.h5"
        states = THREE if kind == "states" else None
        with (
            mock.patch.dict(schema.CHUNK, SMALL),
            tag_writer(path, RESIDUES, states, [{"name": "b", "unit": "A2"}], states is not None) as writer,
        ):
            for row, letters in enumerate(("MKTAYIAK", "GGSLLV", "WQACD")):
                size = len(letters)
                tags = np.arange(size, dtype=np.uint8) % 3 if states else np.full((size, 1), 0.5, np.float32)
                said = np.full((size, 3), 85, np.uint8) if states and not row else None
                writer.add(f"p{row}", tokens(letters), tags, row, said)
        found.append(path.read_bytes())
    return found


def prepared_pairs(folder: Path) -> list[bytes]:
    """Return a prepared file of pairs."""
    path = folder / "pairs.h5"
    with mock.patch.dict(schema.CHUNK, SMALL), pair_writer(path, "dna", "residues") as writer:
        for row in range(3):
            writer.add(f"p{row}", np.arange(1, 5, dtype=np.uint8), np.arange(1, 4 + row, dtype=np.uint8), row)
    return [path.read_bytes()]

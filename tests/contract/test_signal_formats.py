"""The readers on real files of every version, compression and fault of the three formats; absent data skips."""

import itertools
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.readers.files import read_signal

ROOT = Path(__file__).resolve().parents[2]
FORMATS = Path(os.environ.get("BIORRN_SHARED_DATA", ROOT.parent / "shared" / "data")) / "nanopore" / "formats"
# without the data these lists are empty, and pytest skips what is parametrised over them
FILES = sorted(path.relative_to(FORMATS).as_posix() for path in FORMATS.glob("*/*.*5") if path.is_file())
DAMAGED = [name for name in FILES if "/err_" in name or "/no_fast5" in name or "_bad_" in name or "_trunc" in name]
UNUSUAL = [name for name in FILES if "/unusual_" in name]
GOOD = [name for name in FILES if name not in DAMAGED + UNUSUAL]

# Called damaged, and the same bytes as a file that has to be read.
SAME_BYTES = {
    "fast5_bad/err_fast5__a.fast5": "fast5_bad/unusual_fast5__a.fast5",
    "pod5_bad/err_pod5__z2.pod5": "pod5/z2.pod5",
}
# Called damaged, and made by converting a damaged FAST5 to POD5, whose columns have one type each: the conversion
# turned the value of the wrong type into one of the right type. What is left is a file that differs from a sound one
# in this field, by a legal value, and in the file's own UUID.
MENDED = {
    "pod5_bad/err_pod5__aux_field_wrong_type.pod5": {"channel": 4},
    "pod5_bad/err_pod5__primary_field_wrong_type.pod5": {"scale": 1440 / 8192},
}
REFUSED = [name for name in DAMAGED if name not in SAME_BYTES and name not in MENDED]
SOUND = "pod5_bad/unusual_pod5__new_attrib_in_raw.pod5"


@pytest.fixture(scope="session")
def formats(shared_data):
    """Return the folder of real files in every format, or skip."""
    return shared_data / "nanopore" / "formats"


@pytest.fixture
def biorrn(run_cli, capsys):
    """Return a function that runs the command line here and returns its exit code, stdout and errors."""

    def run(*arguments):
        code = run_cli(*arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, [line for line in err.splitlines() if line.startswith("biorrn: error: ")]

    return run


@pytest.mark.parametrize("name", GOOD)
def test_good_files_read(name, formats, biorrn):
    reads = list(read_signal(formats / name))
    assert reads
    assert all(read.raw.dtype == np.int16 and read.raw.ndim == 1 and len(read.raw) for read in reads)
    assert all(np.isfinite(read.picoamperes()).all() for read in reads if read.calibrated)
    code, out, errors = biorrn("reads", formats / name)
    assert (code, len(out.splitlines()), errors) == (0, len(reads) + 1, [])


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_files_are_one_line_and_exit_2(name, formats, biorrn):
    code, _, errors = biorrn("reads", formats / name)
    assert code == 2
    assert len(errors) == 1
    assert errors[0].startswith(f"biorrn: error: {formats / name}: ")


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_files_read_or_are_one_line(name, formats, biorrn):
    code, out, errors = biorrn("reads", formats / name)
    assert (code, len(errors)) in ((0, 0), (2, 1))
    assert code == 2 or len(out.splitlines()) > 1
    assert code == (2 if "offset_missing" in name else 0)  # the only one without a meaning in pA


@pytest.mark.parametrize(("name", "twin"), [pair for pair in SAME_BYTES.items() if pair[0] in FILES])
def test_a_file_called_damaged_that_is_a_good_one_reads(name, twin, formats):
    assert (formats / name).read_bytes() == (formats / twin).read_bytes()
    assert list(read_signal(formats / name))


@pytest.mark.parametrize(("name", "change"), [pair for pair in MENDED.items() if pair[0] in FILES])
def test_a_fault_that_pod5_cannot_hold_is_gone(name, change, formats):
    (sound,), (read,) = read_signal(formats / SOUND), read_signal(formats / name)
    assert np.array_equal(read.raw, sound.raw)
    assert replace(read, raw=None, source=Path()) == replace(sound, raw=None, source=Path(), **change)


@pytest.mark.parametrize("name", [name for name in [*SAME_BYTES, *MENDED, SOUND] if name in FILES])
def test_a_file_called_damaged_reads_sample_by_sample_as_its_own_library_has_it(name, formats):
    """No fault is left in it: pod5's own reader, or h5py, gives the same samples and the same picoamperes."""
    import h5py
    import pod5

    (read,) = read_signal(formats / name)
    assert read.faults == ()
    if name.endswith(".pod5"):
        with pod5.Reader(formats / name) as file:
            (other,) = file.reads()
            raw, current, read_id = other.signal, other.signal_pa, str(other.read_id)
            rest = (other.pore.channel, other.pore.well, other.read_number, other.start_sample)
    else:
        with h5py.File(formats / name) as file:
            (top,) = file.values()  # one read of a multi-read file
            group, channel = top["Raw"], top["channel_id"].attrs
            raw, read_id = group["Signal"][:], group.attrs["read_id"].decode()
            current = (raw + channel["offset"]) * channel["range"] / channel["digitisation"]
            numbers = (channel["channel_number"], *(group.attrs[key] for key in ("start_mux", "read_number")))
            rest = (*map(int, numbers), int(group.attrs["start_time"]))
    assert np.array_equal(read.raw, raw)
    assert len(raw) > 1000
    assert np.allclose(read.picoamperes(), current, rtol=1e-6, atol=1e-4)
    assert read.read_id == read_id
    assert (read.channel, read.mux, read.read_number, read.start_time) == rest


def test_zlib_vbz_and_vbz_v1_hold_the_same_samples(formats):
    zipped, vbz, vbz_v1 = (
        {read.read_id: read.raw for read in read_signal(formats / "fast5" / f"multi_fast5_{kind}.fast5")}
        for kind in ("zip", "vbz", "vbz_v1")
    )
    assert len(zipped) == 10
    assert zipped.keys() == vbz.keys() == vbz_v1.keys()
    for name, raw in zipped.items():
        assert np.array_equal(raw, vbz[name])
        assert np.array_equal(raw, vbz_v1[name])


def test_slow5_and_blow5_of_any_compression_hold_the_same_read(formats):
    paths = sorted((formats / "slow5").glob("one_fast5__*"))
    reads = [next(iter(read_signal(path))) for path in paths]
    assert len(reads) == 20
    for one, other in itertools.pairwise(reads):
        assert one.read_id == other.read_id
        assert np.array_equal(one.raw, other.raw)
        assert (one.offset, one.scale, one.sample_rate) == (other.offset, other.scale, other.sample_rate)


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("slow5/")])
def test_slow5_agrees_with_the_c_library(name, formats):
    import pyslow5

    file = pyslow5.Open(str(formats / name), "r")
    logging.getLogger("pyslow5").handlers.clear()
    logging.getLogger("pyslow5").disabled = True  # it warns where a file has no auxiliary fields
    reads = list(read_signal(formats / name))
    for read, other in itertools.zip_longest(reads, file.seq_reads(aux="all")):
        assert read.read_id == other["read_id"]
        assert np.array_equal(read.raw, other["signal"])
        assert (read.offset, read.sample_rate) == (other["offset"], other["sampling_rate"])
        assert read.scale == other["range"] / other["digitisation"]
        assert read.channel == (int(other["channel_number"]) if other.get("channel_number") else None)
        for ours, theirs in (("mux", "start_mux"), ("read_number", "read_number"), ("start_time", "start_time")):
            assert getattr(read, ours) == other.get(theirs)


@pytest.mark.parametrize(
    ("fast5", "pod5"),
    [
        ("fast5_bad/unusual_fast5__a.fast5", SOUND),
        ("fast5_bad/unusual_fast5__pore_set.fast5", "pod5_bad/unusual_pod5__pore_set.pod5"),
    ],
)
def test_fast5_and_pod5_of_one_read_agree(fast5, pod5, formats):
    (one,), (other,) = read_signal(formats / fast5), read_signal(formats / pod5)
    assert np.array_equal(one.raw, other.raw)
    assert np.allclose(one.picoamperes(), other.picoamperes(), rtol=1e-6)
    for name in ("read_id", "sample_rate", "channel", "mux", "read_number", "start_time", "run_id", "flow_cell", "kit"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize(
    "name",
    [
        "fast5/single_fast5_v1.0.fast5",
        "fast5/multi_fast5_v1.0.fast5",
        "pod5/b1.pod5",
        "slow5/one_fast5__exp_1_lossless.slow5",
        "slow5/quickcheck__zlib_svb-zd_multi_rg_v0.2.0_good.blow5",
    ],
)
def test_a_file_cut_anywhere_is_one_clear_error(name, formats, tmp_path):
    content = (formats / name).read_bytes()
    cut = tmp_path / Path(name).name
    for length in np.linspace(0, len(content) - 1, 25).astype(int):
        cut.write_bytes(content[:length])
        with pytest.raises(InputError, match=f"^{cut}: [^\n]+$"):
            list(read_signal(cut))


def test_labels_of_real_reads_are_the_reference(shared_data):
    from biorrn.nanopore.readers.fast5 import read_labels

    lines = (shared_data / "nanopore" / "lambda_r941" / "reference.fasta").read_text().splitlines()
    reference = "".join(line for line in lines if not line.startswith(">")).upper()
    paths = sorted((shared_data / "nanopore" / "lambda_r941" / "fast5").glob("*.fast5"))[:4]
    for path in paths:
        ((read, labels),) = read_labels(path)
        bases = "".join("-ACGT"[base] for base in labels.bases)
        span = reference[labels.ref_start : labels.ref_end]
        if labels.strand == "-":
            span = span[::-1].translate(str.maketrans("ACGT", "TGCA"))
        assert bases == span
        assert labels.end <= len(read.raw)
        assert (np.diff(labels.starts) > 0).all()

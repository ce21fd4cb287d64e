"""Archives of torch read without torch: the numbers are torch's, and nothing else of a file is ever used."""

import contextlib
import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import InputError
from biorrn.nanopore.models.archives import read_tensor, read_tensors


def test_numbers_are_those_of_torch(tmp_path: Path) -> None:
    x = torch.arange(24.0).reshape(4, 6)
    given = {
        "plain": x,
        "turned": x.t()[1:],
        "part": x[2:, ::2],
        "parameter": torch.nn.Parameter(x[2]),
        "half": x.half(),
        "bfloat16": x.bfloat16(),
        "double": x.double(),
        "count": torch.tensor(3),
        "empty": torch.zeros(0, 4),
    }
    torch.save(given, tmp_path / "weights_1.tar")
    found = read_tensors(tmp_path / "weights_1.tar")
    assert list(found) == list(given)
    for name, tensor in given.items():
        assert found[name].shape == tuple(tensor.shape)
        assert (found[name].astype(float) == tensor.detach().double().numpy()).all(), name


def test_state_dict_of_a_module(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 5), torch.nn.BatchNorm1d(4), torch.nn.LSTM(4, 4))
    torch.save(module.state_dict(), tmp_path / "weights_1.tar")
    found = read_tensors(tmp_path / "weights_1.tar")
    assert list(found) == list(module.state_dict())
    assert all((found[name] == tensor.numpy()).all() for name, tensor in module.state_dict().items())


def saved(tensor: torch.Tensor, path: Path) -> None:
    """Write a .tensor file as Dorado's models have them."""
    module = torch.nn.Module()
    module.register_parameter("0", torch.nn.Parameter(tensor))
    torch.jit.script(module).save(str(path))


def test_tensor_of_torchscript(tmp_path: Path) -> None:
    saved(torch.arange(6.0).reshape(2, 3), tmp_path / "0.conv.bias.tensor")
    assert read_tensor(tmp_path / "0.conv.bias.tensor").tolist() == [[0, 1, 2], [3, 4, 5]]


class Evil:
    """An object whose pickle calls a function."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights_1.tar"
    torch.save({"weight": Evil(tmp_path / "made")}, path)
    with pytest.raises(InputError, match=r"weights_1.tar: its pickle names '.*mkdir', which is no part of a tensor"):
        read_tensors(path)
    assert not (tmp_path / "made").exists()


def test_an_old_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights_1.tar"
    torch.save({"weight": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"is a bare pickle, as torch wrote before version 1\.6"):
        read_tensors(path)
    path.write_text("[model]\n")
    with pytest.raises(InputError, match="is not a zip archive of torch"):
        read_tensors(path)


def rewritten(path: Path, records: dict[str, bytes], change: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (records | change).items():
            archive.writestr(name, data)


STORAGE = object()


def forged(held: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """Return the pickle of one tensor with sizes of choice."""

    class Saver(pickle.Pickler):
        def persistent_id(self, item: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", held) if item is STORAGE else None

    class Rebuilt:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return torch._utils._rebuild_tensor_v2, (STORAGE, offset, shape, strides, False, {})

    stream = io.BytesIO()
    Saver(stream, 2).dump({"weight": Rebuilt()})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("held", "shape", "strides", "offset", "message"),
    [
        (4, (1 << 20, 1 << 20), (0, 0), 0, "in a storage of 4 elements"),
        (4, (2, 2), (2, 2), 0, "in a storage of 4 elements"),
        (4, (4,), (1,), 1, "in a storage of 4 elements"),
        (4, (4,), (-1,), 3, "allowed are numbers"),
        (1 << 40, (1,), (1,), 0, "has a storage of 1099511627776 elements"),
        (5, (5,), (1,), 0, "has 16 bytes; expected are 20"),
        (3, (3,), (1,), 0, "expected are at most 12"),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(
    tmp_path: Path, held: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, message: str
) -> None:
    path = tmp_path / "weights_1.tar"
    rewritten(path, {"a/data.pkl": forged(held, shape, strides, offset), "a/data/0": bytes(16)}, {})
    with pytest.raises(InputError, match=message):
        read_tensors(path)
    rewritten(path, {"a/data.pkl": forged(4, (2, 2), (2, 1)), "a/data/0": np.arange(4, dtype="<f4").tobytes()}, {})
    assert read_tensors(path)["weight"].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",
        b"\x80\x02}()" + b"\x85" * 300_000 + b"K\x01u.",
        b"\x80\x02ccollections\nOrderedDict\n](])" + b"\x85" * 300_000 + b"aK\x01ae\x85R.",
    ],
    ids=["item", "items", "pairs"],
)
def test_keys_that_are_not_names_are_refused(tmp_path: Path, pickled: bytes) -> None:
    """The hash of a tuple that is nested so deeply would end the process."""
    rewritten(tmp_path / "weights_1.tar", {"a/data.pkl": pickled}, {})
    with pytest.raises(InputError, match="a dictionary whose keys are not names"):
        read_tensors(tmp_path / "weights_1.tar")


def test_damaged_archives_end_in_the_named_error(tmp_path: Path) -> None:
    path = tmp_path / "weights_1.tar"
    torch.save({"weight": torch.randn(6, 5), "bias": torch.randn(5)}, path)
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
        with contextlib.suppress(InputError):
            assert all(isinstance(values, np.ndarray) for values in read_tensors(path).values())


def test_damaged_pickles_end_in_the_named_error(tmp_path: Path) -> None:
    """The pickle alone, without the checksums of the zip archive, which find most damage."""
    path = tmp_path / "weights_1.tar"
    torch.save({"weight": torch.randn(6, 5), "bias": torch.nn.Parameter(torch.randn(5))}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in records if name.endswith("data.pkl"))
    rng = random.Random(1)
    for _ in range(600):
        data = bytearray(records[name])
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        rewritten(path, records, {name: bytes(data)})
        with contextlib.suppress(InputError):
            read_tensors(path)

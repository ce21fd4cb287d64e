"""Tensors of torch archives (.tensor of Dorado, .tar of Bonito), read as data with numpy; no pickle is executed.

Both are zip archives: `data.pkl`, a pickle, says which tensors there are, and each record `data/<key>` holds the
numbers of one storage. `torch.save` pickles a dictionary of tensors; TorchScript pickles a module whose only attribute
is one. Such pickles use few operations and few names. `_Reader` follows these operations over plain records of what
they would build, and refuses every other operation and name, so that nothing of a file is ever imported or called.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from biorrn.base.errors import Fault, InputError, faults

MOST = 1 << 28  # elements of all tensors of an archive; the largest networks of LSTM layers have a quarter
LONGEST = 1 << 20  # bytes of the pickle; those of large networks have 100,000
DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, ValueError, IndexError, KeyError, TypeError, AttributeError,
          OverflowError, EOFError, RuntimeError, NotImplementedError, UnicodeError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that the pickle imports, as text."""

    text: str


@dataclass(slots=True)
class _Made:
    """A module: the name of its class and its attributes."""

    name: str
    state: Any = None


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor as its pickle describes it: type and key of the storage, elements of the storage, offset and layout."""

    kind: str
    key: str
    held: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_REBUILD, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
_ORDERED = "collections.OrderedDict"
# storage -> type of its elements; bfloat16 is read as its bits
_STORAGES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
_MARK = object()


class _Reader:
    """Follows the operations of a pickle; see the module. `Fault` on an operation or name that no tensor needs."""

    def __init__(self, data: bytes) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.data = data

    def value(self) -> Any:
        """Return what the pickle describes."""
        for operation, argument, _ in pickletools.genops(self.data):
            if operation.name == "STOP":
                return self.stack.pop()
            self._follow(operation.name, argument)
        raise Fault("damaged: its pickle has no end")

    def _follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _GIVEN:
            stack.append(argument)
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "GLOBAL":
            stack.append(_known(argument.replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_known(f"{module}.{attribute}"))
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            if len(stack) < count:
                raise Fault("damaged: its pickle takes more than it has")
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name == "APPEND":
            value = stack.pop()
            self._top(list).append(value)
        elif name == "APPENDS":
            values = self._marked()
            self._top(list).extend(values)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._top(dict)[_key(key)] = value
        elif name == "SETITEMS":
            values = self._marked()
            self._top(dict).update(zip(map(_key, values[::2]), values[1::2], strict=True))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "NEWOBJ":
            stack.pop()
            stack.append(_module(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_reduced(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], _Made):
                stack[-1].state = state  # of a dictionary it is the versions of its modules
        else:
            raise Fault(f"its pickle has the operation {name}, which tensors do not need; nothing of it was executed")

    def _marked(self) -> list[Any]:
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _MARK:
            place -= 1
        if place < 0:
            raise Fault("damaged: its pickle has no mark where it needs one")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise Fault("damaged: its pickle fills something that is not a list or dictionary")
        return self.stack[-1]


_CONSTANTS: dict[str, Any] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_GIVEN = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE")


def _key(key: Any) -> str:
    """Return a key of a dictionary; not a tuple, whose hash, where it is nested deeply, ends the process."""
    if type(key) is not str:
        raise Fault("damaged: its pickle has a dictionary whose keys are not names")
    return key


def _known(name: str) -> _Name:
    if name not in (_REBUILD, _PARAMETER, _ORDERED, *_STORAGES) and not name.startswith("__torch__."):
        raise Fault(f"its pickle names '{name[:80]}', which is no part of a tensor; nothing of it was executed")
    return _Name(name)


def _module(name: Any) -> _Made:
    if not isinstance(name, _Name) or not name.text.startswith("__torch__."):
        raise Fault("damaged: its pickle makes an object that is no module")
    return _Made(name.text)


def _storage(found: Any) -> tuple[str, str, int]:
    """Return type, key and number of elements of a storage."""
    kind, key, held = found[1], found[2], found[4]
    if found[0] != "storage" or not isinstance(kind, _Name) or kind.text not in _STORAGES:
        raise Fault("damaged: its pickle has no storage where it needs one")
    if type(held) is not int or not 0 <= held <= MOST or not isinstance(key, str):
        raise Fault(f"has a storage of {held!r:.40} elements; allowed is 0 to {MOST:,}")
    return kind.text, key, held


def _reduced(name: Any, arguments: Any) -> Any:
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise Fault("damaged: its pickle calls something that has no name")
    if name.text == _ORDERED:
        return {_key(key): value for key, value in arguments[0]} if arguments else {}
    if name.text == _PARAMETER:
        return arguments[0]
    if name.text != _REBUILD:
        raise Fault(f"its pickle calls '{name.text[:80]}', which is no tensor; nothing of it was executed")
    (kind, key, held), offset, shape, strides = arguments[:4]
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(number) is int and 0 <= number <= MOST for number in numbers):
        raise Fault(f"has a tensor of shape {shape!r:.60}; allowed are numbers from 0 to {MOST:,}")
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if math.prod(shape) > held or (math.prod(shape) and last >= held):
        raise Fault(f"has a tensor of shape {shape!r:.60} in a storage of {held:,} elements")
    return _Tensor(kind, key, held, offset, tuple(shape), tuple(strides))


class _Archive:
    """An open zip archive of torch, whose records lie below one folder."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        found = [name for name in self.sizes if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(found) != 1:
            raise Fault("is not an archive of torch: it has no record data.pkl")
        self.root = found[0].removesuffix("data.pkl")
        if self.root + "byteorder" in self.sizes and self.record("byteorder", 16) != b"little":
            raise Fault("holds numbers of another byte order than little-endian, which is not supported")

    def record(self, name: str, most: int) -> bytes:
        """Return the bytes of a record of at most `most` bytes."""
        size = self.sizes.get(self.root + name)
        if size is None:
            raise Fault(f"damaged: its record '{name[:80]}' is missing")
        if size > most:
            raise Fault(f"has a record '{name[:80]}' of {size:,} bytes; expected are at most {most:,}")
        with self.archive.open(self.root + name) as stream:
            return stream.read(most + 1)[: most + 1]  # a wrong size in the directory cannot make it more

    def tensor(self, found: _Tensor) -> np.ndarray:
        """Return the values of a tensor; bfloat16 as float32."""
        kind = _STORAGES[found.kind]
        bits = np.dtype("<u2" if kind == "bfloat16" else kind)
        data = self.record(f"data/{found.key}", found.held * bits.itemsize)
        if len(data) != found.held * bits.itemsize:
            raise Fault(f"damaged: its record 'data/{found.key[:40]}' has {len(data):,} bytes; expected are "
                        f"{found.held * bits.itemsize:,}")  # fmt: skip
        flat = np.frombuffer(data, bits)[found.offset :]
        steps = [step * bits.itemsize for step in found.strides]
        values = np.lib.stride_tricks.as_strided(flat, found.shape, steps).copy()
        return (values.astype(np.uint32) << 16).view(np.float32) if kind == "bfloat16" else values


def _opened(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as stream:
        head = stream.read(4)
    if head != b"PK\x03\x04":
        _refuse(head)
    with zipfile.ZipFile(path) as file:
        archive = _Archive(file)
        value = _Reader(archive.record("data.pkl", LONGEST)).value()
        if isinstance(value, _Made):
            value = value.state
        if not isinstance(value, dict):
            raise Fault("holds no dictionary of tensors")
        tensors = {str(name): found for name, found in value.items() if isinstance(found, _Tensor)}
        if sum(found.held for found in tensors.values()) > MOST:
            raise Fault(f"asks for more than {MOST:,} numbers, which is the limit")
        return {name: archive.tensor(found) for name, found in tensors.items()}


def _refuse(head: bytes) -> NoReturn:
    if head[:1] == b"\x80":
        raise Fault("is a bare pickle, as torch wrote before version 1.6, and is not read; save it again as a zip "
                    "archive with torch.save")  # fmt: skip
    raise Fault("is not a zip archive of torch")


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Return the tensors of an archive by name, in the order of the file; bfloat16 as float32.

    Raises
    ------
    InputError: not an archive of torch, damaged, larger than `MOST`, or its pickle holds more than tensors.
    """
    with faults(path, None, *DAMAGE):
        return _opened(Path(path))


def read_tensor(path: str | Path) -> np.ndarray:
    """Return the one tensor of an archive; see `read_tensors`."""
    found = read_tensors(path)
    if len(found) != 1:
        raise InputError(path, f"holds {len(found)} tensors; expected is one")
    return next(iter(found.values()))

"""Nanopore kits: sequences of adapters, primers and barcodes, from `kits.toml` or a TOML file of the user."""

from __future__ import annotations

import functools
import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import one_line, read_text
from biorrn.base.lookup import lookup
from biorrn.config.network import Closed
from biorrn.config.yaml import explain
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.chemistry import code, stated_kit

_NAME = re.compile("[A-Za-z0-9._-]+")  # it becomes part of tags
_FILE = re.compile(r"(.+\.toml)(?::(.+))?")
_SHARED = 12  # bases by which a flank is known in an adapter
_BASES = re.compile("[ACGT]+")
_AMBIGUOUS = re.compile("[ACGTRYSWKMBDHVN]+")


@dataclass(frozen=True, slots=True)
class Kit:
    """The sequences of a kit, 5' to 3' as at the start of a read; at its end stands the reverse complement.

    Attributes
    ----------
    name : str.
    barcodes : name -> bases, such as barcode01; empty for a kit without.
    flanks : what stands before and behind the barcode, as pairs: several where the primers of both ends differ.
    both : bool: the barcode stands at both ends of a read, not at its start alone.
    adapters, primers : tuple of str: the last letters stand next to the insert.
    others : as `barcodes`: what stands between the second pair of flanks; None: the same.
    """

    name: str
    barcodes: Mapping[str, str]
    flanks: tuple[tuple[str, str], ...]
    both: bool
    adapters: tuple[str, ...]
    primers: tuple[str, ...]
    others: Mapping[str, str] | None = None

    def pairs(self) -> list[tuple[str, Mapping[str, str], str]]:
        """Return what stands before the barcode, the barcodes, and what stands behind, for each pair of flanks."""
        held = [self.barcodes] * len(self.flanks) if self.others is None else [self.barcodes, self.others]
        return [(before, each, after) for (before, after), each in zip(self.flanks, held, strict=True)]

    def label(self, barcode: str) -> str:
        """Return the name of a barcode in tags and read groups: KIT_barcode01; "" for none."""
        return f"{self.name}_{barcode}" if barcode else ""

    def barcode(self, label: str) -> str:
        """Return the barcode that a label names; "" for one of another kit."""
        kit, _, name = label.rpartition("_")
        return name if kit == self.name and name in self.barcodes else ""

    def bases(self, barcode: str) -> str:
        """Return the bases of a barcode as SAM has them: where both ends differ, joined by a hyphen; "" for none."""
        held = [self.barcodes, *([] if self.others is None else [self.others])]
        return "-".join(each[barcode] for each in held if barcode in each)

    def stamp(self) -> str:
        """Return the name with a checksum of the sequences, which a file of the user may change."""
        return f"{self.name} ({hashlib.sha256(repr(self).encode()).hexdigest()[:12]})"

    def outside(self) -> Kit:
        """Return what may be cut off reads that keep their barcodes: the adapters that stand before them."""
        if not self.barcodes:
            return self
        behind = [after[-_SHARED:] for _, after in self.flanks if after]
        kept = tuple(each for each in self.adapters if not any(after in each for after in behind))
        return Kit(self.name, {}, (), self.both, kept, ())


class _Set(Closed):
    sequences: list[str] | None = None
    of: str | None = None
    turned: tuple[int, int] | None = None  # numbers, from 1, both included
    other: dict[str, str] = Field({})  # number -> bases


class _Span(Closed):
    set: str
    first: int = Field(1, ge=1, alias="from")
    last: int | None = Field(None, ge=1, alias="to")


class _Kit(Closed):
    names: list[str] = Field(min_length=1)
    barcodes: _Span | None = None
    others: _Span | None = None
    flanks: list[tuple[str, str]] = Field([])
    ends: Literal["both", "start"] = "both"
    adapters: list[str] = Field([])
    primers: list[str] = Field([])


class _File(Closed):
    sets: dict[str, _Set] = Field({})
    adapters: dict[str, list[str]] = Field({})
    primers: dict[str, list[str]] = Field({})
    kits: list[_Kit] = Field(min_length=1)


def find_kit(name: str) -> Kit:
    """Return a kit by its name, such as SQK-RBK114-24, or by FILE.toml or FILE.toml:NAME.

    Raises
    ------
    ConfigError: the name is unknown, or the file holds several kits and none is named.
    InputError: the file is not TOML, has an unknown key, or a sequence is not of bases.

    >>> find_kit("sqk-nbd114-24").barcodes["barcode01"]
    'CACAAAGACACCGACAACTTTCTT'
    """
    given = _FILE.fullmatch(name)
    if given is None:
        return lookup(_shipped(), code(name), "--kit:")
    file = Path(given[1])
    known = _kits(read_text(file), file)
    if given[2]:
        return lookup(known, given[2], f"{file}: kit")
    if len(known) > 1:
        raise ConfigError(f"{file}: holds {len(known)} kits; name one, as in --kit {file}:{next(iter(known))}")
    return next(iter(known.values()))


def kit_of(tags: Mapping[str, str]) -> tuple[str, Kit | None]:
    """Return the name of the kit in the metadata of a read, "" for none, and the kit; None: its sequences are unknown.

    Parameters
    ----------
    tags : from `chemistry.run_tags`.

    >>> name, kit = kit_of({"sequencing_kit": "sqk_lsk114-260"})
    >>> name, kit.adapters[0][-9:]
    ('SQK-LSK114-260', 'CGTATTGCT')
    """
    name = stated_kit(tags)
    return name, _shipped().get(name.removesuffix("-260"))  # the speed, where the device offered two


def kit_names() -> list[str]:
    """Return the names of the kits that are known without a file, in alphabetic order."""
    return sorted(_shipped())


@functools.cache
def _shipped() -> dict[str, Kit]:
    place = resources.files("biorrn.nanopore.reads") / "kits.toml"
    return _kits(place.read_text(encoding="utf-8"), Path("kits.toml"))


def _kits(text: str, source: Path) -> dict[str, Kit]:
    try:
        held = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(source, f"is not TOML: {error}") from error
    except ValidationError as error:
        raise InputError(source, explain(error, _File)) from error
    found: dict[str, Kit] = {}
    for kit in held.kits:
        for name in kit.names:
            if not _NAME.fullmatch(name):
                raise InputError(source, f"kit '{one_line(name):.40}': allowed in a name are letters, digits and ._-")
            if name in found:
                raise InputError(source, "the name is given twice", name)
            found[name] = _kit(name, kit, held, source)
    return found


def _kit(name: str, kit: _Kit, held: _File, source: Path) -> Kit:
    spans = [span for span in (kit.barcodes, kit.others) if span is not None]
    if kit.others is not None and (kit.barcodes is None or len(kit.flanks) != 2):
        raise InputError(source, "has 'others' but no 'barcodes', or not two pairs of flanks", name)
    if spans and not kit.flanks:
        raise InputError(source, "has barcodes but no 'flanks'", name)
    barcodes, *others = [_numbered(span, name, held, source) for span in spans] or [{}]
    if others and others[0].keys() != barcodes.keys():
        raise InputError(source, "'others' has not as many barcodes as 'barcodes', with the same numbers", name)
    extras = []
    for what, names in (("adapters", kit.adapters), ("primers", kit.primers)):
        table: dict[str, list[str]] = getattr(held, what)
        listed = [bases for one in names for bases in lookup(table, one, f"{source}: kit '{name}': {what}")]
        extras.append(tuple(_checked(bases, _AMBIGUOUS, name, source) for bases in listed))
    flanks = tuple((_flank(one, name, source), _flank(other, name, source)) for one, other in kit.flanks)
    adapters, primers = extras
    return Kit(name, barcodes, flanks, kit.ends == "both", adapters, primers, others[0] if others else None)


def _numbered(span: _Span, name: str, held: _File, source: Path) -> dict[str, str]:
    """Return the barcodes of a span of a set by name."""
    every = _sequences(span.set, held, source)
    last = span.last or len(every)
    if not span.first <= last <= len(every):
        found = f"{span.first} to {last}"
        raise InputError(source, f"barcodes {found}: set '{span.set}' has 1 to {len(every)}", name)
    barcodes = {f"barcode{number:02d}": every[number - 1] for number in range(span.first, last + 1)}
    if len(set(barcodes.values())) < len(barcodes):
        raise InputError(source, "two of its barcodes are equal", name)
    return barcodes


def _sequences(name: str, held: _File, source: Path) -> list[str]:
    """Return the barcodes of a set."""
    wanted = lookup(held.sets, name, f"{source}: set")
    if (wanted.sequences is None) == (wanted.of is None):
        raise InputError(source, "give 'sequences', or 'of' another set", name)
    if wanted.of is not None and lookup(held.sets, wanted.of, f"{source}: set").sequences is None:
        raise InputError(source, f"'of' names '{wanted.of}', which has no sequences of its own", name)
    bases = list((held.sets[wanted.of] if wanted.of is not None else wanted).sequences or ())
    if not bases:
        raise InputError(source, "its set has no sequences", name)
    if wanted.turned is not None:
        first, last = wanted.turned
        if not 1 <= first <= last <= len(bases):
            raise InputError(source, f"'turned' has {first} to {last}; allowed is 1 to {len(bases)}", name)
        bases[first - 1 : last] = [reverse_complement(each) for each in bases[first - 1 : last]]
    for number, each in wanted.other.items():
        if not number.isdecimal() or not 1 <= int(number) <= len(bases):
            raise InputError(source, f"'other' has the number '{number}'; allowed is 1 to {len(bases)}", name)
        bases[int(number) - 1] = each
    return [_checked(each, _BASES, name, source) for each in bases]


def _flank(bases: str, name: str, source: Path) -> str:
    return _checked(bases, _AMBIGUOUS, name, source) if bases else ""


def _checked(bases: str, allowed: re.Pattern[str], name: str, source: Path) -> str:
    upper = bases.upper()
    if not allowed.fullmatch(upper):
        raise InputError(source, f"sequence '{bases:.40}': allowed are the letters {allowed.pattern[1:-2]}", name)
    return upper

"""Figures inside the report: embedded as `data:` images, each with its size and the name of a download.

An SVG in an image cannot run a script, so that a figure from a file is as harmless as the escaped text around it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from biorrn.errors import InputError
from biorrn.evaluation.figures import Drawing, as_bytes, slug
from biorrn.files import inside

BIG = 200_000  # bytes of an SVG above which the PNG beside it is embedded instead
# what content of another form than expected raises: JSON holds integers of any size, and what is nested deeply
UNUSABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
TYPES = {"svg": "image/svg+xml", "png": "image/png"}
HEADS = {"svg": b"<svg", "png": b"\x89PNG\r\n\x1a\n"}  # what is near the beginning of such a file
LARGEST = 32_000_000  # bytes of a figure
LETTERS = 80  # of the name of a download
SIZE = re.compile(rb'<svg[^>]*?\bwidth="([0-9.]+)(?:pt|px)?"[^>]*?\bheight="([0-9.]+)(?:pt|px)?"')
MATPLOTLIB = b"Matplotlib v"  # how its SVGs name their maker
# what matplotlib writes and nobody sees: prolog, metadata, comments, blanks between elements
UNSEEN = re.compile(rb"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->|(?<=>)\s+(?=<)", re.DOTALL)
# coordinates: a hundredth of a point is more than a screen shows; numbers of `scale` are left as they are
PLACES = re.compile(rb'(?<=[\s]d=")[^"]*(?=")|(?<=[\s][xy]=")[^"]*(?=")|(?<=translate\()[^)]*(?=\))')
LONG = re.compile(rb"(\d+\.\d\d)\d+")
STEPS = re.compile(rb"\s*([A-Za-z])\s*")  # of a path


def image(data: bytes, format: str) -> str:
    """Return a picture as a `data:` address."""
    return f"data:{TYPES[format]};base64,{base64.b64encode(data).decode()}"


def _placed(found: re.Match[bytes]) -> bytes:
    return STEPS.sub(rb"\1", LONG.sub(rb"\1", found.group()))


def slim(svg: bytes) -> bytes:
    """Return an SVG of matplotlib in a little more than half its bytes, and any other SVG as it is.

    >>> slim(b'<!-- Matplotlib v3 --> <g> <path d="M 1.234567 -0.5 L 2 3"/> </g>')
    b'<g><path d="M1.23 -0.5L2 3"/></g>'
    """
    return PLACES.sub(_placed, UNSEEN.sub(b"", svg)) if MATPLOTLIB in svg[:3000] else svg


def size(data: bytes, format: str) -> tuple[int, int] | None:
    """Return width and height of a picture, in points (SVG) or pixels (PNG); None where the file does not say."""
    if format == "png":
        whole = len(data) >= 24 and data[12:16] == b"IHDR"
        return (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) if whole else None
    found = SIZE.search(data[:4000])
    try:
        width, height = (round(float(side)) for side in found.groups()) if found else (0, 0)
    except (ValueError, OverflowError):
        return None
    return (width, height) if width and height else None


def embedded(data: bytes, format: str, caption: str, name: str) -> dict[str, Any]:
    """Return a figure for the template: source, caption, format, width and height (or None), name of its download."""
    data = slim(data) if format == "svg" else data
    width, height = size(data, format) or (None, None)
    return {
        "source": image(data, format),
        "caption": caption,
        "format": format,
        "width": width,
        "height": height,
        "name": slug(name)[:LETTERS],
    }


def drawn(drawings: Iterable[Drawing | None], name: str) -> list[dict[str, Any]]:
    """Return drawings for the template; None among them is left out. `name` goes before the names of downloads."""
    return [
        embedded(as_bytes(drawing.figure, "svg"), "svg", drawing.caption, f"{name}_{drawing.name}")
        for drawing in drawings
        if drawing is not None
    ]


def figures_of(content: dict[str, Any], path: Path, name: str) -> list[dict[str, Any]]:
    """Return the figures that a JSON file lists, for the template.

    Raises
    ------
    InputError: a figure is missing, lies outside the folder of the file, is too large, or is neither SVG nor PNG.
    """
    found = []
    entries = content.get("figures") or []
    if not isinstance(entries, list):
        raise InputError(path, f"key 'figures': found {type(entries).__name__}; expected a list")
    for entry in entries:
        try:
            figure, caption = inside(path.parent, entry["path"], path), str(entry.get("caption", ""))
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(path, "key 'figures': each entry needs 'path' and 'caption'") from error
        other = figure.with_suffix(".png")
        if figure.suffix == ".svg" and other.is_file() and figure.is_file() and figure.stat().st_size > BIG:
            figure = other
        if figure.suffix[1:] not in TYPES:
            raise InputError(path, f"figure '{entry['path']}': found suffix '{figure.suffix}'; allowed is .svg or .png")
        try:
            if figure.exists() and not (figure.is_file() and figure.stat().st_size <= LARGEST):
                raise InputError(figure, f"is no file of at most {LARGEST:,} bytes; {path.name} names it as a figure")
            data = figure.read_bytes()
        except OSError as error:
            raise InputError(figure, f"cannot be read: {error.strerror}; {path.name} names it") from error
        if HEADS[figure.suffix[1:]] not in data[:4000]:
            raise InputError(figure, f"is no {figure.suffix[1:].upper()}; {path.name} names it as a figure")
        found.append(embedded(data, figure.suffix[1:], caption, f"{name}_{figure.stem}"))
    return found

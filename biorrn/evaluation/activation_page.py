"""Activations as coloured text: one HTML file that needs nothing else, for dark and light screens."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from biorrn.evaluation.unit_correlation import Choice
from biorrn.inference.activations import States

BLOCK = 10  # letters between numbers
SHADES = 9  # of each sign; 0 has none
PERCENTILE = 99  # of the absolute values, which gets the strongest shade

STYLE = """:root{color-scheme:light dark;--paper:#fff;--ink:#222;--soft:#767676;--up:0,114,178;--down:213,94,0}
@media(prefers-color-scheme:dark){:root{--paper:#161616;--ink:#e8e8e8;--soft:#9a9a9a;--up:60,160,225;--down:235,120,30}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.8rem 0 .3rem}p.id{color:var(--soft);font-size:.85rem;margin:.8rem 0 0}
p.s{font:.95rem/1.9 ui-monospace,monospace;margin:0}p.s span{display:inline-block;margin-right:.5rem}
i{font-style:normal}sub{color:var(--soft);font-size:.6rem;vertical-align:super;margin-right:.15rem}
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown.

    Attributes
    ----------
    title : str: the model and the layer.
    units : list of (Choice, direction): direction is "", "forward" or "backward".
    scales : float array (U,): the value of each unit that has the strongest shade.
    """

    title: str
    units: Sequence[tuple[Choice, str]]
    scales: np.ndarray


def scales_of(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the value of each unit, float64 (U,), that gets the strongest shade, given states (T_i, U)."""
    every = np.abs(np.concatenate(values)) if values else np.ones((1, 1))
    return np.maximum(np.percentile(every, PERCENTILE, axis=0).astype(np.float64), 1e-9)


def shades(values: np.ndarray, scale: float) -> np.ndarray:
    """Return the shade of each value (T,), int64: from -`SHADES` to `SHADES`.

    >>> shades(np.array([-9.0, -1.0, 0.0, 0.5]), 1.0).tolist()
    [-9, -9, 0, 4]
    """
    return np.rint(np.clip(values / scale, -1, 1) * SHADES).astype(np.int64)


def _style() -> str:
    rules = [
        f".{sign}{shade}{{background:rgba(var(--{name}),{0.75 * shade / SHADES:.2f})}}"
        for sign, name in (("p", "up"), ("n", "down"))
        for shade in range(1, SHADES + 1)
    ]
    return STYLE + "\n".join(rules) + "\n"


def coloured(sequence: str, values: np.ndarray, scale: float) -> str:
    """Return a sequence as HTML, in blocks of ten letters with the number of the first before each."""
    parts = []
    every = shades(values, scale).tolist()
    for start in range(0, len(sequence), BLOCK):
        letters = zip(sequence[start : start + BLOCK], every[start : start + BLOCK], strict=True)
        runs = []
        for shade, group in itertools.groupby(letters, key=lambda pair: pair[1]):
            text = html.escape("".join(letter for letter, _ in group))
            runs.append(f'<i class="{"p" if shade > 0 else "n"}{abs(shade)}">{text}</i>' if shade else text)
        parts.append(f"<span><sub>{start + 1}</sub>{''.join(runs)}</span>")
    return "".join(parts)


def page(shown: Page, sequences: Sequence[States], note: str = "") -> Iterator[str]:
    """Yield the lines of the page: of each unit, every sequence coloured by the unit's state.

    Parameters
    ----------
    sequences : their `values` (T, U) hold the units of `shown`, in that order.
    note : str: said below the title.
    """
    title = html.escape(shown.title)
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n'
    yield f"<title>{title}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    ramp = "".join(f'<i class="n{shade}">&nbsp;&nbsp;</i>' for shade in range(SHADES, 0, -3))
    ramp += "&nbsp;0&nbsp;" + "".join(f'<i class="p{shade}">&nbsp;&nbsp;</i>' for shade in range(3, SHADES + 1, 3))
    yield f"<p>Each letter has the colour of the unit's state after it was read: below zero {ramp} above.\n"
    yield f"{html.escape(note)}</p>\n"
    for column, (choice, direction) in enumerate(shown.units):
        scale = float(shown.scales[column])
        reads = f"; reads {direction}" if direction else ""
        yield f"<section>\n<h2>{html.escape(choice.sentence())}{reads}; full colour at ±{scale:.2g}</h2>\n"
        for one in sequences:
            yield f'<p class="id">{html.escape(one.id)}</p>\n'
            yield f'<p class="s">{coloured(one.sequence, one.values[:, column], scale)}</p>\n'
        yield "</section>\n"
    yield "</body>\n</html>\n"

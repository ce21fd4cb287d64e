"""Descriptors for models that weigh them in blocks: pairs of residues (many columns), and charge in several shapes.

Every function takes a layout and returns float64 (N, columns). Parts are given as square roots, which hold rare and
common pairs to a like spread (the Hellinger distance). X is in no pair.
"""

from __future__ import annotations

import numpy as np

from biorrn.encoders.alphabets import N_TOKENS, RESIDUES, UNKNOWN
from biorrn.encoders.descriptors_composition import charge
from biorrn.encoders.residue_layout import GAP, Layout, member

# like residues, by size, charge and ring
CLASSES = ("AG", "ILVM", "FWY", "ST", "NQH", "KR", "DE", "CP")
GAPS = range(1, 5)  # residues from one of a pair to the other: a turn of a helix
RUNS = (10, 30)  # residues at each end


def _parts(layout: Layout, codes: np.ndarray, kinds: int, gap: int) -> np.ndarray:
    """Return the square root of the part of each pair (first, second) of codes 1..kinds, (N, kinds * kinds)."""
    first, second = codes[:-gap].astype(np.int64), codes[gap:].astype(np.int64)
    there = (first > 0) & (second > 0)  # both of one sequence: between two stands padding
    row = np.repeat(np.arange(len(layout)), layout.lengths + GAP)[:-gap]
    places = ((row * kinds + first - 1) * kinds + second - 1)[there]
    counts = np.bincount(places, minlength=len(layout) * kinds * kinds).reshape(len(layout), kinds * kinds)
    return np.sqrt(counts / np.maximum(layout.lengths - gap, 1)[:, None])


def _classes() -> np.ndarray:
    codes = np.zeros(N_TOKENS, np.uint8)
    for number, letters in enumerate(CLASSES, 1):
        codes[[RESIDUES.index(letter) + 1 for letter in letters]] = number
    return codes


def neighbours(layout: Layout) -> np.ndarray:
    """Return the parts of the 400 pairs of neighbouring residues."""
    return _parts(layout, np.where(layout.tokens < UNKNOWN, layout.tokens, 0), UNKNOWN - 1, 1)


def class_pairs(layout: Layout) -> np.ndarray:
    """Return the parts of the pairs of `CLASSES`, for each gap of `GAPS`."""
    codes = _classes()[layout.tokens]
    return np.concatenate([_parts(layout, codes, len(CLASSES), gap) for gap in GAPS], axis=1)


def roots(layout: Layout) -> np.ndarray:
    """Return the square root of the part of each residue, X left out."""
    return np.sqrt(layout.counts[:, 1:UNKNOWN] / layout.size[:, None])


def end_classes(layout: Layout) -> np.ndarray:
    """Return the part of each of `CLASSES` among the first and the last residues, for each length of `RUNS`."""
    codes, stop, columns = _classes()[layout.tokens], layout.starts + layout.lengths, []
    for run in RUNS:
        near = np.minimum(layout.lengths, run)
        place = np.arange(run)[None]
        for begin in (layout.starts, stop - near):
            at = np.minimum(begin[:, None] + place, max(len(codes) - 1, 0))
            found = np.where(place < near[:, None], codes[at], 0)
            columns.append((found[:, :, None] == np.arange(1, len(CLASSES) + 1)).sum(1) / np.maximum(near, 1)[:, None])
    return np.concatenate(columns, axis=1)


def charge_shapes(layout: Layout) -> np.ndarray:
    """Return the net charge a residue, its size and square, isoelectric point, its distance from neutral, and balances.

    Of the net charge of the whole also the logarithm, with its sign; of the residues the charged part, basic over
    acidic ones, and lysine among the basic ones.
    """
    point, net, each, _ = charge(layout).T
    basic, acidic, lysine = (layout.counts @ member(letters) for letters in ("KR", "DE", "K"))
    columns = [each, np.abs(each), np.square(each), point, np.where(layout.lengths > 0, np.abs(point - 7.0), 0.0)]
    columns += [np.sign(net) * np.log1p(np.abs(net)), (basic + acidic) / layout.size]
    return np.column_stack([*columns, basic / (acidic + 1), lysine / (basic + 1)])


# block -> function; widths are told by `WIDTHS`
PAIR_BLOCKS = {"neighbours": neighbours, "class_pairs": class_pairs, "roots": roots}
PAIR_BLOCKS |= {"end_classes": end_classes, "charge_shapes": charge_shapes}
WIDTHS = {
    "neighbours": (UNKNOWN - 1) ** 2,
    "class_pairs": len(GAPS) * len(CLASSES) ** 2,
    "roots": UNKNOWN - 1,
    "end_classes": 2 * len(RUNS) * len(CLASSES),
    "charge_shapes": 9,
}

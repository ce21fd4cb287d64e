"""Descriptors of a protein that follow from how often each residue occurs (and, for the charge, its two ends).

Means leave X out; its mass is the mean mass of a residue. Every function takes a layout and returns float64
(N, columns).
"""

from __future__ import annotations

import numpy as np
from Bio.Data.IUPACData import protein_weights
from Bio.SeqUtils.IsoelectricPoint import negative_pKs, pKcterminal, pKnterminal, positive_pKs

from biorrn.encoders.alphabets import UNKNOWN
from biorrn.encoders.residue_layout import Layout, by_token, member
from biorrn.encoders.residues import SCALES, STANDARD, scale

WATER = 18.0153  # Da
PH = 7.0
HALVINGS = 24  # of the interval 0 to 14 that holds the isoelectric point: to 1e-6

GROUPS = {  # of EMBOSS pepstats (Rice, Longden and Bleasby 2000, Trends Genet 16:276), without its B and Z
    "tiny": "ACGST",
    "small": "ACDGNPSTV",
    "aliphatic": "AILV",
    "aromatic": "FHWY",
    "nonpolar": "ACFGILMPVWY",
    "polar": "DEHKNQRST",
    "charged": "DEHKR",
    "basic": "HKR",
    "acidic": "DE",
}
FORMERS = {"helix": "EMALK", "turn": "NPGSD", "sheet": "VIYFWLT"}  # the sets of Bio.SeqUtils.ProtParam
AVERAGED = tuple(name for name in SCALES if name not in ("hydropathy", "charge", "aromatic"))  # those stand elsewhere

# kcal/mol, cyclohexane to water, of the side chain: Radzicka and Wolfenden 1988, Biochemistry 27:1664
# fmt: off
TRANSFER = {
    "L": 4.92, "I": 4.92, "V": 4.04, "F": 2.98, "M": 2.35, "W": 2.33, "A": 1.81, "C": 1.28, "G": 0.94, "P": 0.0,
    "Y": -0.14, "T": -2.57, "S": -3.40, "H": -4.66, "Q": -5.54, "K": -5.55, "N": -6.64, "E": -6.81, "D": -8.72,
    "R": -14.92,
}
# fmt: on


def fractions(layout: Layout) -> np.ndarray:
    """Return the part that each of the 21 letters has of the residues."""
    return layout.counts[:, 1:] / layout.size[:, None]


def size(layout: Layout) -> np.ndarray:
    """Return length, log(1 + length), molecular weight in kDa (average masses), mean mass of a residue in Da."""
    mass = by_token(protein_weights, float(np.mean([protein_weights[residue] for residue in STANDARD])))
    residues = layout.counts @ mass - WATER * layout.lengths
    weight = np.where(layout.lengths > 0, residues + WATER, 0.0) / 1000.0
    return np.column_stack([layout.lengths, np.log1p(layout.lengths), weight, residues / layout.size])


def _ends(layout: Layout, pks: dict[str, float], usual: float, last: bool) -> np.ndarray:
    """Return the pK of one end of each sequence, which depends on the residue there."""
    place = np.maximum(layout.starts + (layout.lengths - 1 if last else 0), 0)
    return by_token(pks, usual)[layout.tokens[place]]


def charge(layout: Layout) -> np.ndarray:
    """Return isoelectric point, net charge at pH 7, the same a residue, and the asymmetry of the charged residues.

    Henderson and Hasselbalch with the pK of Bjellqvist et al.; the point where the net charge is 0 is found by halving.
    Asymmetry: (f+ - f-)^2 / (f+ + f-), Das and Pappu 2013, PNAS 110:13392.
    """
    bases, acids = [x for x in positive_pKs if x != "Nterm"], [x for x in negative_pKs if x != "Cterm"]
    one = np.ones(len(layout))
    plus, minus = ([layout.counts @ member(x) for x in letters] for letters in (bases, acids))
    counts = np.column_stack([one, *plus, one, *minus])
    pks = np.empty_like(counts)
    pks[:, 0] = _ends(layout, pKnterminal, positive_pKs["Nterm"], last=False)
    pks[:, 1 : len(bases) + 1] = [positive_pKs[x] for x in bases]
    pks[:, len(bases) + 1] = _ends(layout, pKcterminal, negative_pKs["Cterm"], last=True)
    pks[:, len(bases) + 2 :] = [negative_pKs[x] for x in acids]
    sign = np.where(np.arange(counts.shape[1]) <= len(bases), 1.0, -1.0)
    constants, signed = 10.0 ** (-sign * pks), sign * counts

    def net(ph: np.ndarray) -> np.ndarray:
        ratio = 10.0 ** ph[:, None]
        return np.einsum("nk,nk->n", signed, 1.0 / (1.0 + np.where(sign > 0, ratio, 1.0 / ratio) * constants))

    low, high = np.zeros(len(layout)), np.full(len(layout), 14.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = net(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    there = layout.lengths > 0
    at_seven = np.where(there, net(np.full(len(layout), PH)), 0.0)
    positive, negative = (layout.counts @ member(letters) / layout.size for letters in ("KR", "DE"))
    asymmetry = np.square(positive - negative) / np.maximum(positive + negative, 1e-9)
    return np.column_stack([np.where(there, (low + high) / 2, 0.0), at_seven, at_seven / layout.size, asymmetry])


def hydropathy(layout: Layout) -> np.ndarray:
    """Return GRAVY, the spread of hydropathy over the residues, aliphatic index, Boman index in kcal/mol."""
    values = by_token(dict(zip(STANDARD, scale("hydropathy"), strict=True)))
    mean = layout.counts @ values / layout.known
    spread = np.sqrt(np.maximum(layout.counts @ np.square(values) / layout.known - np.square(mean), 0.0))
    aliphatic = layout.counts @ by_token({"A": 100.0, "V": 290.0, "I": 390.0, "L": 390.0}) / layout.known
    return np.column_stack([mean, spread, aliphatic, -(layout.counts @ by_token(TRANSFER)) / layout.known])


def scales(layout: Layout) -> np.ndarray:
    """Return the mean over the residues of each scale of `AVERAGED`, in the scale's unit."""
    table = np.column_stack([by_token(dict(zip(STANDARD, scale(name), strict=True))) for name in AVERAGED])
    return layout.counts @ table / layout.known[:, None]


def groups(layout: Layout) -> np.ndarray:
    """Return the part of the residues in each of `GROUPS`, then of `FORMERS`, then of F, W and Y (aromaticity)."""
    sets = [*GROUPS.values(), *FORMERS.values(), "FWY"]
    return layout.counts @ np.column_stack([member(letters) for letters in sets]) / layout.known[:, None]


def extinction(layout: Layout) -> np.ndarray:
    """Return the molar extinction coefficient at 280 nm over the residues, cysteines reduced; then as cystines."""
    reduced = layout.counts @ by_token({"W": 5500.0, "Y": 1490.0})
    cystines = reduced + 125.0 * np.floor(layout.counts @ member("C") / 2)
    return np.column_stack([reduced, cystines]) / layout.size[:, None]


def entropy(layout: Layout) -> np.ndarray:
    """Return the Shannon entropy of the composition in bits, and the part of the commonest residue."""
    parts = layout.counts[:, 1:UNKNOWN] / layout.known[:, None]
    bits = -(parts * np.log2(np.where(parts > 0, parts, 1.0))).sum(axis=1)
    return np.column_stack([bits, parts.max(axis=1)])

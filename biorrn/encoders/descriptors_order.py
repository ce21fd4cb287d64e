"""Descriptors of a protein that depend on the order of its residues.

Every function takes a layout and returns float64 (N, columns). X has no class and the mean of each scale. Where a
window is longer than the protein, the protein is the window.
"""

from __future__ import annotations

import numpy as np
from Bio.SeqUtils.ProtParamData import DIWV

from biorrn.encoders.alphabets import N_TOKENS, RESIDUES
from biorrn.encoders.residue_layout import GAP, Layout, by_token
from biorrn.encoders.residues import SCALES, STANDARD, TABLES, scale

CORRELATED = ("hydropathy", "volume", "charge")
LAGS = range(1, 9)
PLAIN_WINDOWS = (5, 9, 19)  # residues: a strand, a surface stretch, a membrane helix
ENDS = 10  # residues at each end
MOMENT_WINDOW = 11  # residues: three turns of a helix
# degrees a residue -> residues after which the direction comes back: helix and strand
ANGLES = {100: 18, 160: 9}
COMPLEXITY_WINDOW = 12  # residues; the window of SEG (Wootton and Federhen 1993, Comput Chem 17:149)
REPEATED = 12  # equal pairs in it, of 66: Simpson's effective number of residues is 4 then, and fewer above
QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)

CLASSES = {  # Dubchak et al. 1995, PNAS 92:8700, with the classes of Dubchak et al. 1999, Proteins 35:401
    "hydropathy": ("RKEDQN", "GASTPHY", "CLVIMFW"),  # polar, neutral, hydrophobic
    "volume": ("GASTPDC", "NVEQIL", "MHKFRYW"),  # small, middle, large
    "charge": ("KR", "ANCQGHILMFPSTWYV", "DE"),  # positive, none, negative
    "structure": ("EALMQKRH", "VIYCWFT", "GNPSD"),  # found in helix, strand, coil
}


def _standardised(name: str) -> np.ndarray:
    return TABLES["scales"][:, SCALES.index(name)].astype(np.float64)


def instability(layout: Layout) -> np.ndarray:
    """Return the instability index: the mean weight of neighbouring pairs, times 10. Pairs with X weigh 0."""
    weights = np.zeros((N_TOKENS, N_TOKENS))
    for first, row in DIWV.items():
        for second, value in row.items():
            weights[RESIDUES.index(first) + 1, RESIDUES.index(second) + 1] = value
    pairs = layout.tokens[:-1].astype(np.int16) * N_TOKENS + layout.tokens[1:]
    found = np.append(weights.ravel()[pairs], 0.0)
    return (10.0 * layout.total(found) / layout.size)[:, None]


def autocorrelation(layout: Layout) -> np.ndarray:
    """Return for each scale and lag the mean product of the standardised values of residues that far apart."""
    columns = []
    for name in CORRELATED:
        values = layout.along(_standardised(name))
        for lag in LAGS:
            products = np.zeros_like(values)
            np.multiply(values[:-lag], values[lag:], out=products[:-lag])
            columns.append(layout.total(products) / np.maximum(layout.lengths - lag, 1))
    return np.column_stack(columns)


def _windows(layout: Layout, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the windows of each sequence, at least one each: first residue, last + 1, a sequence's first window."""
    number = np.maximum(layout.lengths - window + 1, 1)
    first = np.cumsum(number) - number
    begin = np.arange(int(number.sum())) + np.repeat(layout.starts - first, number)
    return begin, begin + np.repeat(np.minimum(layout.lengths, window), number), first


def _sums(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    cumulated = np.concatenate([[0.0], np.cumsum(values)])
    return cumulated[end] - cumulated[begin]


def windows(layout: Layout) -> np.ndarray:
    """Return the highest and the lowest mean hydropathy of a window of each width of `PLAIN_WINDOWS`."""
    values = layout.along(by_token(dict(zip(STANDARD, scale("hydropathy"), strict=True))))
    columns = []
    for width in PLAIN_WINDOWS:
        begin, end, first = _windows(layout, width)
        means = _sums(values, begin, end) / np.maximum(end - begin, 1)
        columns += [np.maximum.reduceat(means, first), np.minimum.reduceat(means, first)]
    return np.column_stack(columns)


def ends(layout: Layout) -> np.ndarray:
    """Return mean hydropathy and mean charge of the side chains of the first ten residues, then of the last ten."""
    near = np.minimum(layout.lengths, ENDS)
    stop = layout.starts + layout.lengths
    columns = []
    for begin in (layout.starts, stop - near):
        # ten residues from there, padding where the sequence is shorter (what follows it is padding)
        tokens = layout.tokens[begin[:, None] + np.arange(ENDS)]
        for name in ("hydropathy", "charge"):
            values = by_token(dict(zip(STANDARD, scale(name), strict=True)))
            columns.append(values[tokens].sum(axis=1) / np.maximum(near, 1))
    return np.column_stack(columns)


def moments(layout: Layout) -> np.ndarray:
    """Return for each angle the hydrophobic moment of the whole sequence, then mean and highest of its windows.

    The length of the sum of the residues' hydropathy as vectors, each turned by the angle from the one before, over
    the residues: large where one side of a helix (100 degrees) or a strand (160) is the hydrophobic one.
    """
    values = layout.along(_standardised("hydropathy"))
    begin, end, first = _windows(layout, MOMENT_WINDOW)
    stop = layout.starts + layout.lengths
    columns = []
    for angle, period in ANGLES.items():
        directions = np.exp(1j * np.deg2rad(angle) * np.arange(period))
        cumulated = np.concatenate([[0.0], np.cumsum(values * np.resize(directions, len(values)))])
        local = np.abs(cumulated[end] - cumulated[begin]) / np.maximum(end - begin, 1)
        number = np.diff(np.append(first, len(begin)))
        columns.append(np.abs(cumulated[stop] - cumulated[layout.starts]) / layout.size)
        columns += [np.add.reduceat(local, first) / number, np.maximum.reduceat(local, first)]
    return np.column_stack(columns)


def repeats(layout: Layout) -> np.ndarray:
    """Return the part of residues equal to the next and to the one after that, and of windows of low complexity."""
    tokens = layout.tokens
    equal = {}
    for lag in range(1, COMPLEXITY_WINDOW):
        equal[lag] = np.zeros(len(tokens), np.int8)
        equal[lag][:-lag] = (tokens[:-lag] == tokens[lag:]) & (tokens[:-lag] > 0)
    columns = [layout.total(equal[lag]) / np.maximum(layout.lengths - lag, 1) for lag in (1, 2)]
    # pairs inside a window: each residue adds the pairs that it closes as it enters, and takes those it opens along
    opened, closed = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int64)
    for lag, pairs in equal.items():
        opened += pairs
        closed[lag:] += pairs[:-lag]
    begin, end, first = _windows(layout, COMPLEXITY_WINDOW)
    inside = np.concatenate([[0], np.cumsum(closed)])[end] - np.concatenate([[0], np.cumsum(opened)])[begin]
    # pairs of all sequences closed before the end, less those opened before the start
    low = (inside >= REPEATED).astype(np.float64)
    return np.column_stack([*columns, np.add.reduceat(low, first) / np.diff(np.append(first, len(begin)))])


def _classes(layout: Layout, name: str) -> np.ndarray:
    codes = np.zeros(N_TOKENS, np.uint8)
    for number, letters in enumerate(CLASSES[name], 1):
        codes[[RESIDUES.index(letter) + 1 for letter in letters]] = number
    return codes[layout.tokens]


def distribution(layout: Layout) -> np.ndarray:
    """Return for each property of `CLASSES`: parts of its three classes, of the changes between two, and their places.

    Changes: neighbours of classes 1 and 2, 1 and 3, 2 and 3. Places: where the first, 25 %, 50 %, 75 % and all of the
    residues of a class have been met, as a part of the length; 0 where the class does not occur.
    """
    columns: list[np.ndarray] = []
    for name in CLASSES:
        codes = _classes(layout, name)
        sums = codes[:-1] * codes[1:]  # 2 for classes 1 and 2, 3 for 1 and 3, 6 for 2 and 3; others: 0, 1, 4, 9
        places: list[np.ndarray] = []
        for number in (1, 2, 3):
            at = np.flatnonzero(codes == number)
            before = np.searchsorted(at, layout.starts)
            count = np.diff(np.append(before, len(at)))
            columns.append(count / layout.size)
            for part in QUARTILES:
                chosen = before + np.maximum((part * count).astype(np.int64), 1) - 1
                met = np.append(at, 0)[np.minimum(chosen, len(at))] - layout.starts + 1
                places.append(np.where(count > 0, met / layout.size, 0.0))
        for product in (2, 3, 6):
            changes = np.append((sums == product).astype(np.int8), np.int8(0))
            columns.append(layout.total(changes) / np.maximum(layout.lengths - 1, 1))
        columns += places
    return np.column_stack(columns)


assert max(*LAGS, COMPLEXITY_WINDOW) <= GAP  # else residues of two sequences would be compared

"""Descriptors of whole proteins: composition, charge, hydropathy, autocorrelation and others.

`BLOCKS` has their columns, sources and functions. They are the inputs of the baselines, of the Gaussian process on
small sets, and of the test for proteins unlike the training data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from Bio.Data.IUPACData import protein_weights
from Bio.SeqUtils.IsoelectricPoint import negative_pKs, pKcterminal, pKnterminal, positive_pKs
from Bio.SeqUtils.ProtParamData import DIWV

from biorrn.sequences.alphabets import (
    GAP,
    N_TOKENS,
    RESIDUES,
    SCALES,
    STANDARD,
    TABLES,
    UNKNOWN,
    Layout,
    by_token,
    lay_out,
    member,
    scale,
)

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


def _scale(name: str) -> np.ndarray:
    """Return a scale of `SCALES` by token, in its own unit."""
    return by_token(dict(zip(STANDARD, scale(name), strict=True)))


def _class_codes(classes: Sequence[str]) -> np.ndarray:
    """Return the number of the class, from 1, of each token, uint8 (22,); 0 for none."""
    codes = np.zeros(N_TOKENS, np.uint8)
    for number, letters in enumerate(classes, 1):
        codes[[RESIDUES.index(letter) + 1 for letter in letters]] = number
    return codes


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
    values = _scale("hydropathy")
    mean = layout.counts @ values / layout.known
    spread = np.sqrt(np.maximum(layout.counts @ np.square(values) / layout.known - np.square(mean), 0.0))
    aliphatic = layout.counts @ by_token({"A": 100.0, "V": 290.0, "I": 390.0, "L": 390.0}) / layout.known
    return np.column_stack([mean, spread, aliphatic, -(layout.counts @ by_token(TRANSFER)) / layout.known])


def scales(layout: Layout) -> np.ndarray:
    """Return the mean over the residues of each scale of `AVERAGED`, in the scale's unit."""
    table = np.column_stack([_scale(name) for name in AVERAGED])
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


CORRELATED = ("hydropathy", "volume", "charge")
LAGS = range(1, 9)
PLAIN_WINDOWS = (5, 9, 19)  # residues: a strand, a surface stretch, a membrane helix
ENDS = 10  # residues at each end
MOMENT_WINDOW = 11  # residues: three turns of a helix
# degrees per residue -> residues per full turn: helix and strand
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
    values = layout.along(_scale("hydropathy"))
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
        # ten residues, or fewer and padding
        tokens = layout.tokens[begin[:, None] + np.arange(ENDS)]
        for name in ("hydropathy", "charge"):
            columns.append(_scale(name)[tokens].sum(axis=1) / np.maximum(near, 1))
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
    # pairs inside a window: a residue that enters adds the pairs that it closes; one that leaves removes those it opens
    opened, closed = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int64)
    for lag, pairs in equal.items():
        opened += pairs
        closed[lag:] += pairs[:-lag]
    begin, end, first = _windows(layout, COMPLEXITY_WINDOW)
    inside = np.concatenate([[0], np.cumsum(closed)])[end] - np.concatenate([[0], np.cumsum(opened)])[begin]
    # pairs of all sequences closed before the end, less those opened before the start
    low = (inside >= REPEATED).astype(np.float64)
    return np.column_stack([*columns, np.add.reduceat(low, first) / np.diff(np.append(first, len(begin)))])


def distribution(layout: Layout) -> np.ndarray:
    """Return for each property of `CLASSES`: parts of its three classes, of the changes between two, and their places.

    Changes: neighbours of classes 1 and 2, 1 and 3, 2 and 3. Places: where the first, 25 %, 50 %, 75 % and all of the
    residues of a class have been met, as a part of the length; 0 where the class does not occur.
    """
    columns: list[np.ndarray] = []
    for classes in CLASSES.values():
        codes = _class_codes(classes)[layout.tokens]
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


BLOCK = 200_000  # residues at once: numpy's arrays stay below 50 MB


@dataclass(frozen=True, slots=True)
class Block:
    """Columns that one function gives, and where they are from."""

    names: tuple[str, ...]
    source: str
    describe: Callable[[Layout], np.ndarray]  # float64 (N, len(names))


def _parts(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of runs of rows of about `BLOCK` residues."""
    ends, start = np.cumsum(lengths), 0
    while start < len(lengths):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + BLOCK, side="right")))
        yield start, stop
        start = stop


def descriptors(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Describe proteins by the columns of `NAMES`; every value is finite, for X and for no residue at all too.

    Parameters
    ----------
    tokens : uint8 array (total,): residues of all proteins, one after another, 1..21.
    lengths : int64 array (N,): residues of each.

    Returns
    -------
    float32 array (N, F).

    Raises
    ------
    ValueError: the lengths do not sum to the tokens, or a token is none of 1..21.

    >>> found = descriptors(np.array([1, 1, 2], np.uint8), np.array([2, 1]))
    >>> found[:, NAMES.index("fraction_A")].tolist()
    [1.0, 0.0]
    """
    lengths, tokens = np.asarray(lengths, np.int64), np.asarray(tokens, np.uint8)
    found = np.empty((len(lengths), len(NAMES)), np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] != len(tokens):
        raise ValueError(f"lengths sum to {offsets[-1]}; there are {len(tokens)} tokens")
    for start, stop in _parts(lengths):
        layout = lay_out(tokens[offsets[start] : offsets[stop]], lengths[start:stop])
        column = 0
        for block in BLOCKS.values():
            found[start:stop, column : column + len(block.names)] = block.describe(layout)
            column += len(block.names)
    return found


def _distribution_names() -> Iterator[str]:
    for name in CLASSES:
        yield from (f"{name}_class{number}" for number in (1, 2, 3))
        yield from (f"{name}_change{pair}" for pair in ("12", "13", "23"))
        yield from (f"{name}_class{number}_at{round(100 * part)}" for number in (1, 2, 3) for part in QUARTILES)


# block -> its columns, their source, and the function that gives them
BLOCKS: dict[str, Block] = {
    "fractions": Block(tuple(f"fraction_{residue}" for residue in RESIDUES), "counted", fractions),
    "size": Block(
        ("length", "log_length", "molecular_weight", "residue_mass"),
        "average masses of the IUPAC, through Biopython; kDa, and Da a residue",
        size,
    ),
    "charge": Block(
        ("isoelectric_point", "charge", "charge_per_residue", "charge_asymmetry"),
        "Bjellqvist et al. 1993, Electrophoresis 14:1023 and 1994, 15:529; Das and Pappu 2013, PNAS 110:13392",
        charge,
    ),
    "hydropathy": Block(
        ("gravy", "hydropathy_spread", "aliphatic_index", "boman_index"),
        "Kyte and Doolittle 1982, J Mol Biol 157:105; Ikai 1980, J Biochem 88:1895; Boman 2003, J Intern Med 254:197",
        hydropathy,
    ),
    "scales": Block(
        tuple(f"mean_{name}" for name in AVERAGED),
        "each as in `sequences.alphabets`: Zamyatnin, Grantham, Zimmerman, Chou and Fasman, Pace and Scholtz",
        scales,
    ),
    "groups": Block(
        (*GROUPS, *(f"{name}_formers" for name in FORMERS), "aromaticity"),
        "groups of EMBOSS pepstats; formers of Bio.SeqUtils.ProtParam; Lobry and Gautier 1994, NAR 22:3174",
        groups,
    ),
    "extinction": Block(
        ("extinction_reduced", "extinction_cystines"),
        "Gill and von Hippel 1989, Anal Biochem 182:319, with the values of Pace et al. 1995, Protein Sci 4:2411",
        extinction,
    ),
    "entropy": Block(("entropy", "commonest"), "Shannon 1948", entropy),
    "instability": Block(("instability_index",), "Guruprasad, Reddy and Pandit 1990, Protein Eng 4:155", instability),
    "autocorrelation": Block(
        tuple(f"{name}_lag{lag}" for name in CORRELATED for lag in LAGS),
        "Moreau and Broto 1980, Nouv J Chim 4:359, on standardised scales",
        autocorrelation,
    ),
    "windows": Block(
        tuple(f"hydropathy_{end}{width}" for width in PLAIN_WINDOWS for end in ("max", "min")),
        "Kyte and Doolittle 1982",
        windows,
    ),
    "ends": Block(
        tuple(f"{end}_{name}" for end in ("first", "last") for name in ("hydropathy", "charge")), "counted", ends
    ),
    "moments": Block(
        tuple(f"moment{angle}_{kind}" for angle in ANGLES for kind in ("whole", "mean", "max")),
        "Eisenberg, Weiss and Terwilliger 1984, PNAS 81:140",
        moments,
    ),
    "repeats": Block(
        ("equal_next", "equal_second", "low_complexity"),
        "counted; windows after Wootton and Federhen 1993, Comput Chem 17:149, with equal pairs in place of entropy",
        repeats,
    ),
    "distribution": Block(
        tuple(_distribution_names()),
        "composition, transition and distribution of Dubchak et al. 1995, PNAS 92:8700",
        distribution,
    ),
}
NAMES: tuple[str, ...] = tuple(name for block in BLOCKS.values() for name in block.names)


# like residues, by size, charge and ring
RESIDUE_CLASSES = ("AG", "ILVM", "FWY", "ST", "NQH", "KR", "DE", "CP")
GAPS = range(1, 5)  # residues from one of a pair to the other: a turn of a helix
RUNS = (10, 30)  # residues at each end


def _pair_counts(layout: Layout, codes: np.ndarray, kinds: int, gap: int) -> np.ndarray:
    """Return the square root of the part of each pair (first, second) of codes 1..kinds, (N, kinds * kinds)."""
    first, second = codes[:-gap].astype(np.int64), codes[gap:].astype(np.int64)
    there = (first > 0) & (second > 0)  # both in one sequence; padding separates two
    row = np.repeat(np.arange(len(layout)), layout.lengths + GAP)[:-gap]
    places = ((row * kinds + first - 1) * kinds + second - 1)[there]
    counts = np.bincount(places, minlength=len(layout) * kinds * kinds).reshape(len(layout), kinds * kinds)
    return np.sqrt(counts / np.maximum(layout.lengths - gap, 1)[:, None])


def neighbours(layout: Layout) -> np.ndarray:
    """Return the parts of the 400 pairs of neighbouring residues."""
    return _pair_counts(layout, np.where(layout.tokens < UNKNOWN, layout.tokens, 0), UNKNOWN - 1, 1)


def class_pairs(layout: Layout) -> np.ndarray:
    """Return the parts of the pairs of `RESIDUE_CLASSES`, for each gap of `GAPS`."""
    codes = _class_codes(RESIDUE_CLASSES)[layout.tokens]
    return np.concatenate([_pair_counts(layout, codes, len(RESIDUE_CLASSES), gap) for gap in GAPS], axis=1)


def roots(layout: Layout) -> np.ndarray:
    """Return the square root of the part of each residue, X left out."""
    return np.sqrt(layout.counts[:, 1:UNKNOWN] / layout.size[:, None])


def end_classes(layout: Layout) -> np.ndarray:
    """Return the part of each of `RESIDUE_CLASSES` among the first and the last residues, for each length of `RUNS`."""
    codes, stop, columns = _class_codes(RESIDUE_CLASSES)[layout.tokens], layout.starts + layout.lengths, []
    for run in RUNS:
        near = np.minimum(layout.lengths, run)
        place = np.arange(run)[None]
        for begin in (layout.starts, stop - near):
            at = np.minimum(begin[:, None] + place, max(len(codes) - 1, 0))
            found = np.where(place < near[:, None], codes[at], 0)
            columns.append(
                (found[:, :, None] == np.arange(1, len(RESIDUE_CLASSES) + 1)).sum(1) / np.maximum(near, 1)[:, None]
            )
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


# block -> function; `WIDTHS` has the columns of each
PAIR_BLOCKS = {"neighbours": neighbours, "class_pairs": class_pairs, "roots": roots}
PAIR_BLOCKS |= {"end_classes": end_classes, "charge_shapes": charge_shapes}
WIDTHS = {
    "neighbours": (UNKNOWN - 1) ** 2,
    "class_pairs": len(GAPS) * len(RESIDUE_CLASSES) ** 2,
    "roots": UNKNOWN - 1,
    "end_classes": 2 * len(RUNS) * len(RESIDUE_CLASSES),
    "charge_shapes": 9,
}

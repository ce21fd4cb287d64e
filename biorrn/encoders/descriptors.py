"""Fixed numbers that describe a protein as a whole: what can be said of it without a model.

`BLOCKS` is the table of them all: columns, source and function, block by block. They are the inputs of the baselines,
of the Gaussian process on small sets, and of the test for inputs unlike the training data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from biorrn.encoders import descriptors_composition as composition
from biorrn.encoders import descriptors_order as order
from biorrn.encoders.alphabets import RESIDUES
from biorrn.encoders.residue_layout import Layout, lay_out

BLOCK = 200_000  # residues described at once: what numpy holds of them stays below 50 MB, and partly in cache


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
    for name in order.CLASSES:
        yield from (f"{name}_class{number}" for number in (1, 2, 3))
        yield from (f"{name}_change{pair}" for pair in ("12", "13", "23"))
        yield from (f"{name}_class{number}_at{round(100 * part)}" for number in (1, 2, 3) for part in order.QUARTILES)


# block -> its columns, their source, and the function that gives them
BLOCKS: dict[str, Block] = {
    "fractions": Block(tuple(f"fraction_{residue}" for residue in RESIDUES), "counted", composition.fractions),
    "size": Block(
        ("length", "log_length", "molecular_weight", "residue_mass"),
        "average masses of the IUPAC, through Biopython; kDa, and Da a residue",
        composition.size,
    ),
    "charge": Block(
        ("isoelectric_point", "charge", "charge_per_residue", "charge_asymmetry"),
        "Bjellqvist et al. 1993, Electrophoresis 14:1023 and 1994, 15:529; Das and Pappu 2013, PNAS 110:13392",
        composition.charge,
    ),
    "hydropathy": Block(
        ("gravy", "hydropathy_spread", "aliphatic_index", "boman_index"),
        "Kyte and Doolittle 1982, J Mol Biol 157:105; Ikai 1980, J Biochem 88:1895; Boman 2003, J Intern Med 254:197",
        composition.hydropathy,
    ),
    "scales": Block(
        tuple(f"mean_{name}" for name in composition.AVERAGED),
        "each as in `encoders.residues`: Zamyatnin, Grantham, Zimmerman, Chou and Fasman, Pace and Scholtz",
        composition.scales,
    ),
    "groups": Block(
        (*composition.GROUPS, *(f"{name}_formers" for name in composition.FORMERS), "aromaticity"),
        "groups of EMBOSS pepstats; formers of Bio.SeqUtils.ProtParam; Lobry and Gautier 1994, NAR 22:3174",
        composition.groups,
    ),
    "extinction": Block(
        ("extinction_reduced", "extinction_cystines"),
        "Gill and von Hippel 1989, Anal Biochem 182:319, with the values of Pace et al. 1995, Protein Sci 4:2411",
        composition.extinction,
    ),
    "entropy": Block(("entropy", "commonest"), "Shannon 1948", composition.entropy),
    "instability": Block(
        ("instability_index",), "Guruprasad, Reddy and Pandit 1990, Protein Eng 4:155", order.instability
    ),
    "autocorrelation": Block(
        tuple(f"{name}_lag{lag}" for name in order.CORRELATED for lag in order.LAGS),
        "Moreau and Broto 1980, Nouv J Chim 4:359, on standardised scales",
        order.autocorrelation,
    ),
    "windows": Block(
        tuple(f"hydropathy_{end}{width}" for width in order.PLAIN_WINDOWS for end in ("max", "min")),
        "Kyte and Doolittle 1982",
        order.windows,
    ),
    "ends": Block(
        tuple(f"{end}_{name}" for end in ("first", "last") for name in ("hydropathy", "charge")), "counted", order.ends
    ),
    "moments": Block(
        tuple(f"moment{angle}_{kind}" for angle in order.ANGLES for kind in ("whole", "mean", "max")),
        "Eisenberg, Weiss and Terwilliger 1984, PNAS 81:140",
        order.moments,
    ),
    "repeats": Block(
        ("equal_next", "equal_second", "low_complexity"),
        "counted; windows after Wootton and Federhen 1993, Comput Chem 17:149, with equal pairs in place of entropy",
        order.repeats,
    ),
    "distribution": Block(
        tuple(_distribution_names()),
        "composition, transition and distribution of Dubchak et al. 1995, PNAS 92:8700",
        order.distribution,
    ),
}
NAMES: tuple[str, ...] = tuple(name for block in BLOCKS.values() for name in block.names)

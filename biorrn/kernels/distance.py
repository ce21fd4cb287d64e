"""Edit distance and alignment columns of two sequences (edlib; Šošić and Šikić 2017)."""

from collections.abc import Sequence

import edlib


def distance(found: Sequence[int], wanted: Sequence[int]) -> int:
    """Return the Levenshtein distance of two sequences of symbols 1 to 127.

    >>> distance([1, 2, 3], [1, 3, 3, 4])
    2
    """
    if not len(found) or not len(wanted):
        return max(len(found), len(wanted))
    one, other = ("".join(map(chr, symbols)) for symbols in (found, wanted))
    return int(edlib.align(one, other, mode="NW", task="distance")["editDistance"])


def columns(call: str, label: str) -> dict[str, int]:
    """Return the columns of the best global alignment by kind: =, X, I (extra base in the call), D (missing base).

    >>> columns("ACGT", "ACCTT")
    {'=': 3, 'X': 1, 'I': 0, 'D': 1}
    """
    counts = {"=": 0, "X": 0, "I": 0, "D": 0}
    if not call or not label:
        return counts | {"I": len(call), "D": len(label)}
    number = ""
    for letter in edlib.align(call, label, mode="NW", task="path")["cigar"]:
        if letter.isdigit():
            number += letter
        else:
            counts[letter] += int(number)
            number = ""
    return counts


def identity(call: str, label: str) -> float:
    """Return matches over alignment columns of the best global alignment (edit distance) of a call with its label.

    >>> identity("ACGT", "ACCT")
    0.75
    """
    if not call or not label:
        return 0.0
    counts = columns(call, label)
    return counts["="] / sum(counts.values())

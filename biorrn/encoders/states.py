"""States of residues and bases: the letters of a label, and what they are called.

The eight states of DSSP (Kabsch and Sander 1983, Biopolymers 22:2577) become three as is usual since CASP (Moult et al.
1995): H, G and I are helix, E and B are strand, all others coil. The pi-helix is I, and P of later DSSP is coil.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from biorrn.errors import BiorrnError, ConfigError

NO_STATE = 255  # code of a residue whose state is not known
NO_LETTER = 254  # in a table of codes
MOST = 100  # states


@dataclass(frozen=True, slots=True)
class States:
    """What a residue can be.

    Attributes
    ----------
    name : str: of the property, as "secondary structure".
    letters : str: one a state; a state's code is its place.
    names : tuple of str: one a state.
    synonyms : dict: other letters of the input -> the letter that they stand for.
    unknown : str: letters of the input that say that the state is not known.
    """

    name: str
    letters: str
    names: tuple[str, ...]
    synonyms: dict[str, str] = field(default_factory=dict)
    unknown: str = ""

    def encode(self, labels: str) -> np.ndarray:
        """Return the code of each label, uint8 (T,); `NO_STATE` where it is not known.

        Raises
        ------
        BiorrnError: a letter that stands for no state.

        >>> THREE.encode("HGE-").tolist()
        [0, 0, 1, 2]
        >>> THREE.encode("HZ")
        Traceback (most recent call last):
        biorrn.errors.BiorrnError: label 'Z' at position 2 is not one of HECGIBTS-P and blank
        """
        table = np.full(256, NO_LETTER, np.uint8)
        for code, letter in enumerate(self.letters):
            table[ord(letter)] = code
        for letter, other in self.synonyms.items():
            table[ord(letter)] = self.letters.index(other)
        for letter in self.unknown:
            table[ord(letter)] = NO_STATE
        found = table[np.frombuffer(labels.encode("latin-1", "replace"), np.uint8)]
        wrong = np.flatnonzero(found == NO_LETTER)
        if len(wrong):
            place = int(wrong[0])
            allowed = self.letters + "".join(self.synonyms) + self.unknown
            words = allowed.replace(" ", "") + (" and blank" if " " in allowed else "")
            raise BiorrnError(f"label {labels[place]!r} at position {place + 1} is not one of {words}")
        return found


def parse_states(text: str, unknown: str = "", names: str = "", name: str = "") -> States:
    """Return the states that `--states` names: "3", "8", or the letters of others, as "io".

    Parameters
    ----------
    unknown : str: letters that say that the state is not known.
    names : str: of the states, comma separated; default: those of DSSP, or the letters.
    name : str: of the property.

    Raises
    ------
    ConfigError: fewer than two letters, a letter twice, or another number of names.

    >>> parse_states("io", names="inside,outside").names
    ('inside', 'outside')
    """
    given = STATES.get(text)
    letters = given.letters if given else text
    odd = [letter for letter in letters + unknown if not letter.isprintable() or ord(letter) > 255]
    if not 2 <= len(letters) <= MOST or len(set(letters)) < len(letters) or odd:
        raise ConfigError(f"--states: found '{text}'; allowed is 3, 8, or 2 to {MOST} different letters")
    called = tuple(part.strip() for part in names.split(",")) if names else given.names if given else tuple(letters)
    if len(called) != len(letters) or len(set(called)) < len(called) or not all(called):
        raise ConfigError(f"--state-names: found '{names}'; allowed are {len(letters)} different names, as a,b,c")
    synonyms = {key: value for key, value in (given.synonyms if given else {}).items() if key not in unknown}
    clash = [letter for letter in unknown if letter in letters]
    if clash:
        raise ConfigError(f"--unknown: '{clash[0]}' is a state; allowed are other letters")
    return States(name or (given.name if given else "state"), letters, called, synonyms, unknown)


def letters_for(names: list[str]) -> str:
    """Return one letter a name: a capital letter of the name that no name before it has, else the first free one.

    >>> letters_for(["none", "coding", "control"])
    'NCO'
    """
    letters = ""
    for name in names:
        wanted = [letter for letter in name.upper() if letter.isascii() and letter.isalpha()]
        free = [letter for letter in (*wanted, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ") if letter not in letters]
        if not free:
            raise BiorrnError(f"found {len(names)} names of segments; allowed are at most 26")
        letters += free[0]
    return letters


THREE = States(
    "secondary structure",
    "HEC",
    ("helix", "strand", "coil"),
    {"G": "H", "I": "H", "B": "E", "T": "C", "S": "C", "-": "C", "P": "C", " ": "C"},
)
EIGHT = States(
    "secondary structure",
    "GHIBESTC",
    ("3-10 helix", "alpha helix", "pi helix", "bridge", "strand", "bend", "turn", "coil"),
    {"-": "C", "P": "C", " ": "C"},
)
STATES = {"3": THREE, "8": EIGHT}

"""The errors that are a user's fault.

Each is one line that names the file, the record, what was found and what is allowed. The command line catches
`BiorrnError` once, prints that line and exits with `exit_code`; every other exception keeps its traceback.
"""

import re
from pathlib import Path

LONGEST = 1500  # characters of a message

# What a terminal obeys instead of showing it: control characters, marks that turn the direction of writing, and the
# halves of characters that stand for bytes of a file's name that are not UTF-8.
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: object) -> str:
    """Return a text as one line that a terminal shows as it is; what it would obey is spelt out.

    >>> shown("red " + chr(27) + "[31m, a line" + chr(10) + "and another")
    'red \\\\x1b[31m, a line and another'
    """
    return OBEYED.sub(lambda found: spelt(found[0]), str(text))


def spelt(character: str) -> str:
    """Return a character that a terminal obeys as letters; a blank for one that parts words."""
    if character in "\n\r\t":
        return " "
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


class BiorrnError(Exception):
    """Something the user can mend; its text is one line, without anything that a terminal would obey.

    >>> raise BiorrnError("--seed: found -1; allowed is 0 or more")
    Traceback (most recent call last):
    biorrn.errors.BiorrnError: --seed: found -1; allowed is 0 or more
    """

    exit_code = 2

    def __str__(self) -> str:
        text = shown(super().__str__())
        if len(text) > LONGEST:  # it quotes a file that has much to say
            text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 4 :]}"
        return text


class InputError(BiorrnError):
    """A file or a record in it cannot be used.

    Parameters
    ----------
    source : path or str: the file, as the user named it.
    problem : str: what was found and what is allowed.
    record : str, optional: the id of the record (protein, read, table row) at fault.
    flag : str: the kind of fault in a word, for tables and counts; "unusable" where there is none.

    >>> print(InputError("a.fa", "residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX", record="P53"))
    a.fa: record 'P53': residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX
    """

    def __init__(self, source: str | Path, problem: str, record: str | None = None, flag: str = "unusable") -> None:
        self.flag = flag
        self.source = "standard input" if str(source) == "-" else str(source)
        self.problem = " ".join(str(problem).split())
        self.record = record
        where = f"{self.source}: " if record is None else f"{self.source}: record '{record}': "
        super().__init__(where + self.problem)


class ConfigError(BiorrnError):
    """A recipe, a configuration or an option holds something unknown or out of range."""

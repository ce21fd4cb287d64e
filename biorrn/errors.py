"""The errors that are a user's fault.

Each is one line that names the file, the record, what was found and what is allowed. The command line catches
`BiorrnError` once, prints that line and exits with `exit_code`; every other exception keeps its traceback.
"""

from pathlib import Path


class BiorrnError(Exception):
    """Something the user can mend; its text is one line.

    >>> raise BiorrnError("--seed: found -1; allowed is 0 or more")
    Traceback (most recent call last):
    biorrn.errors.BiorrnError: --seed: found -1; allowed is 0 or more
    """

    exit_code = 2


class InputError(BiorrnError):
    """A file or a record in it cannot be used.

    Parameters
    ----------
    source : path or str: the file, as the user named it.
    problem : str: what was found and what is allowed.
    record : str, optional: the id of the record (protein, read, table row) at fault.

    >>> print(InputError("a.fa", "residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX", record="P53"))
    a.fa: record 'P53': residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX
    """

    def __init__(self, source: str | Path, problem: str, record: str | None = None) -> None:
        self.source = str(source)
        self.problem = " ".join(str(problem).split())
        self.record = record
        where = f"{self.source}: " if record is None else f"{self.source}: record '{record}': "
        super().__init__(where + self.problem)


class ConfigError(BiorrnError):
    """A recipe, a configuration or an option holds something unknown or out of range."""

"""Table of a benchmark set: joins source tables, some in archives, to one CSV with the split in column `set`.

Run by rule benchmark_split. It uses only the standard library, so that it starts fast.
"""

import csv
import gzip
import io
import random
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

KEPT = ("id", "sequence")  # columns, besides the target and the split


def lines_of(source: str) -> Iterator[str]:
    """Yield the lines of a text file, which may be gzip, or of a member of an archive: `file.zip!member`."""
    path, _, member = source.partition("!")
    if member:
        with zipfile.ZipFile(path) as archive, archive.open(member) as binary:
            yield from io.TextIOWrapper(binary, encoding="utf-8")
    else:
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as stream:
            yield from stream


def split_of(row: dict[str, str]) -> str:
    """Return the split of a row; train if the table does not give it."""
    return "valid" if row.get("validation") == "True" else row.get("set") or "train"


def write_table(sources: list[str], target: str, hold_out: float, seed: int, output: str | Path) -> None:
    """Write the rows of all sources, in order, with the columns id (if present), sequence, target and set.

    A fraction `hold_out` of the training rows, chosen at random with `seed`, becomes validation rows.
    """
    rows = [row | {"set": split_of(row)} for source in sources for row in csv.DictReader(lines_of(source))]
    if missing := [name for name in ("sequence", target) if name not in rows[0]]:
        raise ValueError(f"{sources[0]}: column '{missing[0]}' is missing; it has {', '.join(rows[0])}")
    training = [row for row in rows if row["set"] == "train"]
    for row in random.Random(seed).sample(training, round(hold_out * len(training))):
        row["set"] = "valid"
    columns = [name for name in KEPT if name in rows[0]] + [target, "set"]
    with open(output, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if job := globals().get("snakemake"):  # set by snakemake
    sys.stderr = open(job.log[0], "w", encoding="utf-8")  # noqa: SIM115  open until a traceback is written
    write_table(job.params.sources, job.params.target, job.params.hold_out, job.params.seed, job.output.table)

"""`biorrn reads`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def reads(
    paths: Annotated[list[Path], typer.Argument(help="FAST5, POD5, SLOW5 or BLOW5 files, or folders of them.")],
    summary: Annotated[bool, typer.Option("--summary", help="Print counts instead of one row a read.")] = False,
    files: Annotated[
        bool, typer.Option("--files", help="Print the path of each file, in the order of reading; none is opened.")
    ] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="TSV file, .gz compresses; - is stdout.")] = "-",
) -> None:
    """List and check raw nanopore reads.

    Prints one TSV row a read, in the order of the input, with the chemistry that its metadata stand for; folders are
    walked recursively and formats may be mixed. The whole signal of each read is decoded, so a damaged file shows. Each
    file that is damaged in any way is said on standard error, and then the exit code is 2, after the rest was listed.

    \b
    Examples:
      biorrn reads run/ -o reads.tsv
      biorrn reads run/a.pod5 run/b.blow5 --summary
      biorrn reads archive/ --files -o files.txt      # for biorrn basecall --files files.txt --shard 3/8
    """
    from biorrn.errors import ConfigError, InputError
    from biorrn.files import tsv_line, write_text
    from biorrn.progress import progress
    from biorrn.readers.shards import list_files
    from biorrn.readers.signal import read_all
    from biorrn.readers.summary import COLUMNS, Problems, Summary, row

    if files:
        if summary:
            raise ConfigError("--files and --summary: found both; allowed is one of them")
        with write_text(output) as out:
            for path in list_files(paths):
                print(path, file=out)
        return
    problems, totals = Problems(sys.stderr), Summary()
    with progress("reads", "samples") as advance, write_text(output) as out:
        for record in read_all(paths, problems, calibrated=False):
            if not totals.lengths and not summary:
                print(*COLUMNS, sep="\t", file=out)
            totals.add(record)
            if record.faults:
                problems(InputError(record.source, "; ".join(record.faults), record.read_id))
            if not summary:
                out.write(tsv_line(*row(record)))
            advance(len(record.raw))
        if summary:
            for name, value in totals.rows():
                out.write(tsv_line(name, value))
    if totals.repeats.count:
        print(f"biorrn: warning: {totals.repeats.line()}", file=sys.stderr)
    if problems.close():
        raise typer.Exit(2)

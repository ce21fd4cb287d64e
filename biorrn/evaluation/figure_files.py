"""Where the figures of a command go that draws one a protein and a target."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from biorrn.errors import ConfigError
from biorrn.evaluation.figures import as_bytes, slug
from biorrn.files import atomic_path

FORMATS = (".svg", ".png")
Save = Callable[[Figure, str, str], None]


@contextlib.contextmanager
def figure_files(path: str | Path, targets: int = 1) -> Iterator[Save]:
    """Yield `save(figure, id, target)`, which writes the figure of a protein and a target.

    Parameters
    ----------
    path : a file, SVG or PNG by its suffix, or a folder. A file's name is taken as it is where there is one protein
        and one target; else the id, and of several targets the target, follow it. In a folder files are named by id.
    targets : int: how many there are.

    Raises
    ------
    ConfigError: another suffix, before anything is drawn.
    """
    path = Path(f"{path}/") if str(path).endswith("/") else Path(path)
    folder = path.is_dir() or not path.suffix
    suffix = FORMATS[0] if folder else path.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"--figure: found '{path}'; allowed is a name with {' or '.join(FORMATS)}, or a folder")
    used: set[Path] = set()
    waiting: list[tuple[bytes, str, str]] = []  # figures of the first protein, until it is known to be the only one

    def write(content: bytes, id: str, target: str, alone: bool = False) -> None:
        parts = [] if folder else [path.stem]
        parts += [] if alone and not folder else [slug(id)]
        parts += [slug(target)] if targets > 1 else []
        place = path if folder else path.parent
        chosen, number = place / f"{'_'.join(parts)}{suffix}", 2
        while chosen in used:  # ids that differ in characters that a name cannot hold
            chosen, number = place / f"{'_'.join(parts)}_{number}{suffix}", number + 1
        used.add(chosen)
        with atomic_path(chosen) as temporary:
            temporary.write_bytes(content)

    def save(figure: Figure, id: str, target: str) -> None:
        content = as_bytes(figure, suffix[1:])
        if not used and all(id == first for _, first, _ in waiting):
            waiting.append((content, id, target))
            return
        while waiting:
            write(*waiting.pop(0))
        write(content, id, target)

    yield save
    for kept in waiting:
        write(*kept, alone=True)

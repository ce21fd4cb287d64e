"""The tutorials and the page of the API: every block of bash or Python runs as it stands, on the example data."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs/api.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# the language of a page -> the command that runs its blocks, and what stands before them
RUN = {
    "bash": (["bash", "-c"], "set -euo pipefail\n"),
    "python": ([sys.executable, "-W", "error::UserWarning", "-c"], ""),
}
PYTHON = ("api", "notebook")  # pages of Python; these are quick


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[] if path.stem in PYTHON else pytest.mark.slow) for path in PAGES],
)
def test_every_block_runs(path: Path, tmp_path: Path) -> None:
    for name in ("data", "config", "workflow", "Snakefile", "biorrn", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "profiles").mkdir()  # not the project's: it would not matter, but for its cores
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    language = "python" if path.stem in PYTHON else "bash"
    assert blocks
    assert {kind for kind, _ in blocks} == {language}
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    command, before = RUN[language]
    script = before + "\n".join(text for _, text in blocks)
    done = subprocess.run(
        [*command, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_links_between_pages() -> None:
    """Links to files of the project; those of made pages are checked when the site is built (`make docs`)."""
    made = {"configuration.md", "data.md", "contributing.md", "commands.md", "package.md", "changes.md"}
    lost = []
    for page in (ROOT / "docs").rglob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in link and link.split("/")[-1] not in made and not (page.parent / link).exists():
                lost.append(f"{page.relative_to(ROOT)}: {link}")
    assert not lost

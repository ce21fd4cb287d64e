"""The report in a real browser, driven over the DevTools protocol: no error, no request, no wider than the window."""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from biorrn.report.page import render

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
PATIENCE = 120.0  # s for an answer: only a browser that hangs takes longer, on whatever machine
WIDTHS = (1280, 390)
EVIL = '<img src="x" onerror="document.title=\'run\'"><script>document.title="run"</script>'
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="300pt" height="200pt" viewBox="0 0 300 200">'
    '<style>rect { fill: #0072b2 }</style><rect width="300" height="200" style="opacity: .5"/></svg>'
)


class Browser:
    """A headless browser with one page; JSON messages end with a zero byte, commands go on one pipe, answers on one."""

    def __init__(self, program: str, folder: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # the browser reads commands from descriptor 3 and writes to 4, wherever the pipes are here
        shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._count, self._held, self._session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            if not data:
                raise RuntimeError("the browser ended" if ready else f"no answer of the browser in {PATIENCE:.0f} s")
            self._held += data
        message, _, self._held = self._held.partition(b"\0")
        return dict(json.loads(message))

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            found = self._read()
            if found.get("id") == self._count:
                assert "error" not in found, found
                return dict(found["result"])
            self.events.append(found)

    def open(self, path: Path, width: int, dark: bool = False) -> None:
        """Show a file in a window of a width in px, and wait until it is loaded and drawn."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self("Emulation.setEmulatedMedia", features=scheme)
        self("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600)
        self.events.clear()
        self("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def value(self, script: str) -> Any:
        """Return what an expression is on the page, a promise awaited."""
        found = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Return once an expression is true on the page."""
        self.value(f"new Promise(done => {{ const look = () => {script} ? done(1) : setTimeout(look, 20); look(); }})")

    def said(self) -> list[str]:
        """Return what the page has put on the console since it was opened: calls, errors, breaches of its policy."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in kinds]

    def asked(self) -> list[str]:
        """Return the addresses that the page has asked for since it was opened, but for those that hold their data."""
        requests = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        addresses = [str(event["params"]["request"]["url"]) for event in requests]
        return [address for address in addresses if not address.startswith(("data:", "blob:"))]

    def close(self) -> None:
        """End the browser."""
        self._session = ""
        try:
            self("Browser.close")
            self._process.wait(PATIENCE)
        except (AssertionError, RuntimeError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    try:
        started = Browser(program, tmp_path_factory.mktemp("profile"))
    except (RuntimeError, OSError) as error:
        pytest.skip(f"Chromium does not start here: {error}")
    yield started
    started.close()


def estimate(value: float) -> dict[str, float]:
    return {"n": 40, "value": value, "low": value - 0.1, "high": value + 0.1}


def write_inputs(folder: Path) -> dict[str, Any]:
    """Write a report's inputs: three runs, one with a name that is a program, a data set, a sample and costs."""
    (folder / "a.svg").write_text(SVG)
    evaluations, runs = [], []
    for place, name in enumerate(["alpha_with_a_rather_long_name_of_a_run_lr0.003_seed1", f"b{EVIL}", "gamma"]):
        metrics = {"tm": {"spearman": estimate(0.5 + 0.1 * place), "rmse": estimate(1.0)}}
        content: dict[str, Any] = {
            "kind": "regression",
            "name": name,
            "split": "valid",
            "note": EVIL,
            "cautions": [EVIL],
        }
        content |= {
            "inputs": {},
            "metrics": metrics,
            "baselines": {},
            "figures": [{"path": "a.svg", "caption": f"figure {EVIL}"}],
        }
        evaluations.append(folder / f"{place}.json")
        evaluations[-1].write_text(json.dumps(content))
    head = ["epoch", "train_loss", "valid_loss", "lr", "grad_norm", "grad_norm.frontend", "grad_norm.core.0"]
    lines = [head] + [[str(epoch)] + [f"{0.1 * (epoch + k):.2f}" for k in range(1, len(head))] for epoch in range(3)]
    runs.append(folder / "gamma")
    runs[0].mkdir()
    (runs[0] / "history.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    histogram = {"edges": [0, 10, 20], "counts": [4, 6]}
    data = {"kind": "protein", "lengths": {"train": histogram, "valid": histogram}, "word": EVIL * 3}
    (folder / "data.json").write_text(json.dumps(data))
    qc = {"kind": "qc", "name": "cell", "figures": [], "facts": {"reads": 12, "n50": 900, "long": "ACGT" * 100}}
    (folder / "qc.json").write_text(json.dumps(qc | {"columns": [dict.fromkeys(map(str, range(20)), 123456)]}))
    (folder / "benchmarks" / "train").mkdir(parents=True)
    (folder / "benchmarks" / "train" / "gamma.tsv").write_text("s\tmax_rss\n61.5\t812.3\n")
    more = {"sampled": {"qc": [folder / "qc.json"]}, "benchmarks": folder / "benchmarks"}
    return {"evaluations": evaluations, "runs": runs, "prepared": [folder / "data.json"], "title": f"t {EVIL}", **more}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(render(**write_inputs(folder)), encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_quiet_and_alone_and_as_wide_as_the_window(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, dark)
    browser.value("document.querySelectorAll('details').forEach(entry => { entry.open = true; })")
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("window.innerWidth") == width  # a phone widens its window where a page does not fit
    pictures = (
        "Promise.all([...document.images].filter(i => i.src).map(i => i.decode().then(() => i.naturalWidth > 0)))"
    )
    shown = browser.value(pictures)
    assert shown
    assert all(shown)
    assert browser.value("document.title").startswith("t <img")  # no script of a file has run
    assert browser.said() == []
    assert browser.asked() == [page.as_uri()]


def test_tables_sort_by_number_and_by_word(browser: Browser, page: Path) -> None:
    browser.open(page, 1280)
    table = "document.querySelector('table.runs')"
    column = f"[...{table}.tBodies[0].rows].map(row => row.cells[%d].textContent)"
    heading = f"{table}.tHead.rows[0].cells[%d]"
    order = []
    for _ in range(2):
        browser.value(f"{heading % 2}.querySelector('button').click()")
        order.append((browser.value(f"{heading % 2}.ariaSort"), browser.value(column % 2)))
    assert order == [("descending", ["0.700", "0.600", "0.500"]), ("ascending", ["0.500", "0.600", "0.700"])]
    browser.value(f"{heading % 0}.querySelector('button').focus()")
    for kind in ("keyDown", "keyUp"):
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        browser("Input.dispatchKeyEvent", type=kind, **key)
    names = browser.value(column % 0)
    assert names == sorted(names)
    assert [browser.value(f"{heading % place}.ariaSort") for place in (0, 2)] == ["ascending", None]
    assert browser.value("document.querySelectorAll('table:not(.sortable)').length") == 0
    assert browser.said() == []


def test_figures_are_saved_as_svg_and_png(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page, 390)
    count = browser.value("document.querySelectorAll('figure').length")
    names = browser.value("[...document.querySelectorAll('a[download]')].map(link => link.download)")
    assert sum(name.endswith(".svg") for name in names) == sum(name.endswith(".png") for name in names) == count > 3
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for name in names)
    # what a click saves, caught before the browser does
    caught = (
        "(() => { window.caught = []; URL.createObjectURL = blob => { caught.push(blob); return '#'; };"
        "HTMLAnchorElement.prototype.click = () => {};"
        "const saves = document.querySelector('figure').querySelectorAll('a[download]');"
        "saves.forEach(link => link.dispatchEvent(new MouseEvent('click', {cancelable: true}))); })()"
    )
    browser.value(caught)
    browser.wait("caught.length > 1")
    read = "Promise.all(caught.map(b => b.arrayBuffer().then(a => [b.type, [...new Uint8Array(a.slice(0, 8))]])))"
    heads = {kind: bytes(head) for kind, head in browser.value(read)}
    assert heads["image/png"] == b"\x89PNG\r\n\x1a\n"
    assert heads["image/svg+xml"].startswith(b"<")
    assert browser.said() == []


def test_links_open_what_is_closed(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    browser.value("document.querySelectorAll('details').forEach(entry => { entry.open = false; })")
    browser.value("document.querySelector('table.runs a').click()")
    browser.wait("document.querySelector('.entry[open]')")
    assert browser.value("document.querySelectorAll('.entry[open]').length") == 1
    assert browser.value("[...document.querySelectorAll('h1,h2,h3,h4,h5')].length") > 8
    assert browser.said() == []

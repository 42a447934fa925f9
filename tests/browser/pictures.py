"""Takes the docs' pictures anew: ``python tests/browser/pictures.py``. The house in them is always the same."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from chromium import NARROW, WIDE, Watched, chromium, program, watched
from lived import UIDS
from lived_pages import lived_pages

from migrations.schema import upgrade
from worker.embedded.valkey import Valkey

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
TEXT = "Assalomu alaykum! Buyurtmangiz yoʻlga chiqdi, bugun 18:00 gacha yetkazamiz."
SHOWN = {
    "start": "/",
    "messages": "/messages",
    "message": f"/message/{UIDS.told}",
    "send": "/send",
    "status": "/status",
    "login": "/login",
}
TALL = {"start": 1080, "message": 1000}  # pixels, where they are wide
LARGEST_BYTES = 250_000


def main() -> None:
    """Take every page that is named, or all, at both widths, light and dark."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _redis(Path(folder)) as url,
        lived_pages(_template(Path(folder)), Path(folder), redis_url=url) as pages,
        chromium() as browser,
    ):
        state = pages.cookies(browser)
        for name in sys.argv[1:] or SHOWN:
            for width, dark in product((NARROW, WIDE), (False, True)):
                who = {} if name == "login" else {"storage_state": state}
                with watched(browser, pages.url, width=width, dark=dark, **who) as shown:
                    _take(shown, name, FOLDER / f"{name}-{width}-{'dark' if dark else 'light'}.png")


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    server = Valkey(folder)
    server.start()
    yield server.url
    server.stop()


def _template(folder: Path) -> Path:
    file = folder / "template.db"
    upgrade(f"sqlite:///{file}")
    return file


def _take(shown: Watched, name: str, file: Path) -> None:
    if str(WIDE) in file.name and name in TALL:
        shown.page.set_viewport_size({"width": WIDE, "height": TALL[name]})
    shown.open(SHOWN[name])
    if name == "send":
        _write(shown)
    shown.page.screenshot(path=file, animations="disabled", caret="hide")
    size = file.stat().st_size
    sys.stdout.write(f"{file.name}: {size:,} bytes\n")
    if shown.wrong() or size > LARGEST_BYTES:
        sys.exit(f"{file.name}: {shown.wrong() or 'too large'}")


def _write(shown: Watched) -> None:
    """A text in the form, so that it counts."""
    shown.page.fill("[name=phone]", "+998 90 123-45-67")
    shown.page.fill("[name=text]", TEXT)
    shown.page.locator("#count", has_text="2 parts").wait_for()


if __name__ == "__main__":
    if not program():
        sys.exit("There is no Chromium: install Debian's chromium, or name one with CHROMIUM.")
    FOLDER.mkdir(exist_ok=True)
    main()

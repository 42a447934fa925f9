"""A real Chromium, and a page of it that remembers what it should not have done."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has none
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the network is cut, but for this machine
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
)
NARROW, WIDE = 360, 1280
HEIGHTS = {NARROW: 740, WIDE: 800}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth <= wide) return found;
  for (const one of document.querySelectorAll("body *")) {
    if (one.getBoundingClientRect().right > wide + 1) {
      found.push(one.tagName + "." + one.className + " " + one.textContent.trim().slice(0, 40));
    }
  }
  return found.length ? found : ["the page itself"];
}"""


def program() -> str | None:
    """The Chromium of this machine: the one that CHROMIUM names, or one on PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless one with an empty profile, which can reach nothing but 127.0.0.1."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=list(FLAGS), headless=True)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page of `url`'s site. A request to any other host is stopped and remembered, and so is every complaint."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    forgiven: tuple[str, ...] = ()  #: words of complaints that a test expects

    def __post_init__(self) -> None:
        self.page.context.route("**/*", self._let_through)
        self.page.on("console", lambda said: self._complain(said.text) if said.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("requestfailed", self._failed)

    def open(self, path: str) -> Page:
        """Go to *path* of the site."""
        self.page.goto(self.url + path)
        return self.page

    def wrong(self) -> list[str]:
        """Whatever it complained of so far, but for what is forgiven."""
        return [one for one in self.complaints if not any(words in one for words in self.forgiven)]

    def barriers(self) -> list[str]:
        """What axe finds against WCAG 2.2 A and AA: rule, element, and why."""
        found = Axe().run(self.page, options=RULES).response["violations"]
        return [_told(rule, node) for rule in found for node in rule["nodes"]]

    def too_wide(self) -> list[str]:
        """What makes the page scroll sideways."""
        return list(self.page.evaluate(OVERFLOW))

    def _complain(self, words: str) -> None:
        self.complaints.append(f"{self.page.url}: {words}")

    def _let_through(self, route: Route, request: Request) -> None:
        if urlsplit(request.url).netloc == urlsplit(self.url).netloc:
            route.continue_()
            return
        self._complain(f"a foreign host was asked: {request.url}")
        route.abort()

    def _failed(self, request: Request) -> None:
        if request.failure and "ERR_ABORTED" not in request.failure:  # a page that was left, or a download
            self._complain(f"{request.url}: {request.failure}")


@contextmanager
def watched(browser: Browser, url: str, *, width: int = WIDE, dark: bool = False, **more: Any) -> Iterator[Watched]:
    """A page in a profile of its own; *more* is Playwright's. With cookies of somebody who is logged in it is his."""
    how: dict[str, Any] = (
        {"viewport": {"width": width, "height": HEIGHTS[width]}, "locale": "en-GB"}
        | {"color_scheme": "dark" if dark else "light", "reduced_motion": "reduce"}
        | more
    )
    context: BrowserContext = browser.new_context(**how)
    context.set_default_timeout(10_000)
    yield Watched(context.new_page(), url)
    context.close()


def _told(rule: dict[str, Any], node: dict[str, Any]) -> str:
    reasons: Sequence[dict[str, Any]] = [*node["any"], *node["all"], *node["none"]]
    return f"{rule['id']}: {node['html'][:160]} – {'; '.join(one['message'] for one in reasons)}"

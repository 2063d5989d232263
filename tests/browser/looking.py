"""A browser window that notes whatever a page complains of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.broker.consoles import Running

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
_VIOLATION = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));"""


@dataclass
class Looking:
    """A window.

    Attributes:
        complaints: errors of the console, exceptions of scripts, violations of the policy.
        expected: parts of complaints that a test provokes on purpose.
    """

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    @classmethod
    def open(cls, browser: Browser, **options: Any) -> Looking:
        """A window without cookies; options as those of Playwright's contexts."""
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_VIOLATION)
        made = cls(context, context.new_page())
        made.page.on("console", made._heard)
        made.page.on("pageerror", lambda error: made._note(f"exception: {error}"))
        return made

    def go(self, console: Running, path: str) -> Page:
        """Open a page of a console."""
        self.page.goto(f"{console.http.base_url}{path}".replace("//ui", "/ui"))
        return self.page

    def barriers(self) -> list[str]:
        """What axe finds serious or critical on the page, as it is now."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    def close(self) -> None:
        """Close the window."""
        self.context.close()

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self._note(f"console: {message.text} {message.location.get('url', '')}")

    def _note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.complaints.append(text)

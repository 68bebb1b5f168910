"""One chapter open in JupyterLab: what a test may do with it."""

from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

__all__ = ["Chapter"]

SCREENS = Path(__file__).parents[2] / "build" / "screens"

# Said by JupyterLab itself, whatever notebook is open.
_NOT_OURS = ("favicon", "ResizeObserver", "language pack")

# Elements of a panel that leave the window, are cut, or lie on one another.
_LAYOUT_FAULTS = """
(panel) => {
  const faults = [], frame = panel.getBoundingClientRect();
  if (frame.width > 925 || frame.height > 600) faults.push(`panel is ${frame.width} x ${frame.height}`);
  const parts = [...panel.querySelectorAll('label, button, select, input, img, .widget-readout')]
    .filter((part) => part.offsetParent && part.getBoundingClientRect().width > 1);
  for (const part of parts) {
    const box = part.getBoundingClientRect(), name = `${part.tagName} ${part.textContent || part.alt || part.value}`;
    if (box.right > frame.right + 1 || box.bottom > frame.bottom + 1) faults.push(`${name} leaves the panel`);
    if (part.matches('input[type=number]') && box.width < 40) faults.push(`${name} has no room for a number`);
    if (part.matches('label, button') && part.scrollWidth > part.clientWidth + 1) faults.push(`${name} is cut`);
    if (!part.matches('input') && parseFloat(getComputedStyle(part).fontSize) < 13) faults.push(`${name} is small`);
  }
  for (const image of panel.querySelectorAll('img')) if (!image.alt) faults.push('an image has no alt');
  const solid = parts.filter((part) => !part.matches('input:not([type=number])'));
  solid.forEach((first, i) => solid.slice(i + 1).forEach((second) => {
    if (first.contains(second) || second.contains(first)) return;
    const a = first.getBoundingClientRect(), b = second.getBoundingClientRect();
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    const [upper, lower] = [first, second].map((part) => part.textContent || part.id || part.tagName);
    if (wide > 2 && high > 2) faults.push(`${upper} lies on ${lower}`);
  }));
  return faults;
}
"""

_KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel"
_CELLS = "window.jupyterapp.shell.currentWidget.context.model.toJSON().cells"


class Chapter:
    """A chapter in its own page; `errors` collects what the console complained about."""

    def __init__(self, browser: Browser, lab: str, name: str):
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 720})
        self.errors: list[str] = []
        self.name = name
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{lab}/lab/tree/work/{name}.ipynb?reset")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        self.page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context?.isReady", timeout=60_000)
        # A lecture has no side bar, and a test must see every cell.
        self.page.evaluate("window.jupyterapp.shell.collapseLeft()")
        self.page.evaluate("window.jupyterapp.shell.currentWidget.content.notebookConfig = "
                           "{...window.jupyterapp.shell.currentWidget.content.notebookConfig, windowingMode: 'none'}")

    def _listen(self, message) -> None:
        if message.type == "error" and not any(words in message.text for words in _NOT_OURS):
            self.errors.append(message.text)

    def run_all(self) -> None:
        """Run every cell; waits until the last one has run."""
        self.page.wait_for_function(f"{_KERNEL}?.status === 'idle'", timeout=60_000)
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def outputs(self, kind: str) -> list[str]:
        """Outputs of one type, as JSON text."""
        outputs = f"{_CELLS}.flatMap(cell => cell.outputs ?? []).filter(one => one.output_type === '{kind}')"
        return self.page.evaluate(f"{outputs}.map(one => JSON.stringify(one))")

    def unrun_cells(self) -> int:
        """Code cells without a count."""
        return self.page.evaluate(f"{_CELLS}.filter(cell => cell.cell_type === 'code' && !cell.execution_count).length")

    def panel(self, title: str) -> Locator:
        """The panel of that title, scrolled into view."""
        panel = self.page.locator(".widget-vbox.labcore-panel").filter(has_text=title).first
        panel.wait_for(timeout=60_000)
        panel.scroll_into_view_if_needed()
        return panel

    def layout_faults(self, panel: Locator) -> list[str]:
        """What overflows, is cut, overlaps, is small, or has no alternative text."""
        return panel.evaluate(_LAYOUT_FAULTS)

    def screenshot(self, name: str, of: Locator | None = None) -> None:
        """Keep a picture in build/screens."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        (of or self.page).screenshot(path=SCREENS / f"{self.name}-{name}.png")

    def faults_of_quizzes(self) -> list[str]:
        """Layout faults of every prediction, floor and self-test."""
        quizzes = self.page.locator(".labcore-quiz")
        quizzes.first.wait_for(timeout=60_000)
        return [fault for quiz in quizzes.all() for fault in self.layout_faults(quiz)]

    def move_every_control(self, panel: Locator) -> list[str]:
        """Sliders to their ends, menus through their options, boxes both ways; gives the layout faults on the way."""
        faults = []
        for slider in panel.get_by_role("slider").all():
            for key in ("Home", "End"):
                slider.focus()
                self.page.keyboard.press(key)
                self.wait_for_rest(panel)
                faults += self.layout_faults(panel)
        for menu in panel.get_by_role("combobox").all():
            for option in menu.locator("option").all_inner_texts():
                menu.select_option(option)
                self.wait_for_rest(panel)
                faults += self.layout_faults(panel)
        for box in panel.get_by_role("checkbox").all():
            for _ in "on", "off":
                box.click()
                self.wait_for_rest(panel)
                faults += self.layout_faults(panel)
        return faults

    def wait_for_rest(self, panel: Locator) -> None:
        """Wait until the kernel is idle, the panel measures no more, and its picture stays."""
        before, picture = None, panel.locator("img").first
        while (now := picture.get_attribute("src")) != before:
            before = now
            self.page.wait_for_timeout(250)
            self.page.wait_for_function(f"{_KERNEL}.status === 'idle'", timeout=20_000)
            expect(panel).not_to_contain_text("measuring", timeout=20_000)

    def wait_for_change(self, element: Locator, before: str) -> str:
        """Wait until a text differs from `before` and no measurement runs."""
        expect(element).not_to_have_text(before, timeout=20_000)
        expect(element).not_to_contain_text("measuring", timeout=20_000)
        return element.inner_text()

"""The lab opens chapter 0 at once: no question about news, no request that leaves the machine."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.case("C-install", "C-download")
def test_lab_opens_chapter_0_without_a_dialog_and_without_the_network(browser, lab):
    page, requested = browser.new_page(), []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{lab}/lab/tree/work/00_costs.ipynb?reset")
    expect(page.get_by_role("heading", name="What does a network cost?")).to_be_visible(timeout=60_000)
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'")
    page.wait_for_timeout(2_000)  # news would be asked for by now

    assert page.locator(".jp-Dialog").count() == 0
    assert page.get_by_text("official Jupyter news").count() == 0
    assert [url for url in requested if not url.startswith((lab, lab.replace("http", "ws"), "data:", "blob:"))] == []
    assert [url for url in requested if "/api/news" in url or "/api/update" in url] == []
    page.close()

"""Chapter 0 as a learner meets it."""

import pytest
from playwright.sync_api import expect

from browser.chapter import Chapter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TITLE = "What does each layer of lab_cnn cost?"


@pytest.fixture(scope="module")
def stored(browser, lab):
    chapter = Chapter(browser, lab, "00_costs")
    yield chapter
    chapter.page.close()


@pytest.fixture(scope="module")
def chapter(stored):
    """The chapter after Run All."""
    stored.run_all()
    return stored


def test_the_stored_chapter_shows_its_pictures_before_anything_runs(stored):
    pictures = stored.page.locator(".jp-OutputArea img")
    expect(pictures.nth(5)).to_be_attached(timeout=20_000)
    assert pictures.evaluate_all("all => all.filter(one => !one.naturalWidth).length") == 0
    stored.screenshot("stored")
    assert stored.errors == []


def test_run_all_has_no_error_cell(chapter):
    assert chapter.outputs("error") == []
    assert chapter.unrun_cells() == 0


def test_every_picture_has_alternative_text(chapter):
    bare = chapter.page.locator(".jp-OutputArea img:not([alt]):visible")
    assert bare.evaluate_all("all => all.map(one => one.outerHTML.slice(0, 300))") == []


def test_folded_answers_stay_folded_after_run_all_and_open_by_keyboard(chapter):
    answers = chapter.page.locator(".jp-OutputArea details", has=chapter.page.locator("summary", has_text="answer"))
    assert answers.count() >= 3
    assert answers.evaluate_all("all => all.filter(one => one.open).length") == 0
    first = answers.first
    first.scroll_into_view_if_needed()
    first.locator("summary").focus()
    chapter.page.keyboard.press("Enter")
    expect(first).to_have_attribute("open", "")
    chapter.screenshot("answer", first)


def test_a_slider_moved_by_keyboard_changes_the_measured_number(chapter):
    panel = chapter.panel(TITLE)
    number = panel.locator(".labcore-readout")
    expect(number).not_to_contain_text("measuring", timeout=20_000)
    before = number.inner_text()
    panel.get_by_role("slider").focus()
    chapter.page.keyboard.press("ArrowLeft")
    after = chapter.wait_for_change(number, before)
    assert "≈" in after


def test_the_sliders_name_and_value_are_in_the_accessibility_tree(chapter):
    slider = chapter.panel(TITLE).get_by_role("slider")
    assert slider.get_attribute("aria-valuenow") is not None
    assert chapter.panel(TITLE).get_by_text("width", exact=True).count() == 1


@pytest.mark.parametrize("key", ["Home", "End", None], ids=["min", "max", "default"])
def test_the_panel_fits_a_projector_at(chapter, key):
    panel = chapter.panel(TITLE)
    if key is None:
        panel.get_by_role("button", name="start again").click()
    else:
        panel.get_by_role("slider").focus()
        chapter.page.keyboard.press(key)
    chapter.wait_for_rest(panel)
    chapter.screenshot(f"panel-{key or 'default'}", panel)
    assert chapter.layout_faults(panel) == []


@pytest.mark.parametrize("scene", ["parameters", "activations", "time", "half the width"])
def test_each_scene_says_what_to_see_and_fits(chapter, scene):
    panel = chapter.panel(TITLE)
    panel.get_by_role("button", name=scene, exact=True).click()
    expect(panel.locator(".labcore-status")).to_contain_text(f"{scene}:", timeout=10_000)
    chapter.wait_for_rest(panel)
    chapter.screenshot(f"panel-{scene.replace(' ', '-')}", panel)
    assert chapter.layout_faults(panel) == []


def test_every_option_of_every_control_works(chapter):
    panel = chapter.panel(TITLE)
    assert chapter.move_every_control(panel) == []
    assert "Error" not in panel.inner_text()


def test_the_quizzes_are_laid_out_without_a_fault(chapter):
    assert chapter.faults_of_quizzes() == []


def test_the_numbers_stand_as_text_when_asked_for(chapter):
    panel = chapter.panel(TITLE)
    panel.get_by_role("button", name="numbers as text").click()
    expect(panel.locator("pre")).to_contain_text("most: conv3")
    panel.get_by_role("button", name="numbers as text").click()


def test_the_console_stays_silent(chapter):
    assert chapter.errors == []

"""What an answer renders anew stays as a person had it: lists that were unfolded, the place of the keyboard."""

from playwright.sync_api import expect

from tests.demo.hands import OpenPage, changed, choose_class, picture


def test_a_list_that_is_unfolded_while_an_answer_comes_stays_open(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    page.locator("#method [data-method=guided_grad_cam]").first.click()
    page.locator("#method details.more summary").click()
    page.locator("#about details.formula summary").click()
    changed(page, before)
    expect(page.locator("#method .pills [data-method=guided_grad_cam]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#method details.more")).to_have_attribute("open", "")
    expect(page.locator("#about details.formula")).to_have_attribute("open", "")
    before = picture(page)
    page.locator("#method details.more [data-method=saliency]").click()
    expect(page.locator("#method details.more")).not_to_have_attribute("open", "")
    changed(page, before)
    expect(page.locator("#method details.more")).not_to_have_attribute("open", "")
    expect(page.locator("#about details.formula")).to_have_attribute("open", "")


def test_the_keyboard_stays_where_it_was(open_page: OpenPage) -> None:
    page = open_page()
    pill = page.locator("#method .pills [data-method=guided_grad_cam]")
    before = picture(page)
    pill.focus()
    page.keyboard.press("Enter")
    before = changed(page, before)
    expect(pill).to_have_attribute("aria-pressed", "true")
    expect(pill).to_be_focused()
    page.locator("#classes button").nth(1).focus()
    page.keyboard.press("Enter")
    before = changed(page, before)
    expect(page.locator("#heading h2")).to_contain_text("Egyptian cat")
    expect(page.locator("#classes button").nth(1)).to_be_focused()
    choose_class(page, "target", "lynx")
    changed(page, before)
    expect(page.locator("#heading h2")).to_contain_text("lynx")
    expect(page.locator("#heading .word[data-word=target]")).to_be_focused()

"""The page in Chinese, as a visitor meets it: every text, the way there and back, and what axe says of it."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from engine.demo.language import texts
from tests.demo.hands import (
    SECONDS,
    OpenPage,
    changed,
    choose_class,
    choose_method,
    picture,
)
from tests.demo.test_axe import check

CHINESE = "zh-CN"
WIDTHS = {390: 844, 1366: 768}
READY = "window.convlens?.length > 1 && window.convlens.every(frame => frame.complete)"

# What a visitor reads or is read aloud, but for the names of classes, layers, papers and files.
SEEN = """() => {
    const names = "#heading .word, #classes, #line, .caption-label, code, pre, #about a, #words li, #model ul, "
        + "[lang=en]";
    const shown = (node) => node.checkVisibility({visibilityProperty: true}) && !node.closest(names);
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode;
        const inside = node.parentElement;
        if (node.data.trim() && shown(inside)) found.push(node.data);
    }
    for (const node of document.querySelectorAll("*")) {
        for (const name of ["aria-label", "title", "alt", "placeholder", "aria-valuetext"]) {
            if (node.getAttribute(name) && shown(node)) found.push(node.getAttribute(name));
        }
    }
    return found;
}"""
# Names of methods, models, colour maps and formats; what the field writes in Latin letters in Chinese too.
NAMES = {
    "ConvLens", "EfficientNet", "Lite", "Viridis", "Inferno", "Turbo", "PyTorch", "TorchScript", "ImageNet",
    "Apache", "scikit", "image", "Chelsea", "logits", "softmax", "arXiv", "uint",
    "https", "github", "illustrated", "model", "pytorch", "efficientnet", "lite",
    "ReLU", "Zhou", "Choe", "JSON", "Python", "torch", "libtorch", "autograd", "float", "BatchNorm", "Epilogue",
    "ConvSteps", "weights", "folded",
    "Gradio", "Walt", "Rachel", "Michetti", "Varshney", "SpaceX",
}  # fmt: skip


def ready(page: Page) -> None:
    page.locator("html.whole #layer").hover()  # a hand near the slider loads its frames
    page.wait_for_function(READY)
    page.wait_for_load_state("networkidle")


def open_chinese(open_page: OpenPage, asked: str = "", **options: object) -> Page:
    page = open_page(**options)
    page.goto(f"{page.url.split('?')[0]}{CHINESE}{asked}")
    ready(page)
    return page


def english_left(page: Page) -> set[str]:
    """The texts with Latin words of more than three letters that are no names."""
    same = " ".join(text for text, told in texts(CHINESE).items() if text == told)
    methods = set(re.findall("[A-Za-z]+", same))
    classes = page.locator("#heading .word, #classes dt, #answer [lang=en]")
    labels = set(re.findall("[A-Za-z]+", " ".join(classes.all_inner_texts())))
    known = NAMES | methods | labels
    seen = {
        re.sub(r"\S+ · \d+ × |^\S+(?=，第 \d+ 层)", "", text) for text in page.evaluate(SEEN)
    }  # names of layers
    return {text for text in seen if not known.issuperset(re.findall("[A-Za-z]{4,}", text))}


def test_each_page_says_its_language(site: str, open_page: OpenPage) -> None:
    """In the HTML as it comes, and once gradio has run, whatever the browser prefers."""
    assert '<html\n\tlang="en"' in httpx.get(site).text
    assert '<html\n\tlang="zh-CN"' in httpx.get(site + CHINESE).text
    page = open_page()
    assert page.evaluate("document.documentElement.lang") == "en"
    expect(page.locator("footer")).to_contain_text("Use via API")
    page.goto(site + CHINESE)
    ready(page)
    assert page.evaluate("document.documentElement.lang") == CHINESE
    expect(page.locator("footer")).not_to_contain_text("Use via API")
    assert page.get_by_role("navigation").count() == 0


def test_programs_ask_once_and_in_english(site: str) -> None:
    named = httpx.get(f"{site}gradio_api/info").json()["named_endpoints"]
    assert {*named} == {"/classify", "/explain", "/sweep", "/trust", "/unit"}
    assert "Why a model sees a class" in str(named["/explain"])


def test_no_english_is_left_by_mouse(open_page: OpenPage) -> None:
    page = open_chinese(open_page)
    expect(page.locator("#heading h2")).to_have_text("为什么是 tiger cat？")
    expect(page.locator("#line")).to_have_text("bn2.act · 1280 × 7 × 7 · 第 73/73 层")
    assert english_left(page) == set()
    page.locator("#method summary").click()
    page.get_by_role("button", name="关于这张图、模型及其文件").click()
    expect(page.get_by_text("精确度：")).to_be_visible()
    assert english_left(page) == set()
    for method in ("grad_cam", "guided_backprop", "saliency", "occlusion", "eigen_cam", "hires_cam"):
        before = picture(page)
        choose_method(page, method)
        changed(page, before)
        assert english_left(page) == set(), method
    for panel in page.locator("#panels [data-panel]").all():
        panel.click()
        expect(page.locator("#answer .prose > *:visible").nth(1)).to_be_visible(timeout=60 * SECONDS)
        page.wait_for_load_state("networkidle")
        assert english_left(page) == set(), panel.inner_text()
    page.get_by_role("tab", name="所有层").click()
    expect(page.locator("#frames .thumbnail-item").last).to_be_visible()
    assert english_left(page) == set()


def test_no_english_is_left_by_keyboard(open_page: OpenPage) -> None:
    page = open_chinese(open_page)
    page.locator("#heading .word").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="要解释的类别")).to_be_focused()
    assert english_left(page) == set()
    before = picture(page)
    page.keyboard.type("lynx")
    page.keyboard.press("Enter")
    changed(page, before)
    expect(page.locator("#heading h2")).to_have_text("为什么是 lynx？")
    page.locator("#heading .word").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#words li").first).to_have_text("不与其他类别对比")
    before = picture(page)
    page.keyboard.type("tabby")
    page.keyboard.press("Enter")
    changed(page, before)
    expect(page.locator("#heading h2")).to_have_text("为什么是 lynx，而不是 tabby？")
    page.get_by_role("slider", name="层：滑块").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#line")).to_contain_text("第 71/73 层")
    expect(page.locator("#range")).to_have_text(re.compile("取值范围|没有支持该类别的依据"))
    page.wait_for_function("document.querySelector('#picture img')?.naturalWidth > 0")
    page.get_by_label("照片盖住热力图的比例").focus()
    page.keyboard.press("End")
    expect(page.locator("#before")).to_be_visible()
    assert english_left(page) == set()


def test_no_english_is_left_in_a_story(open_page: OpenPage) -> None:
    page = open_chinese(open_page)
    page.get_by_role("button", name="它可信吗？").click()
    card = page.get_by_role("dialog", name="它可信吗？")
    expect(card).to_contain_text("中间层的 Grad-CAM。")
    expect(page.locator("#trust strong")).to_contain_text("此处不区分类别")
    page.wait_for_load_state("networkidle")
    assert english_left(page) == set()
    before = picture(page)
    card.get_by_role("button", name="下一步").click()
    changed(page, before)
    expect(card).to_contain_text("每个位置用自己的梯度")
    assert english_left(page) == set()


def test_what_is_refused_is_said_in_chinese(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_chinese(open_page, "?why=unicorn")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("该模型没有类别 'unicorn'。请从列表中选择。")
    expect(toast).to_contain_text("出错了")
    (tmp_path / "cat.png").write_bytes(b"%PDF-1.7" + bytes(600))
    page.locator("#own-photo").locator("xpath=preceding-sibling::input").set_input_files(tmp_path / "cat.png")
    expect(toast.last).to_contain_text("这是 PDF 文档，不是可以读取的照片。")
    page.get_by_role("button", name="相机").click()
    expect(page.locator("#camera")).to_contain_text("请保持不动。")
    expect(page.locator("#camera .take")).to_have_text("拍照")


def test_the_way_to_the_other_language_and_back_keeps_the_state(open_page: OpenPage) -> None:
    page = open_page()
    before = picture(page)
    choose_class(page, "target", "lynx")
    before = changed(page, before)
    choose_method(page, "saliency")
    changed(page, before)
    expect(page).to_have_url(re.compile("method=saliency&why=lynx"))
    page.get_by_role("link", name="简体中文").click()
    expect(page.locator("#heading h2")).to_have_text("为什么是 lynx？")
    expect(page.locator("#heading p")).to_contain_text("显著图")
    expect(page).to_have_url(re.compile(f"/{CHINESE}.*method=saliency&why=lynx"))
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="English").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#heading h2")).to_have_text("Why lynx?")
    expect(page.locator("#heading p")).to_contain_text("Saliency")
    expect(page).not_to_have_url(re.compile(CHINESE))
    page.wait_for_load_state("networkidle")


def test_that_a_photo_of_ones_own_stays_behind_is_said(open_page: OpenPage, chelsea: Path) -> None:
    page = open_chinese(open_page)
    note = page.get_by_text("您自己的照片不会随链接带走。")
    expect(note).to_be_hidden()
    before = picture(page)
    page.locator("#own-photo").locator("xpath=preceding-sibling::input").set_input_files(
        chelsea.with_name("coffee.png")
    )
    changed(page, before)
    expect(note).to_be_visible()


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        pytest.param(width, dark, marks=() if dark == (width < 700) else pytest.mark.sweep)
        for width in WIDTHS
        for dark in (False, True)
    ],
)
def test_axe_finds_nothing_serious(open_page: OpenPage, width: int, dark: bool) -> None:
    page = open_chinese(open_page, viewport={"width": width, "height": WIDTHS[width]}, dark=dark)
    check(page, "as it opens")
    page.locator("#method summary").click()
    for panel in page.locator("#panels [data-panel]").all():
        panel.click()
        expect(page.locator("#answer .prose > *:visible").nth(1)).to_be_visible(timeout=60 * SECONDS)
        check(page, f"with the panel {panel.get_attribute('data-panel')}")
    page.locator("#heading .word").first.click()
    check(page, "with the list of classes")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="所有层").click()
    check(page, "every layer")

"""What a link to the page shows where it is passed on."""

import io
import re
from html import unescape

import httpx
import pytest
from PIL import Image

PAIR = "?photo=coffee-and-chelsea&why=tiger+cat&rather=espresso"


def tags(html: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, content in re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]+)" content="([^"]*)"', html):
        found.setdefault(name, []).append(unescape(content))
    return found


def test_the_page_has_its_own_name_and_picture(site: str) -> None:
    found = tags(httpx.get(site).text)
    assert found["og:title"] == ["ConvLens"] and "Gradio" not in str(found)
    assert found["og:image"] == [f"{site}card.png?language=en"]
    assert found["twitter:card"] == ["summary_large_image"]


def test_the_link_of_an_answer_shows_its_card(site: str) -> None:
    found = tags(httpx.get(site + PAIR).text)
    assert found["og:title"] == ["Why tiger cat rather than espresso? · ConvLens"]
    (address,) = found["og:image"]
    reply = httpx.get(address, timeout=120)
    assert reply.status_code == 200 and reply.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(reply.content)) as card:
        assert card.size == (1200, 630)
    assert reply.content != httpx.get(f"{site}card.png", timeout=120).content


def test_the_other_language_has_a_title_of_its_own(site: str) -> None:
    html = httpx.get(f"{site}zh-CN{PAIR}").text
    assert 'lang="zh-CN"' in html and "language=zh-CN" in tags(html)["og:image"][0]
    assert "rather than" not in tags(html)["og:title"][0] and "tiger cat" in tags(html)["og:title"][0]


@pytest.mark.parametrize("query", ["?why=<b>buy+this</b>", "?why=a+word+of+mine", "?rather=x&why=tiger+cat"])
def test_a_title_repeats_nothing_but_classes(site: str, query: str) -> None:
    assert tags(httpx.get(site + query).text)["og:title"] == ["ConvLens"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?model=vgg16", "There is no card of a model that is not there yet"),
        ("?method=occlusion", "There is no card of a method of many passes"),
        ("?photo=../../etc/passwd", "There is no example photo"),
        ("?why=nonsense", "This model has no class"),
        (f"?why={'a' * 3000}", "That address is too long"),
    ],
)
def test_what_has_no_card_is_a_sentence(site: str, query: str, sentence: str) -> None:
    reply = httpx.get(f"{site}card.png{query}", timeout=120)
    assert reply.status_code == 404 and reply.text.startswith(sentence)


def test_a_proxy_says_where_the_page_is(site: str) -> None:
    headers = {"x-forwarded-proto": "https", "x-forwarded-host": "lens.example"}
    (address,) = tags(httpx.get(site, headers=headers).text)["og:image"]
    assert address == "https://lens.example/card.png?language=en"


def test_the_page_is_packed_for_those_who_take_that(site: str) -> None:
    packed, plain = (httpx.get(site, headers={"accept-encoding": how}) for how in ("gzip", "identity"))
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.text.count("<script") == plain.text.count("<script")
    assert int(packed.headers["content-length"]) < len(plain.content) / 3

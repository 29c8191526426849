"""What the stories in a browser rely on: a page that is not right is found."""

import pytest

from browser.window import Window


def test_what_is_wrong_with_a_page_is_found(window: Window) -> None:
    def found(html: str) -> str:
        with pytest.raises(AssertionError) as trouble:
            look(html)
        return str(trouble.value)

    def look(html: str) -> None:
        body = f'<!doctype html><html lang="en" dir="ltr"><title>A</title><main><h1>A</h1>{html}</main>'
        window.context.route("https://page.example/", lambda route: route.fulfill(body=body, content_type="text/html"))
        window.context.route(
            "https://elsewhere.example/", lambda route: route.fulfill(body="", content_type="image/png")
        )
        window.page.goto("https://page.example/")
        window.check_looks(window.page)

    look("<p>Nothing is wrong.</p>")
    assert "color-contrast" in found('<p style="color: #888">Too pale</p>')
    assert "label" in found("<input>")
    assert "at 320" in found('<p style="width: 330px">Too wide</p>')
    assert "names b" in found('<label for="b">B</label>')
    assert "@alice:example.org at @" in found('<p dir="rtl">@alice:example.org</p>')
    assert found(f"<!--{'x' * 60_000}-->")
    assert "elsewhere.example" in found('<img src="https://elsewhere.example/" alt="">')

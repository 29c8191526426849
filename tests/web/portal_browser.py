"""A person's browser without JavaScript: it keeps cookies, follows redirects and says where its forms come from."""

import html
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from web.visitor import Page, Visitor
from world import BASE, PASSWORD, World


class Browser(Visitor):
    """One browser, with its own cookies."""

    def __init__(self, world: World, path: str = "/account/", **headers: str) -> None:
        self.cookies: dict[str, str] = {}
        self.attributes: dict[str, str] = {}
        """The attributes of each cookie, as the server set it."""
        self.trail: list[str] = []
        """The paths of all requests."""
        super().__init__(world, path, **headers)

    def open(self, path: str) -> None:
        self._arrive(self._ask("GET", path))

    def press(self, button: str, *, check: tuple[str, ...] = (), **typed: str) -> Page:
        """Type into fields, check checkboxes, press a button. The fields of its form alone go along."""
        form = self.page.form_of[button]
        action, names = self.page.forms[form]
        assert typed.keys() <= names, self.page.html
        known = {**self.page.fields, **self.page.values[form], **typed}
        fields = {name: value for name, value in known.items() if name in names}
        fields |= {name: self.page.checkboxes[name] for name in check}
        if (pressed := self.page.buttons[button]) is not None:
            fields[pressed[0]] = pressed[1]
        return self.submit(fields, urljoin(self.path, action or self.path))

    def submit(self, fields: dict[str, str], path: str, **headers: str) -> Page:
        """Send a form to `path` as a browser does."""
        self._arrive(self._ask("POST", path, fields, **{"Origin": BASE, "Sec-Fetch-Site": "same-origin", **headers}))
        return self.page

    def send(self, fields: dict[str, str], **headers: str) -> Page:
        return self.submit(fields, self.path, **headers)

    def speak(self, language: str, **headers: str) -> Page:
        """Choose the language in the footer."""
        action, language_field = 'action="/language"', f'<option value="{language}"'
        assert action in self.page.html
        assert language_field in self.page.html
        back = html.unescape(self.page.html.partition('name="next" value="')[2].partition('"')[0])
        return self.submit({"language": language, "next": back}, "/language", **headers)

    def sign_in(self, username: str = "alice", password: str = PASSWORD) -> None:
        """Sign in on the page that asks for it."""
        self.press("Sign in", name=username, password=password)

    def get_json(self, path: str) -> Any:
        """What a script of the page gets; the page stays."""
        here = self.path
        answer = self._ask("GET", path)
        self.path = here
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def download(self, button: str) -> Any:
        """The JSON file that a button gives; the page stays."""
        action, names = self.page.forms[self.page.form_of[button]]
        fields = {name: value for name, value in self.page.fields.items() if name in names}
        path = urljoin(self.path, action or self.path)
        answer = self._ask("POST", path, fields, **{"Origin": BASE, "Sec-Fetch-Site": "same-origin"})
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        return answer.json()

    def _ask(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        self.path = path
        self.trail.append(f"{method} {path}")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {**self._headers, **headers, **({"Cookie": cookie} if cookie else {})}
        answer = self._world.run(self._world.http.request(method, path, data=fields, headers=given))
        self._world.http.cookies.clear()  # each browser of a test has its own
        for header in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                self.attributes[name] = header
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer

    def _arrive(self, answer: httpx.Response) -> None:
        for _ in range(5):
            if answer.status_code != 303:
                break
            target = answer.headers["location"]
            assert not urlsplit(target).netloc, f"led to another site: {target}"
            answer = self._ask("GET", target)
        self.page = Page(answer)

"""Somebody who reads pages, fills in forms and presses buttons, without a browser and without JavaScript."""

import re
from html.parser import HTMLParser
from typing import Any, Self
from urllib.parse import quote, urlencode, urljoin

import httpx

from world import World

REFERENCES = (
    "for",
    "aria-describedby",
    "aria-labelledby",
    "aria-controls",
    "aria-details",
    "aria-errormessage",
    "aria-owns",
)
"""Attributes that name other elements by their ids."""
VOID = frozenset({"meta", "link", "input", "br", "img"})


class Page(HTMLParser):
    """A page as it was answered, with the form that is on it."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.headers = answer.headers
        self.html = answer.text
        self.has_ended = False
        """Has the footer begun? Its form, which is on every page, is left out of what follows."""
        self.fields: dict[str, str] = {}
        self.attributes: dict[str, dict[str, str | None]] = {}
        """The attributes of each field, by its name."""
        self.checkboxes: dict[str, str] = {}
        self.options: list[str] = []
        self.buttons: dict[str, tuple[str, str] | None] = {}
        self.links: dict[str, dict[str, str | None]] = {}
        self.forms: list[tuple[str, set[str]]] = []
        """The action and the names of the fields of each form."""
        self.values: list[dict[str, str]] = []
        """The values of the inputs of each form: rows of a list have forms with fields of the same names."""
        self.form_of: dict[str, int] = {}
        """The number of the form that a button belongs to, by the button's text."""
        self.scripts: list[str | None] = []
        self.strong: list[str] = []
        """What the page says with emphasis, such as the names of the rows of a list."""
        self.texts: dict[str, str] = {}
        """The text of each element with an id."""
        self.structure: list[tuple[str, tuple[str, ...]]] = []
        """All tags with the names of their attributes: what is only text changes nothing of it."""
        self.heading = self.problem = self.text = ""
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._select = ""
        self._ids: list[str] = []
        self._references: list[tuple[str, str, str]] = []
        self.feed(self.html)
        self._check_references()

    def _check_references(self) -> None:
        """On every page that any test visits: what a label or description is for is there, once."""
        assert len(set(self._ids)) == len(self._ids), f"ids come twice: {sorted(self._ids)}"
        for tag, name, value in self._references:
            named = value.split()
            assert named, f"<{tag} {name}> names nothing"
            assert set(named) <= set(self._ids), f'<{tag} {name}="{value}"> names what is not there'

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.structure.append((tag, tuple(given)))
        if tag == "footer":
            self.has_ended = True
        if "id" in given:
            self._ids.append(given["id"] or "")
        self._references += [(tag, one, given[one] or "") for one in REFERENCES if one in given]
        if not self.has_ended:
            self._note_input(tag, given)
        if tag not in VOID:
            self._open.append((tag, given, []))

    def _note_input(self, tag: str, given: dict[str, str | None]) -> None:
        name = given.get("name") or ""
        self._note_form(tag, given)
        if tag == "input" and given.get("type") == "checkbox":
            self.checkboxes[name] = given["value"] or ""
        elif tag == "input" and name:
            self.fields[name] = given.get("value") or ""
            if self.values:
                self.values[-1][name] = self.fields[name]
            self.attributes[name] = given
        elif tag == "select":
            self._select = name
        elif tag == "option":
            self.options.append(given["value"] or "")
            if "selected" in given or self._select not in self.fields:
                self.fields[self._select] = self.options[-1]
        elif tag == "script":
            self.scripts.append(given.get("src"))

    def _note_form(self, tag: str, given: dict[str, str | None]) -> None:
        if tag == "form":
            self.forms.append((given.get("action") or "", set()))
            self.values.append({})
        elif self.forms and given.get("name"):
            self.forms[-1][1].add(given["name"] or "")

    def handle_data(self, data: str) -> None:
        for _, _, text in self._open:
            text.append(data)

    def handle_endtag(self, tag: str) -> None:
        opened, given, pieces = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"
        text = " ".join("".join(pieces).split())
        if tag == "p" and given.get("class") not in ("target", "address"):
            assert not re.search(r"[a-z][.!?][A-Z]", text), f"two sentences without a blank: {text}"
        if tag == "h1":
            self.heading = text
        elif tag == "button" and not self.has_ended:
            name = given.get("name")
            self.form_of[text] = len(self.forms) - 1
            self.buttons[text] = (name, given.get("value") or "") if name else None
        elif tag == "a":
            self.links[text] = given
        elif tag == "strong" and any(outer == "main" for outer, _, _ in self._open):
            self.strong.append(text)
        elif tag == "main":
            self.text = text
        if given.get("role") == "alert":
            self.problem = text
        if identifier := given.get("id"):
            self.texts[identifier] = text


class Visitor:
    """Reads one page after the other."""

    def __init__(self, world: World, path: str, **headers: str) -> None:
        self._world = world
        self._headers = headers
        self.path = path
        self.open(path)

    @classmethod
    def at_stage(cls, world: World, stage: str, session: str, *, version: str = "v3", **headers: str) -> Self:
        """A visitor whom an app has sent to the page of a stage."""
        path = f"/_matrix/client/{version}/auth/{cls.escaped(stage)}/fallback/web?session={cls.escaped(session)}"
        return cls(world, path, **headers)

    @staticmethod
    def escaped(text: str) -> str:
        """`text` as one segment of a path."""
        return quote(text, safe="")

    def open(self, path: str) -> None:
        self.path = path
        self.page = Page(self._world.get(path, headers=self._headers))

    def follow(self, link: str) -> None:
        self.open(urljoin(self.path, self.page.links[link]["href"] or ""))

    def press(self, button: str, *, check: tuple[str, ...] = (), **typed: str) -> Page:
        """Type into fields, check checkboxes, press a button; what else is in the form goes along."""
        assert typed.keys() <= self.page.fields.keys(), self.page.html
        fields = {**self.page.fields, **typed, **{name: self.page.checkboxes[name] for name in check}}
        pressed = self.page.buttons[button]
        if pressed is not None:
            fields[pressed[0]] = pressed[1]
        return self.send(fields)

    def send(self, fields: dict[str, str], **headers: str) -> Page:
        """Send a form as a browser does."""
        answer = self._world.post(
            self.path,
            urlencode(fields),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": "null",
                "Sec-Fetch-Site": "same-origin",
                **self._headers,
                **headers,
            },
        )
        self.page = Page(answer)
        return self.page


def begin(
    world: World, path: str = "/register", body: Any = None, *, access_token: str | None = None, **auth: Any
) -> dict[str, Any]:
    """The 401 answer of a request that needs authentication; `auth` completes a stage of it."""
    given = {**(body or {}), **({"auth": auth} if auth else {})}
    answer = world.post(f"/_matrix/client/v3{path}", given, token=access_token)
    assert answer.status_code == 401, answer.text
    found: dict[str, Any] = answer.json()
    return found


def completed(world: World, session: str) -> list[str]:
    """What a registration session has complete, as the app sees it; all of it is shown by the next error."""
    answer = world.post("/_matrix/client/v3/register", {"auth": {"session": session}})
    if answer.status_code == 401:
        return list(answer.json().get("completed", ()))
    # Everything is there but the password of the account.
    assert answer.json()["errcode"] == "M_MISSING_PARAM", answer.text
    return ["all"]


DONE = "✓ Thank you, that worked"

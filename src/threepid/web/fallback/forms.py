"""The stages with one form each: password, terms, registration token, captcha and dummy."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from threepid.config import Captcha
from threepid.domain.authentication.uia import Uia
from threepid.domain.services import Homeserver
from threepid.http.exchange import Answer
from threepid.http.forms import Form
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, LimitExceeded, MatrixError, NotFound, Unrecognized
from threepid.spec.uia import DUMMY, PASSWORD, RECAPTCHA, REGISTRATION_TOKEN, TERMS, AuthData
from threepid.web.fallback.visit import Visit
from threepid.web.typed import typed_code

_CAPTCHA_ANSWERS: Final = ("g-recaptcha-response", "h-captcha-response", "cf-turnstile-response")
"""Form fields in which the widgets of the known providers put their answer."""


def form_stages(homeserver: Homeserver) -> dict[str, "FormStage"]:
    """The stages with one form, by stage type. The captcha only if one is configured."""
    captcha = homeserver.settings.captcha
    kinds = [
        FormKind(DUMMY, "auth_dummy.html", _dummy),
        FormKind(PASSWORD, "auth_password.html", _password),
        FormKind(REGISTRATION_TOKEN, "auth_registration_token.html", _registration_token),
        FormKind(TERMS, "auth_terms.html", _terms, lambda visit: {"documents": _documents(visit)}),
    ]
    if captcha is not None:
        kinds.append(_captcha_kind(captcha))
    return {kind.stage: FormStage(homeserver.uia, kind) for kind in kinds}


class FormKind(Struct, frozen=True):
    """The form of a stage: template, parser, values and policy."""

    stage: str
    template: str
    read: Callable[[Visit, Form], AuthData]
    """Reads the form. Raises InvalidParam for input that the person must correct."""
    values: Callable[[Visit], dict[str, Any]] = lambda _visit: {}
    """Further values for the template."""
    allow: Mapping[str, str] = {}
    """Further directives of the page's policy."""


class FormStage:
    """A stage whose page has one form."""

    def __init__(self, uia: Uia, kind: FormKind) -> None:
        """`kind` describes the form."""
        self._uia = uia
        self._kind = kind

    async def show(self, visit: Visit) -> Answer:
        """Show the form."""
        return self._page(visit)

    async def submit(self, visit: Visit, form: Form) -> Answer | None:
        """None if the stage is complete, else the form again. Raises NotFound or Unrecognized if it cannot be completed."""
        try:
            await self._uia.complete(visit.session, self._kind.read(visit, form), client=visit.client)
        except (NotFound, Unrecognized):
            raise
        except MatrixError as error:
            return self._page(visit, error)
        return None

    def _page(self, visit: Visit, error: MatrixError | None = None) -> Answer:
        return visit.pages.page(
            self._kind.template,
            status=error.status if error else 200,
            headers=error.headers() if error else None,
            allow=self._kind.allow,
            visit=visit,
            problem=error.text if error else None,
            limited=isinstance(error, LimitExceeded),
            **self._kind.values(visit),
        )


def _dummy(_visit: Visit, _form: Form) -> AuthData:
    return AuthData(type=DUMMY)


def _password(_visit: Visit, form: Form) -> AuthData:
    # No user here: the authentication session knows the user.
    return AuthData(type=PASSWORD, password=form.get("password", ""))


def _registration_token(_visit: Visit, form: Form) -> AuthData:
    return AuthData(type=REGISTRATION_TOKEN, token=typed_code(form.get("token", "")))


class Document(Struct, frozen=True):
    """A document to accept, in the language that fits the visitor best."""

    id: str
    version: str
    language: str
    name: str
    url: str


def _documents(visit: Visit) -> list[Document]:
    found = []
    for id_, policy in visit.view.params[TERMS]["policies"].items():
        chosen = visit.pages.language_among([name for name in policy if name != "version"])
        found.append(Document(id_, policy["version"], chosen, policy[chosen]["name"], policy[chosen]["url"]))
    return found


def _terms(visit: Visit, form: Form) -> AuthData:
    # The form carries the versions: the person has not read a version that was published after the page was loaded.
    if any(form.get(f"accept-{document.id}") != document.version for document in _documents(visit)):
        raise InvalidParam(Text("Read and accept everything to continue."))
    return AuthData(type=TERMS)


def _captcha_kind(captcha: Captcha) -> FormKind:
    script = urlsplit(captcha.script_url)
    origins = " ".join(dict.fromkeys([f"{script.scheme}://{script.netloc}", *captcha.frame_hosts]))
    values = {"widget_class": captcha.widget_class, "site_key": captcha.site_key, "script_url": captcha.script_url}
    allow = {
        "script-src": f"'self' {origins}",
        "frame-src": origins,
        "connect-src": origins,
        "style-src": f"'self' {origins}",
    }
    return FormKind(RECAPTCHA, "auth_captcha.html", _captcha, lambda _visit: values, allow)


def _captcha(_visit: Visit, form: Form) -> AuthData:
    answer = next((form[name] for name in _CAPTCHA_ANSWERS if form.get(name)), "")
    if not answer:
        raise InvalidParam(Text("Solve the captcha first."))
    return AuthData(type=RECAPTCHA, response=answer)

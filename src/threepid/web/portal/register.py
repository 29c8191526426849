"""Create an account: username and password, then what the configuration asks for, one page for each stage.

The ID of the authentication session is in a cookie and never in an address, so nobody takes part from another browser.
"""

from http import HTTPStatus
from typing import Final

from threepid.domain.authentication.stages import MEDIA
from threepid.domain.lifecycle.registration import FINISHED
from threepid.domain.lifecycle.sign_ups import SignUp, Visitor, following
from threepid.http.cookies import Cookie
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import (
    Exclusive,
    Forbidden,
    InvalidParam,
    InvalidUsername,
    LimitExceeded,
    MatrixError,
    NotFound,
    ThreepidInUse,
    TooLarge,
    Unrecognized,
    UserInUse,
    WeakPassword,
)
from threepid.spec.uia import (
    DUMMY,
    EMAIL_IDENTITY,
    MSISDN,
    RECAPTCHA,
    REGISTRATION_TOKEN,
    TERMS,
    AuthenticationRequiredError,
)
from threepid.web.fallback.contact import ContactStage, Sent
from threepid.web.fallback.forms import FormStage, form_stages
from threepid.web.fallback.visit import Visit as StageVisit
from threepid.web.page import Access, Fields, Form, page
from threepid.web.visit import AFTER, Visit, signed_in_cookies

REGISTER: Final = "/account/register"
SESSION: Final = "threepid-registration"
"""The cookie of a browser in which somebody registers: the ID of the authentication session."""
SENT: Final = "threepid-registration-sent"
"""The cookie of a browser that asked for a code: the session ID and the client secret of the validation session."""
_NEXT: Final = f"{REGISTER}/next"
_STEP: Final = f"{REGISTER}/{{step}}"
_STEPS: Final = {
    "email": EMAIL_IDENTITY,
    "phone": MSISDN,
    "terms": TERMS,
    "token": REGISTRATION_TOKEN,
    "captcha": RECAPTCHA,
}
"""The stages that have a page, by the last part of its path."""
_OF_NAME: Final = (Exclusive, InvalidUsername, UserInUse)
_OF_PASSWORD: Final = (InvalidParam, WeakPassword)


class RegisterForm(Form, frozen=True):
    """The new account's username and password."""

    username: str = ""
    password: str = ""


class _StageVisit(StageVisit, frozen=True, kw_only=True):
    """A visit to the page of a stage, by the person who registers here."""

    @property
    def again(self) -> str:
        """The address of the stage's first page, also after a code was sent. The session is in the cookie."""
        return "?other=1"

    @property
    def purpose(self) -> Text:
        """The sentence that says what the person is about to do."""
        return Text("You are creating an account.")


@page("GET", REGISTER, access=Access.ANYONE)
async def show_register(visit: Visit) -> Answer:
    """Ask for username and password."""
    return visit.redirect(visit.next) if visit.session else _ask(visit)


@page("POST", REGISTER, access=Access.ANYONE)
async def register(visit: Visit, form: RegisterForm) -> Answer:
    """Check username and password, and go on to what else the configuration asks for."""
    try:
        begun = await visit.homeserver.sign_ups.begin(form.username.strip(), form.password, _visitor(visit))
    except (*_OF_NAME, *_OF_PASSWORD, Forbidden, LimitExceeded, TooLarge) as error:
        return _ask(visit, form.username, error)
    if begun.token:
        return await _signed_in(visit, begun, visit.next)
    begins = (Cookie(SESSION, begun.session), Cookie(SENT, "", 0), Cookie(AFTER, visit.next))
    return visit.redirect(_NEXT, set_cookies=begins)


@page("GET", _NEXT, access=Access.ANYONE)
async def show_next(visit: Visit) -> Answer:
    """Lead to the page of the next stage, or ask which of several comes next."""
    view = await visit.homeserver.sign_ups.view(visit.cookie(SESSION))
    if view is None:
        return await _finished(visit) or visit.redirect(f"{REGISTER}{visit.after_query}")
    stages = following(view)
    steps = [step for step, stage in _STEPS.items() if stage in stages]
    if len(stages) > 1:
        return visit.show("portal/register_choice.html", account=view.account, steps=steps)
    if steps:
        return visit.redirect(f"{REGISTER}/{steps[0]}")
    return visit.show("portal/register_finish.html", account=view.account, problem=None, name="")


@page("POST", f"{REGISTER}/finish", access=Access.ANYONE)
async def finish(visit: Visit) -> Answer:
    """Create the account, and sign this browser in."""
    return await _finish(visit)


@page("GET", _STEP, access=Access.ANYONE)
async def show_step(visit: Visit) -> Answer:
    """Show the page of a stage: of one that has sent a code, the page that asks for it, unless another address is wanted.

    People leave this page for their mails, so it must come back as it was, also in another language.
    """
    found = await _stage(visit)
    if found is None:
        return visit.redirect(_NEXT)
    stage, of_stage = found
    page = None
    if isinstance(stage, ContactStage) and "other" not in visit.query:
        sid, _, secret = visit.cookie(SENT).partition(".")
        page = await stage.resume(of_stage, sid, secret, again="again" in visit.query)
    return visit.adopt(page or await stage.show(of_stage))


@page("POST", _STEP, access=Access.ANYONE)
async def take_step(visit: Visit, form: Fields) -> Answer:
    """Take the form of a stage, and go on when the stage is complete."""
    found = await _stage(visit)
    if found is None:
        return visit.redirect(_NEXT)
    stage, of_stage = found

    def keep(sent: Sent, again: bool) -> Answer:
        path = f"{REGISTER}/{visit.variables['step']}{'?again=1' if again else ''}"
        return visit.redirect(path, set_cookies=(Cookie(SENT, f"{sent.sid}.{sent.client_secret}"),))

    try:
        if isinstance(stage, ContactStage):
            answer = await stage.submit(of_stage, form.values, keep=keep)
        else:
            answer = await stage.submit(of_stage, form.values)
    except (NotFound, Unrecognized):
        return visit.redirect(_NEXT)
    if answer is not None:
        return answer if answer.status == HTTPStatus.SEE_OTHER else visit.adopt(answer)
    view = await visit.homeserver.sign_ups.view(of_stage.session)
    if view is None or set(following(view)) - {DUMMY}:
        return visit.redirect(_NEXT)
    return await _finish(visit)


async def _stage(visit: Visit) -> tuple[FormStage | ContactStage, StageVisit] | None:
    """The stage that the path names, and the visit to it; None if it does not come next."""
    homeserver, session = visit.homeserver, visit.cookie(SESSION)
    view = await homeserver.sign_ups.view(session)
    stage = _STEPS.get(visit.variables["step"])
    if view is None or stage is None or stage not in following(view):
        return None
    of_stage = _StageVisit(
        pages=visit.pages,
        session=session,
        stage=stage,
        view=view,
        client=visit.client,
        form_token=visit.form_token,
    )
    if stage in MEDIA:
        return ContactStage(visit.services, homeserver.uia, MEDIA[stage]), of_stage
    return form_stages(homeserver)[stage], of_stage


async def _finish(visit: Visit) -> Answer:
    session = visit.cookie(SESSION)
    view = await visit.homeserver.sign_ups.view(session)
    try:
        done = await visit.homeserver.sign_ups.finish(session, _visitor(visit))
    except AuthenticationRequiredError:
        return visit.redirect(_NEXT)
    except (*_OF_NAME, *_OF_PASSWORD) as error:
        return await _finished(visit) or _ask(visit, error=error)
    except (Forbidden, NotFound, ThreepidInUse) as error:
        return await _finished(visit) or _not_created(visit, error)
    except LimitExceeded as error:
        return _not_created(visit, error, view.account if view else None)
    return await _signed_in(visit, done, visit.after)


async def _finished(visit: Visit) -> Answer | None:
    """The page for a person whose account is there, but who does not know: the form was sent twice. None if it is not there."""
    user_id = await visit.homeserver.sign_ups.account_of(visit.cookie(SESSION))
    return None if user_id is None else _not_created(visit, Forbidden(FINISHED), name=user_id)


def _not_created(visit: Visit, error: MatrixError, account: str | None = None, *, name: str = "") -> Answer:
    return visit.show(
        "portal/register_finish.html", status=error.status, account=account, problem=error.text, name=name
    )


async def _signed_in(visit: Visit, done: SignUp, after: str) -> Answer:
    if visit.session is not None:  # another tab signed in meanwhile
        await visit.homeserver.web_sessions.end(visit.session.user_id, visit.session.session_id, visit.origin)
    ended = (Cookie(SESSION, "", 0), Cookie(SENT, "", 0), Cookie(AFTER, "", 0))
    return visit.redirect(after, set_cookies=(*signed_in_cookies(done.token), *ended))


def _visitor(visit: Visit) -> Visitor:
    return Visitor(visit.client, visit.user_agent, visit.origin, visit.languages)


def _ask(visit: Visit, username: str = "", error: MatrixError | None = None) -> Answer:
    problem = error.text if error else None
    of_name, of_password = isinstance(error, _OF_NAME), isinstance(error, _OF_PASSWORD)
    closed = visit.homeserver.settings.registration == "closed"
    return visit.show(
        "portal/register.html",
        status=error.status if error else 403 if closed else 200,
        closed=closed,
        username=username,
        name_problem=problem if of_name else None,
        password_problem=problem if of_password else None,
        problem=None if of_name or of_password else problem,
    )


PAGES: Final = (show_register, register, show_next, finish, show_step, take_step)

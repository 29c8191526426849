"""Change the password of an account, or choose its first one."""

from typing import Final

from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, LimitExceeded, MatrixError, WeakPassword
from threepid.web.page import Access, Form, page
from threepid.web.visit import SignedIn

PATH: Final = "/account/password"


class NewPasswordForm(Form, frozen=True):
    """The new password. With `sign_out`, the account's devices are logged out."""

    password: str = ""
    sign_out: str = ""


@page("GET", PATH, access=Access.CONFIRMED)
async def show_password(visit: SignedIn) -> Answer:
    """Ask for a new password."""
    return await _ask(visit)


@page("POST", PATH, access=Access.CONFIRMED)
async def change_password(visit: SignedIn, form: NewPasswordForm) -> Answer:
    """Set the new password. This browser stays signed in."""
    try:
        await visit.homeserver.recovery.change_in_browser(
            visit.session, form.password, visit.grant, log_out_devices=bool(form.sign_out)
        )
    except (InvalidParam, LimitExceeded, WeakPassword) as error:
        return await _ask(visit, error, sign_out=bool(form.sign_out))
    return visit.redirect(f"{PATH}?changed=1")


async def _ask(visit: SignedIn, error: MatrixError | None = None, *, sign_out: bool = True) -> Answer:
    account = await visit.homeserver.accounts.get(visit.user_id)
    problem: Text | None = error.text if error else None
    return visit.show(
        "portal/password.html",
        status=error.status if error else 200,
        has_password=account is not None and account.password_hash is not None,
        problem=problem,
        sign_out=sign_out,
    )


PAGES: Final = (show_password, change_password)

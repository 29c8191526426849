"""A declaration of a page that contradicts itself is refused when it is made."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from threepid.http.exchange import Answer
from threepid.spec.endpoint import BadDeclarationError
from threepid.spec.operator_scopes import Scope
from threepid.web.console.visit import Operating
from threepid.web.page import Access, Fields, Form, Page, collect, page
from threepid.web.visit import SignedIn, Visit


class GoodForm(Form, frozen=True):
    """A form."""

    name: str = ""


class NoForm(Struct, frozen=True):
    """Fields that do not come from a form, whose contents would get into logs."""

    name: str = ""


async def shown(visit: SignedIn) -> Answer:
    """Show it."""
    return visit.redirect("/account/")


async def public(visit: Visit) -> Answer:
    """Show it to everybody."""
    return visit.redirect("/account/")


async def sent(visit: SignedIn, form: GoodForm) -> Answer:
    """Do it."""
    return visit.redirect(f"/account/?{form.name}")


def refused(why: str, handler: Callable[..., Any], method: str = "GET", path: str = "/account/x", **more: Any) -> None:
    with pytest.raises(BadDeclarationError, match=why):
        page(method, path, **more)(handler)


def test_a_good_declaration_knows_everything_from_the_annotations() -> None:
    declared = page("POST", "/account/x", access=Access.CONFIRMED)(sent)
    assert isinstance(declared, Page)
    assert (declared.visit_type, declared.form_type) == (SignedIn, GoodForm)
    assert (declared.name, repr(declared)) == ("sent", "POST /account/x")
    assert declared.csrf


def test_a_page_is_for_signed_in_browsers_unless_it_says_otherwise() -> None:
    assert page("GET", "/account/x")(shown).access is Access.SIGNED_IN


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "get", ""])
def test_a_page_is_opened_or_takes_a_form(method: str) -> None:
    refused("is not one of", shown, method)


def test_a_path_begins_with_a_slash() -> None:
    refused("begin with a slash", shown, path="account/x")


def test_a_handler_is_a_coroutine_function() -> None:
    def handler(visit: SignedIn) -> Answer:
        """Show it."""
        return visit.redirect("/account/")

    refused("not a coroutine function", handler)


def test_a_handler_has_a_docstring() -> None:
    async def handler(visit: SignedIn) -> Answer:
        return visit.redirect("/account/")

    refused("has no docstring", handler)


def test_a_handler_takes_nothing_but_visit_and_form() -> None:
    async def handler(visit: SignedIn, name: str) -> Answer:
        """Show it."""
        return visit.redirect(name)

    refused(r"takes \['name'\] besides", handler)


def test_a_handler_takes_a_visit_with_its_type() -> None:
    async def without() -> Answer:
        """Show it."""
        raise NotImplementedError

    async def untyped(visit) -> Answer:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Show it."""
        raise NotImplementedError(visit)

    refused("no annotated `visit`", without)
    refused("no annotated `visit`", untyped)


@pytest.mark.parametrize("access", [Access.SIGNED_IN, Access.CONFIRMED])
def test_a_visit_of_anyone_opens_no_page_of_an_account(access: Access) -> None:
    refused("does not come from", public, access=access)


def test_a_visit_of_a_session_cannot_come_from_anyone() -> None:
    refused("does not come from anyone", shown, access=Access.ANYONE)


def test_a_visit_is_a_visit() -> None:
    async def handler(visit: str) -> Answer:
        """Show it."""
        raise NotImplementedError(visit)

    refused("does not come from", handler)


def test_a_page_that_is_opened_takes_no_form() -> None:
    refused("a GET has no form", sent)


def test_a_page_that_is_opened_has_no_check_to_leave_out() -> None:
    refused("no check to leave out", public, access=Access.ANYONE, csrf=False)


@pytest.mark.parametrize("access", [Access.SIGNED_IN, Access.CONFIRMED])
def test_a_form_of_a_session_is_always_checked(access: Access) -> None:
    refused("could be forged", sent, "POST", access=access, csrf=False)


def test_a_form_is_a_form() -> None:
    async def of_struct(visit: SignedIn, form: NoForm) -> Answer:
        """Do it."""
        raise NotImplementedError(visit, form)

    async def of_text(visit: SignedIn, form: str) -> Answer:
        """Do it."""
        raise NotImplementedError(visit, form)

    async def of_mapping(visit: SignedIn, form: dict[str, str]) -> Answer:
        """Do it."""
        raise NotImplementedError(visit, form)

    for handler in (of_struct, of_text, of_mapping):
        refused("its form is not a Form", handler, "POST")


def test_two_pages_cannot_have_one_method_and_path() -> None:
    first, second = page("GET", "/account/x")(shown), page("GET", "/account/x", access=Access.ANYONE)(public)
    with pytest.raises(BadDeclarationError, match="declared by both shown and public"):
        collect((first,), (second,))
    other = page("POST", "/account/x")(sent)
    assert collect((first,), (other,)) == (first, other)


def test_a_form_does_not_show_its_contents() -> None:
    assert repr(GoodForm(name="secret")) == "GoodForm()"
    assert "secret" not in repr(Fields({"password": "secret"}))


async def helped(visit: Operating, form: GoodForm) -> Answer:
    """Help somebody."""
    return visit.redirect(f"/admin/?{form.name}")


def test_an_operators_act_takes_a_scope_and_nobody_else_has_one() -> None:
    declared = page("POST", "/admin/x", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)(helped)
    assert declared.scope is Scope.ACCOUNTS_WRITE
    refused("an operator's act takes a scope", helped, "POST", access=Access.OPERATOR)
    refused("only operators have scopes", sent, "POST", scope=Scope.ACCOUNTS_WRITE)
    refused("its `visit` does not come from", helped, "POST", access=Access.NEAR)
    refused("could be forged", helped, "POST", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE, csrf=False)

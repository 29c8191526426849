"""A declaration that contradicts itself is refused when it is made."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call, IdentityCall, UserCall
from threepid.spec import errors
from threepid.spec.endpoint import Auth, BadDeclarationError, Path, client, collect, endpoint, identity, other
from threepid.spec.errors import MatrixError
from threepid.spec.uia import AuthData, Operation


class Body(Struct):
    """A body."""

    a: str = ""


class BodyWithAuth(Struct):
    """A body that takes `auth`."""

    auth: AuthData | UnsetType = UNSET


class NamelessError(MatrixError):
    """No errcode."""


def refused(
    why: str,
    handler: Callable[..., Any],
    method: str = "GET",
    paths: tuple[Path, ...] = client("/x", "v3"),
    **more: Any,
) -> None:
    with pytest.raises(BadDeclarationError, match=why):
        endpoint(method, paths, **{"auth": Auth.NONE, **more})(handler)


async def good(call: Call) -> None:
    """Does it."""


def test_a_good_declaration_knows_everything_from_the_annotations() -> None:
    @endpoint("POST", client("/x/{name}", "r0", "v3"), auth=Auth.ACCESS_TOKEN, errors=(errors.Forbidden,))
    async def handler(call: UserCall, body: Body, name: str) -> Body:
        """Does it."""
        return body

    assert [path.template for path in handler.paths] == ["/_matrix/client/r0/x/{name}", "/_matrix/client/v3/x/{name}"]
    assert handler.body_type is Body
    assert handler.answer_type is Body
    assert handler.call_type is UserCall
    assert handler.variable_types == {"name": str}
    assert handler.name == "handler"
    assert repr(handler) == "POST /_matrix/client/v3/x/{name}"


def test_paths_with_different_variables() -> None:
    async def handler(call: Call, a: str) -> None:
        """Does it."""

    refused("different variables", handler, paths=(Path("v3", "/x/{a}"), Path("r0", "/x/{b}")))


def test_variables_that_are_no_parameters() -> None:
    refused("path variables", good, paths=other("/x/{a}"))


def test_an_error_without_an_errcode() -> None:
    refused("without an errcode", good, errors=(NamelessError,))


def test_no_authentication_with_a_handler_that_wants_a_user() -> None:
    async def handler(call: UserCall) -> None:
        """Does it."""

    refused("does not come from none authentication", handler)
    refused("does not come from identity token authentication", handler, auth=Auth.IDENTITY_TOKEN)


def test_authentication_with_a_handler_that_cannot_know_the_user() -> None:
    refused("does not come from access token authentication", good, auth=Auth.ACCESS_TOKEN)

    async def handler(call: IdentityCall) -> None:
        """Does it."""

    refused("does not come from access token", handler, auth=Auth.ACCESS_TOKEN)


def test_a_handler_without_a_docstring() -> None:
    async def handler(call: Call) -> None: ...

    refused("no docstring", handler)


def test_a_handler_that_is_no_coroutine_function() -> None:
    def handler(call: Call) -> None:
        """Does it."""

    refused("not a coroutine", handler)


def test_a_handler_without_a_call() -> None:
    async def handler() -> None:
        """Does it."""

    refused("takes no annotated `call`", handler)


def test_an_unknown_method_and_no_path() -> None:
    refused("PATCH is not one of", good, method="PATCH")
    refused("has no path", good, paths=())


def test_a_body_of_a_get_and_a_body_that_is_no_struct() -> None:
    async def with_body(call: Call, body: Body) -> None:
        """Does it."""

    async def with_dict(call: Call, body: dict[str, str]) -> None:
        """Does it."""

    refused("a GET has no body", with_body)
    refused("not a Struct", with_dict, method="POST")


def test_uia_without_a_body_that_takes_auth() -> None:
    async def with_body(call: Call, body: Body) -> None:
        """Does it."""

    async def with_auth(call: Call, body: BodyWithAuth) -> None:
        """Does it."""

    refused("takes no body", good, method="POST", uia=Operation.REGISTER)
    refused("has no `auth`", with_body, method="POST", uia=Operation.REGISTER)
    assert (
        endpoint("POST", client("/x", "v3"), auth=Auth.NONE, uia=Operation.REGISTER)(with_auth).uia
        is Operation.REGISTER
    )


def test_two_endpoints_on_one_method_and_path() -> None:
    first = endpoint("GET", identity("/x"), auth=Auth.NONE)(good)

    async def again(call: Call) -> None:
        """Does it again."""

    second = endpoint("GET", identity("/x"), auth=Auth.NONE)(again)
    with pytest.raises(BadDeclarationError, match="declared by both good and again"):
        collect((first,), (second,))
    other_method = endpoint("POST", identity("/x"), auth=Auth.NONE)(again)
    assert collect((first,), (other_method,)) == (first, other_method)


def test_every_error_class_has_an_errcode_a_status_and_a_sentence() -> None:
    names = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, MatrixError)]
    assert len(names) > 30
    for name in names:
        error = getattr(errors, name)
        if error is MatrixError:
            continue
        assert error.errcode.startswith("M_"), name
        assert 400 <= error.status < 600, name
        assert (error.__doc__ or "").partition("\n")[0].endswith("."), name

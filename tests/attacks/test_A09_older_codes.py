"""A09: what is settled is settled for older messages too."""

import pytest

from threepid.domain.addresses import parse_email
from threepid.domain.validation.purposes import Consumer, Purpose
from threepid.spec.errors import NoValidSession
from threepid.storage import validations
from threepid.storage.engine.database import Tx
from world import World


def reset(world: World, secret: str) -> str:
    world.clock.advance(1)
    return world.run(
        world.server.services.validation.request_token(
            Purpose.RESET, parse_email("alice@example.com"), client_secret=secret, send_attempt=1, next_link=None
        )
    )


def test_closing_an_addresses_sessions_kills_links_codes_and_validated_ones(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    validation = world.server.services.validation
    context = world.server.context
    first = reset(world, "one")
    mail_of_first = world.mail()
    second = reset(world, "two")
    world.run(validation.submit_token(second, "two", world.mail().code))
    untouched = world.request_token(world.identity_token(token), "other@example.com")

    def settle(tx: Tx) -> int:
        return validations.close_of_address(
            tx, medium="email", canonical="alice@example.com", purpose="reset", now=context.clock.now()
        )

    assert world.run(context.database.write(settle)) == 2
    assert world.post(mail_of_first.link).status_code == 404
    write = context.database.write
    with pytest.raises(NoValidSession):
        world.run(write(lambda tx: validation.check(tx, first, "one", Consumer.RESET_STAGE, "")))

    def use(tx: Tx) -> bool:
        return validation.consume(tx, validation.check(tx, second, "two", Consumer.RESET_STAGE, ""))

    assert world.run(write(use)) is False
    assert world.run(context.database.read(lambda tx: validations.by_sid(tx, untouched))).consumed_at is None  # type: ignore[union-attr]


def test_a_link_of_a_used_session_confirms_nothing_more(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    sid = world.request_token(identity)
    first = world.mail()
    world.clock.advance(1)
    world.request_token(identity, attempt=2)
    world.post(world.mail().link)
    assert world.add(token, sid).status_code == 200
    before = world.get("/_matrix/client/v3/account/3pid", token=token).text
    world.post(first.link)
    assert world.get("/_matrix/client/v3/account/3pid", token=token).text == before

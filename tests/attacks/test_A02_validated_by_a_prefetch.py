"""A02: mail scanners open links; opening one validates nothing, only a person's button does."""

from world import World

SCANNER = {"User-Agent": "Mozilla/5.0 (compatible; MailScanner)"}


def is_validated(world: World, sid: str, token: str) -> bool:
    answer = world.get(f"/_matrix/identity/v2/3pid/getValidated3pid?sid={sid}&client_secret=secret", token=token)
    return answer.status_code == 200


def test_opening_the_link_changes_nothing_and_the_button_validates(world: World) -> None:
    identity = world.identity_token(world.register())
    sid = world.request_token(identity)
    link = world.mail().link
    for _ in range(20):
        assert world.get(link, headers=SCANNER).status_code == 200
    for _ in range(5):
        head = world.call("HEAD", link, headers=SCANNER)
        assert head.status_code == 200
        assert head.content == b""
    assert not is_validated(world, sid, identity)
    page = world.get(link)
    assert "<script" not in page.text
    assert "http-equiv" not in page.text
    assert world.post(link).status_code == 200
    assert is_validated(world, sid, identity)


def test_a_second_click_is_answered_kindly(world: World) -> None:
    identity = world.identity_token(world.register())
    world.request_token(identity)
    link = world.mail().link
    first, second = world.post(link), world.post(link)
    assert first.status_code == second.status_code == 200
    assert first.text == second.text == world.get(link).text
    assert "confirmed" in first.text


def test_another_sites_form_confirms_nothing(world: World) -> None:
    identity = world.identity_token(world.register())
    sid = world.request_token(identity)
    assert world.post(world.mail().link, headers={"Origin": "https://evil.example"}).status_code == 403
    assert not is_validated(world, sid, identity)


def test_an_unknown_or_old_link_says_so(world: World) -> None:
    identity = world.identity_token(world.register())
    world.request_token(identity)
    link = world.mail().link
    assert world.get("/confirm/nosuchlink").status_code == 404
    world.clock.advance(60 * 60 * 1000 + 1)
    assert world.get(link).status_code == 404
    assert world.post(link).status_code == 404

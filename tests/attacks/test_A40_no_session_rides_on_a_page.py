"""A40, as far as there are pages: none keeps a session in a cookie, so there is none to be fixed, stolen or ridden."""

from world import World

C = "/_matrix/client/v3"


def test_no_answer_sets_a_cookie_and_no_cookie_is_looked_at(world: World) -> None:
    token = world.register()
    link_session = world.request_token(world.identity_token(token))
    assert link_session
    link = world.mail().link
    session = world.post(f"{C}/register", {}).json()["session"]
    pages = [
        link,
        "/mailbox/",
        "/_matrix/static/client/login/",
        f"{C}/auth/m.login.dummy/fallback/web?session={session}",
        "/nothing",
    ]
    for page in pages:
        answer = world.get(page, headers={"Cookie": f"access_token={token}; session={session}"})
        assert "set-cookie" not in answer.headers, page
    answer = world.get(f"{C}/account/whoami", headers={"Cookie": f"access_token={token}"})
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_MISSING_TOKEN")


def test_confirming_a_link_logs_nobody_in(world: World) -> None:
    world.request_token(world.identity_token(world.register()))
    answer = world.post(world.mail().link)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert "access_token" not in answer.text

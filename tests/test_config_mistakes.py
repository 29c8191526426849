"""What people mistype in a configuration ends in a sentence with the place, never in a traceback."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from threepid import config
from threepid.config import ConfigError, UnixListen
from world import settings

SMTP = '{ transport = "smtp", host = "h.example", '


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "threepid.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(tmp_path: Path, **changes: Any) -> list[str]:
    """The places of the problems that `changes` bring into a configuration that has none."""
    sound: dict[str, Any] = {
        "accounts__registration": "closed",
        "email__via": [{"transport": "smtp", "host": "mail.example.org"}],
        "limits__all": "on",
    }
    assert config.check(settings(tmp_path, **sound)) == []
    return [problem.place for problem in config.check(settings(tmp_path, **{**sound, **changes}))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sever]", "[sever]: there is no such setting; did you mean `server`?"),
        ("[server]\nnmae = 'x'", "[server] nmae: there is no such setting; did you mean `name`?"),
        ("[server]\nxyzzy = 1", "[server] xyzzy: there is no such setting"),
        ("[server]\nworkers = '2'", "[server] workers: must be a whole number, and is text in quotes"),
        ("[server]\nworkers = 65", "[server] workers: must be at most 64"),
        ("[server]\nworkers = 0", "[server] workers: must be at least 1"),
        ("[server]\ndata_dir = ''", "[server] data_dir: must have at least 1 character"),
        ("[server]\nworkers = true", "[server] workers: must be a whole number, and is true or false"),
        ("[server]\nname = 2026-01-01", "[server] name: must be text in quotes, and is a date"),
        ("[server]\ntls = 'on'", "[server] tls: must be a table in { }, and is text in quotes"),
        ("server = 1", "[server]: must be a table in { }, and is a whole number"),
        ("[server]\ntrusted_proxies = '::1'", "[server] trusted_proxies: must be a list in [ ], and is text in quotes"),
        (
            "[limits]\nmessage_total = { burst = 1, per_hour = 0 }",
            "[limits] message_total.per_hour: must be more than 0",
        ),
        ("[limits]\nmessage_total = { burst = 1 }", "[limits] message_total: `per_hour` is missing"),
        ("[email]\nfrom = 'a@b.example'", "[email]: `via` is missing"),
        ("[email]\nfrom = 'a@b.example'\nvia = [{ host = 'x' }]", "[email] via[0]: `transport` is missing"),
        (
            "[sms]\ncountries = ['de']\nvia = []",
            "[sms] countries[0]: must be the ISO code of a country in capitals, such as DE",
        ),
        (
            "[accounts]\nterms = [{ id = 'A b', version = '1', languages = {} }]",
            "[accounts] terms[0].id: must be 1 to 64 of the characters a-z, 0-9 and _",
        ),
        (
            "[accounts]\nterms = [{ id = 'a', version = '', languages = {} }]",
            "[accounts] terms[0].version: must have at least 1 character",
        ),
        (
            "[accounts]\nterms = [{ id = 'a', version = '1', languages = { English = { name = 'x', url = 'y' } } }]",
            "[accounts] terms[0].languages: must be the code of a language such as en or de-AT",
        ),
        ("[identity.v1]\nlokup = true", "[identity] v1.lokup: there is no such setting; did you mean `lookup`?"),
        (
            "[accounts]\nregistration = 'opne'",
            "[accounts] registration: 'opne' is none of open, token, closed; did you mean `open`?",
        ),
        (
            f"[email]\nfrom = 'a@b.example'\nvia = [{SMTP} prot = 1 }}]",
            "[email] via[0].prot: there is no such setting; did you mean `port`?",
        ),
        (
            "[email]\nfrom = 'a@b.example'\nvia = [{ transport = 'smpt' }]",
            "[email] via[0].transport: 'smpt' is none of smtp, sendmail, file, mailbox; did you mean `smtp`?",
        ),
        (
            "[sms]\nvia = [{ transport = 'htpp', url = 'https://h.example' }]",
            "[sms] via[0].transport: 'htpp' is none of console, http, apprise; did you mean `http`?",
        ),
        (
            "[accounts.captcha]\nsite_kye = 'x'\nsecret_file = 'x'",
            "[accounts] captcha.site_kye: there is no such setting; did you mean `site_key`?",
        ),
    ],
)
def test_a_mistyped_name_is_named_with_the_one_that_was_meant(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text if "[identity" in text else f"identity = {{}}\n{text}")
    with pytest.raises(ConfigError) as caught:
        config.load(file, {})
    first, *others = str(caught.value).splitlines()
    assert first == f"{file}: {message}"
    # The file with the secret is a mistake of its own: there is none.
    assert all("captcha.secret_file: there is no file" in other for other in others)
    assert len(others) == ("secret_file" in text)


@pytest.mark.parametrize(
    "environment",
    [
        {"THREEPID__SERVER__NAME__X": "y"},
        {"THREEPID__SERVER": "x", "THREEPID__SERVER__NAME": "y"},
        {"THREEPID__SERVER": "x"},
        {"THREEPID__": "x"},
        {"THREEPID__SERVER__": "x"},
    ],
)
@pytest.mark.parametrize("with_file", [True, False])
def test_a_variable_that_names_no_setting_is_refused(
    tmp_path: Path, environment: dict[str, str], with_file: bool
) -> None:
    file = write(tmp_path, "[server]\nname = 'a.example'\n") if with_file else None
    with pytest.raises(ConfigError):
        config.load(file, environment)


MANY = """
sms = { countries = ["de", "AT", "fr"], via = [{ transport = "htpp" }] }
[server]
nmae = "x"
workers = 100
public_base_url = "http://matrix.example.org"
[accounts]
registration = "open"
required_contacts = ["email"]
terms = [{ id = "A b", version = "", languages = { English = { name = "x" } } }, { id = "b" }]
[emial]
from = "a@b.example"
[identity]
pepper_days = "thirty"
[policy]
password_min_length = 0
email_domains_denied = ["bücher.example"]
[database]
url = "sqlite:"
"""
EXPECTED = [
    "[sms] countries[0]: must be the ISO code of a country in capitals, such as DE",
    "[sms] countries[2]: must be the ISO code of a country in capitals, such as DE",
    "[sms] via[0].transport: 'htpp' is none of console, http, apprise; did you mean `http`?",
    "[server] nmae: there is no such setting; did you mean `name`?",
    "[server] workers: must be at most 64",
    "environment: THREEPID__SERVER__LISTNE: [server] listne: there is no such setting; did you mean `listen`?",
    "[accounts] terms[0].id: must be 1 to 64 of the characters a-z, 0-9 and _",
    "[accounts] terms[0].version: must have at least 1 character",
    "[accounts] terms[0].languages: must be the code of a language such as en or de-AT",
    "[accounts] terms[1]: `version` is missing",
    "[accounts] terms[1]: `languages` is missing",
    "[emial]: there is no such setting; did you mean `email`?",
    "[identity] pepper_days: must be a whole number, and is text in quotes",
    "[policy] password_min_length: must be at least 1",
    "environment: THREEPID__LIMITS__ALL: [limits] all: 'of' is none of on, off; did you mean `off`?",
    "[server] public_base_url: people would validate addresses over plain HTTP: use https",
    "[database] url: has no file name after sqlite:",
    "[policy] email_domains_denied: 'bücher.example' is not a domain in ASCII or a pattern like *.example.org",
]


def test_every_mistake_is_named_in_one_run(tmp_path: Path) -> None:
    file = write(tmp_path, MANY)
    environment = {"THREEPID__SERVER__LISTNE": "x", "THREEPID__LIMITS__ALL": "of"}
    with pytest.raises(ConfigError) as caught:
        config.load(file, environment)
    lines = [line.removeprefix(f"{file}: ") for line in str(caught.value).splitlines()]
    assert lines == EXPECTED


IN_ONE_TABLE = """
[server]
nme = "example.org"
public_base_url = "http://example.org"
listen = "0.0.0.0:99999"
workers = "two"
[accounts]
registration = "opne"
login_wiht = ["user"]
[email]
from = "noreply"
via = [{ transport = "smtp", host = "mail.example.org", prot = 25 }]
"""


def test_an_unsafe_value_beside_a_misspelt_setting_is_named_in_the_same_run(tmp_path: Path) -> None:
    file = write(tmp_path, IN_ONE_TABLE)
    with pytest.raises(ConfigError) as caught:
        config.load(file, {})
    lines = [line.removeprefix(f"{file}: ").partition(":")[0] for line in str(caught.value).splitlines()]
    assert lines[:5] == [
        "[server] nme",
        "[server] workers",
        "[accounts] registration",
        "[accounts] login_wiht",
        "[email] via[0].prot",
    ]
    assert {"[server] listen", "[server] public_base_url", "[email] from"} == set(lines[5:])


@pytest.mark.parametrize("text", ['[acounts]\nregistration = "closed"\n', '[server]\nnme = "no server name"\n'])
def test_nothing_is_named_that_only_follows_from_another_mistake(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(file, {})
    first, *others = str(caught.value).splitlines()
    assert "did you mean" in first
    assert all("there is nothing to serve" in other for other in others)
    assert len(others) == ("server" in text)


def test_a_misspelt_variable_is_refused_and_named(tmp_path: Path) -> None:
    file = write(tmp_path, "identity = {}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file, {"THREEPID__SEVER__NAME": "x", "THREEPID__SERVER__NMAE": "x"})
    assert str(caught.value).splitlines() == [
        "environment: THREEPID__SERVER__NMAE: [server] nmae: there is no such setting; did you mean `name`?",
        "environment: THREEPID__SEVER__NAME: [sever]: there is no such setting; did you mean `server`?",
    ]


def test_a_variable_with_one_underscore_is_accepted_with_a_warning(tmp_path: Path) -> None:
    of_kubernetes = {
        "THREEPID_PORT": "tcp://10.0.0.1:80", "THREEPID_SERVICE_HOST": "10.0.0.1", "THREEPID_CONFIG": "x", "PATH": "/bin",
    }  # fmt: skip
    assert config.load(write(tmp_path, "identity = {}\n"), of_kubernetes).server.name == "localhost"
    (warning,) = config.environment_warnings(of_kubernetes)
    assert str(warning).startswith("environment: THREEPID_PORT, THREEPID_SERVICE_HOST: no effect.")
    assert [*config.environment_warnings({"THREEPID_CONFIG": "x", "THREEPID__SERVER__NAME": "x"})] == []


def test_a_variable_can_switch_a_table_on_that_is_off_in_the_development_server() -> None:
    environment = {"THREEPID__SERVER__TLS__CERTIFICATE_FILE": "/c.pem", "THREEPID__SERVER__TLS__KEY_FILE": "/k.pem"}
    assert config.load(None, environment).server.tls == config.Tls(certificate_file="/c.pem", key_file="/k.pem")


def test_a_whole_table_in_a_variable_comes_before_its_members_in_others() -> None:
    environment = {"THREEPID__POLICY__CONTACTS_PER_ACCOUNT": "7", "THREEPID__POLICY": "{ password_min_length = 12 }"}
    assert config.load(None, environment).policy == config.Policy(contacts_per_account=7, password_min_length=12)


def test_the_development_server_is_what_no_file_gives() -> None:
    made = config.load(None, {})
    assert (made.server.name, made.server.public_base_url) == ("localhost", "http://localhost:8008")
    assert made.server.data_dir == str(Path.cwd() / "threepid-data")
    assert made.accounts is not None
    assert made.accounts.registration == "open"
    assert made.identity is not None
    assert made.email is not None
    assert made.email.via == (config.MailboxTransport(),)
    assert config.check(made) == []


def test_a_socket_file_is_relative_to_the_files_folder(tmp_path: Path) -> None:
    made = config.load(write(tmp_path, '[server]\nlisten = "unix:run/x.sock"\n'), {})
    assert config.listen_address(made) == UnixListen(tmp_path / "run/x.sock")


def test_a_secret_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"hunter2\xff")
    with pytest.raises(ConfigError) as caught:
        config.read_secret(file)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "a..b",
        ":8008",
        "a.example:",
        "a.example:99999",
        "a.example:0",
        "-a.example",
        "[::1",
        "[x]",
        "é.example",
        "a" * 300,
    ],
)
@pytest.mark.parametrize("place", ["server", "identity"])
def test_what_is_no_server_name_is_refused(tmp_path: Path, place: str, name: str) -> None:
    assert problems(tmp_path, **{f"{place}__name": name}) == [f"[{place}] name"]


@pytest.mark.parametrize(
    "name", ["a.example", "A.example:8448", "1.2.3.4", "[::1]:8448", "localhost", "a" * 63 + ".example"]
)
def test_a_server_name_may_be_an_address_and_have_a_port(tmp_path: Path, name: str) -> None:
    assert problems(tmp_path, server__name=name) == []


@pytest.mark.parametrize("listen", ["", ":8008", "::1:8008", "8008", "127.0.0.1:²", "[x]:1", "unix:", "a b:1"])
def test_what_is_no_listener_is_refused(tmp_path: Path, listen: str) -> None:
    assert problems(tmp_path, server__listen=listen) == ["[server] listen"]


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1",
        "https://a.example?",
        "https://a.example#",
        "https://u:p@a.example",
        "https://a.example/b c",
        "https://a.example/\r\nX: 1",
        "https://bücher.example",
        "https://a.example:99999",
        "https://",
        "http://localhost.evil.example",
    ],
)
def test_what_links_cannot_begin_with_is_refused(tmp_path: Path, url: str) -> None:
    assert problems(tmp_path, server__public_base_url=url) == ["[server] public_base_url"]


@pytest.mark.parametrize(
    "url", ["postgresql://[", "postgresql://h:x/d", "postgresql://h/d?password=hunter2", "sqlite:", "mysql://h/d"]
)
def test_a_database_url_that_cannot_be_is_refused_without_showing_it(tmp_path: Path, url: str) -> None:
    assert problems(tmp_path, database__url=url) == ["[database] url"]
    found = config.check(settings(tmp_path, database__url=url))
    assert not any("hunter2" in str(problem) for problem in found)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    assert problems(tmp_path, database__url=f"sqlite:{tmp_path}") == ["[database] url"]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_a_network_of_everybody_is_refused(tmp_path: Path, network: str) -> None:
    assert problems(tmp_path, server__trusted_proxies=[network]) == ["[server] trusted_proxies"]
    assert problems(tmp_path, outbound__allow=[network]) == ["[outbound] allow"]
    assert problems(tmp_path, identity__v1__validate_from=[network]) == ["[identity] v1.validate_from"]


@pytest.mark.parametrize("pattern", ["*", "**", "*.*", "*:*", "?*", "*example.org", "a*.example", "[a-z].example", ""])
def test_a_pattern_that_believes_strangers_is_refused(tmp_path: Path, pattern: str) -> None:
    place = "[accounts] trusted_identity_servers"
    assert problems(tmp_path, accounts__trusted_identity_servers=[pattern]) == [place]


@pytest.mark.parametrize(
    "pattern", ["id.example.org", "*.example.org", "localhost:*", "127.0.0.1:8448", "*.example.org:8448"]
)
def test_a_pattern_that_names_servers_is_taken(tmp_path: Path, pattern: str) -> None:
    assert problems(tmp_path, accounts__trusted_identity_servers=[pattern]) == []
    assert problems(tmp_path, accounts__identity_servers_allowed=[pattern, "*"]) == []


@pytest.mark.parametrize(
    "pattern", ["@example.org", "bücher.example", "example.org.", " example.org", "*example.org", "*"]
)
@pytest.mark.parametrize("key", ["email_domains_allowed", "email_domains_denied", "register_email_domains_allowed"])
def test_a_domain_rule_that_would_never_match_is_refused(tmp_path: Path, key: str, pattern: str) -> None:
    assert problems(tmp_path, **{f"policy__{key}": [pattern]}) == [f"[policy] {key}"]
    assert problems(tmp_path, **{f"policy__{key}": ["example.org", "*.xn--bcher-kva.example"]}) == []


@pytest.mark.parametrize(
    "sender",
    ["", "@", "a@", "@b.example", "a@b c.example", "A <a@b.example", "<a@b.example> A", "A\r\nBcc: x <a@b.example>"],
)
def test_what_is_no_sender_is_refused(tmp_path: Path, sender: str) -> None:
    assert problems(tmp_path, email__from=sender) == ["[email] from"]


@pytest.mark.parametrize(
    "sender", ["a@b.example", "<a@b.example>", "Éxample, Ltd <no-reply@b.example>", '"Ex" <a@localhost>']
)
def test_a_sender_may_have_a_name(tmp_path: Path, sender: str) -> None:
    assert problems(tmp_path, email__from=sender) == []


def test_phone_numbers_are_asked_for_only_where_they_can_be_texted(tmp_path: Path) -> None:
    changes = {"accounts__registration": "open", "accounts__required_contacts": ["msisdn"]}
    place = "[accounts] required_contacts"
    assert problems(tmp_path, **changes) == [place]
    assert problems(tmp_path, **changes, sms__via=[http()]) == [place]
    assert problems(tmp_path, **changes, sms__via=[http()], sms__countries=["DE"]) == []


def test_open_registration_is_sound_when_it_asks_for_something(tmp_path: Path) -> None:
    assert problems(tmp_path, accounts__registration="open") == ["[accounts] registration"]
    assert problems(tmp_path, accounts__registration="open", accounts__required_contacts=["email"]) == []
    assert problems(tmp_path, accounts__registration="open", accounts__captcha=captcha(tmp_path)) == []
    assert problems(tmp_path, accounts__registration="token") == []


def test_open_registration_is_sound_on_this_machine_alone(tmp_path: Path) -> None:
    base = "http://localhost:8008"
    assert problems(tmp_path, accounts__registration="open", server__public_base_url=base) == []
    public = {"server__public_base_url": base, "server__listen": "0.0.0.0:8008"}
    assert problems(tmp_path, accounts__registration="open", **public) == ["[accounts] registration"]


def http(**changes: Any) -> dict[str, Any]:
    """A sound gateway."""
    sound = {"transport": "http", "url": "https://sms.example/send", "body": '{"to": "{to}", "text": "{text}"}'}
    return {**sound, **changes}


def secret(tmp_path: Path, mode: int = 0o600) -> str:
    file = tmp_path / f"secret{mode}"
    file.write_text("secret")
    file.chmod(mode)
    return str(file)


def captcha(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """A sound captcha."""
    return {"site_key": "key", "secret_file": secret(tmp_path), **changes}


LOCAL = {"server__public_base_url": "http://localhost:8008"}


@pytest.mark.parametrize(
    "way",
    [
        {},
        {"url": "https://[::1]:8443/{to}?a=%20&t={text}"},
        {"url": "http://127.0.0.1:8080/send", "method": "PUT"},
        {"url": "https://sms.example/?to={to}&text={text}", "body": "", "method": "GET"},
        {"url": "https://sms.example/{to}", "body": "{text}"},
        {"headers": {"Content-Type": "application/json; charset=utf-8", "X-To": "{to}"}},
        {"headers": {"CONTENT-TYPE": "application/x-www-form-urlencoded"}, "body": "to={to}&text={text}"},
        {"countries": ["DE", "FR"]},
        {"body": '{"number": "{digits}", "text": "{text}"}'},
        {"accepted_status": [200, 202], "accepted_text": "OK"},
        {"accepted_json": {"/a~1b/0/status": ["0", 0, True], "/~0": "sent"}},
    ],
)
def test_a_gateway_may_be_spoken_to_in_many_ways(tmp_path: Path, way: dict[str, Any]) -> None:
    assert problems(tmp_path, sms__via=[http(**way)], sms__countries=["DE"]) == []


@pytest.mark.parametrize(
    ("way", "key"),
    [
        ({"url": "http://sms.example/send"}, "url"),
        ({"url": "http://localhost.sms.example/send"}, "url"),
        ({"url": "ftp://sms.example/send"}, "url"),
        ({"url": "sms.example/send"}, "url"),
        ({"url": "https://user:password@sms.example/send"}, "url"),
        ({"url": "https://{to}.sms.example/"}, "url"),
        ({"url": "https://sms.example:{to}/"}, "url"),
        ({"url": "https://sms.example/a b"}, "url"),
        ({"url": "https://sms.example/#{to}"}, "url"),
        ({"url": "https://[::1/"}, "url"),
        ({"url": "https://sms.example/{number}"}, "url"),
        ({"body": '{"to": "{to}"}'}, "body"),
        ({"body": '{"text": "{text}"}'}, "body"),
        ({"url": "https://sms.example/?to={to}", "body": "", "method": "GET"}, "url"),
        ({"url": "https://sms.example/?to={to}&text={text}", "method": "GET"}, "body"),
        ({"body": '{"to": "{to}", "text": "{text}", "from": "{sender}"}'}, "body"),
        ({"body": '{"to": {to}, "text": {text}}', "headers": {"Content-Type": "application/json"}}, "body"),
        ({"body": "<sms to='{to}'>{text}</sms>", "headers": {"Content-Type": "text/xml"}}, "body"),
        ({"headers": {"X-Text": "{text}"}}, "headers"),
        ({"headers": {"X-Key": "{key}"}}, "headers"),
        ({"headers": {"X: Y": "x"}}, "headers"),
        ({"headers": {"X-Key": "a\r\nX-Evil: b"}}, "headers"),
        ({"headers": {"X-Key": "schlüssel"}}, "headers"),
        ({"headers": {"Authorization": "Bearer {secret}"}}, "secret_file"),
        ({"accepted_json": {"status": "0"}}, "accepted_json"),
        ({"accepted_json": {"": "0"}}, "accepted_json"),
        ({"accepted_json": {"/a~2b": "0"}}, "accepted_json"),
        ({"countries": ["UK", "DE"]}, "countries"),
        ({"countries": ["de", "DE"]}, "countries"),
    ],
)
def test_a_gateway_that_cannot_be_spoken_to_is_refused(tmp_path: Path, way: dict[str, Any], key: str) -> None:
    assert problems(tmp_path, sms__via=[http(**way)], sms__countries=["DE"]) == [f"[sms] via[0].{key}"]


def test_a_secret_is_used_private_and_there(tmp_path: Path) -> None:
    place = "[sms] via[0].secret_file"
    used = {"headers": {"Authorization": "Bearer {secret}"}}
    assert problems(tmp_path, sms__via=[http(**used, secret_file=secret(tmp_path))]) == []
    for mistake in (
        {"secret_file": secret(tmp_path)},
        {**used, "secret_file": secret(tmp_path, 0o644)},
        {**used, "secret_file": str(tmp_path / "nothing")},
        {**used, "secret_file": str(tmp_path)},
    ):
        assert problems(tmp_path, sms__via=[http(**mistake)]) == [place]


def test_the_url_of_apprise_is_checked_without_apprise(tmp_path: Path) -> None:
    def found(url: str, mode: int = 0o600, **changes: Any) -> list[str]:
        file = tmp_path / "vendor.url"
        file.write_text(url)
        file.chmod(mode)
        way = {"transport": "apprise", "url_file": str(file), **changes}
        return problems(tmp_path, sms__via=[way], sms__countries=["DE"])

    place = "[sms] via[0].url_file"
    assert found("seven://key/{to}\n") == []
    assert found("Seven://key/{digits}?from=Example", countries=["DE"]) == []
    assert found("seven://key/{to}", 0o644) == [place]
    assert found("seven://key/{to}", countries=["FR"]) == ["[sms] countries"]
    assert found("seven://key/{to}", url_file=str(tmp_path / "nothing")) == [place]
    for wrong in (
        "",
        "mailto://a:b@example.org/{to}",
        "seven://key/",
        "seven://[key/{to}?",
        "seven://key/{to}?VERIFY=no",
    ):
        assert found(wrong) == [place], wrong


def test_texts_need_a_gateway_for_each_country_and_may_be_off(tmp_path: Path) -> None:
    assert problems(tmp_path, sms__via=[]) == ["[sms] via"]
    assert problems(tmp_path, sms__via=[http()]) == []
    assert problems(tmp_path, sms__via=[http()], sms__countries=["DE", "UK"]) == ["[sms] countries"]
    french = http(countries=["FR"])
    assert problems(tmp_path, sms__via=[french], sms__countries=["DE", "FR"]) == ["[sms] countries"]
    assert problems(tmp_path, sms__via=[french, http()], sms__countries=["DE", "FR"]) == []


def test_the_console_is_for_this_machine_alone(tmp_path: Path) -> None:
    console = {"sms__via": [{"transport": "console"}], "sms__countries": ["DE"]}
    assert problems(tmp_path, **console) == ["[sms] via[0]"]
    assert problems(tmp_path, **console, **LOCAL) == []


@pytest.mark.parametrize("url", ["http://captcha.example/", "captcha.example", "https://u:p@captcha.example/", ""])
@pytest.mark.parametrize("key", ["verify_url", "script_url"])
def test_a_captcha_is_asked_in_private(tmp_path: Path, key: str, url: str) -> None:
    assert problems(tmp_path, accounts__captcha=captcha(tmp_path, **{key: url})) == [f"[accounts] captcha.{key}"]
    assert problems(tmp_path, accounts__captcha=captcha(tmp_path, **{key: "http://127.0.0.1:8080/x"})) == []


@pytest.mark.parametrize(
    "host", ["captcha.example", "https://captcha.example/", "https://a.example;", "https://a.example x", "*", "https:"]
)
def test_what_is_no_origin_gets_into_no_policy_of_a_page(tmp_path: Path, host: str) -> None:
    place = "[accounts] captcha.frame_hosts"
    assert problems(tmp_path, accounts__captcha=captcha(tmp_path, frame_hosts=[host])) == [place]
    sound = ["https://captcha.example", "https://*.captcha.example:8443"]
    assert problems(tmp_path, accounts__captcha=captcha(tmp_path, frame_hosts=sound)) == []


def test_a_captcha_has_a_private_secret(tmp_path: Path) -> None:
    for file in ("", secret(tmp_path, 0o644), secret(tmp_path, 0o660), str(tmp_path / "nothing")):
        changed = captcha(tmp_path, secret_file=file)
        assert problems(tmp_path, accounts__captcha=changed) == ["[accounts] captcha.secret_file"]


@pytest.mark.parametrize("key", ["passwords_denied_file", "email_domains_denied_file"])
def test_a_list_of_what_is_denied_is_there(tmp_path: Path, key: str) -> None:
    assert problems(tmp_path, **{f"policy__{key}": str(tmp_path / "nothing")}) == [f"[policy] {key}"]
    assert problems(tmp_path, **{f"policy__{key}": str(tmp_path)}) == [f"[policy] {key}"]
    assert problems(tmp_path, **{f"policy__{key}": secret(tmp_path, 0o644)}) == []


def document(url: str = "https://example.org/privacy#en", **changes: Any) -> dict[str, Any]:
    return {"id": "privacy", "version": "1.0", "languages": {"en": {"name": "Privacy", "url": url}}, **changes}


def test_documents_can_be_read(tmp_path: Path) -> None:
    assert problems(tmp_path, accounts__terms=[document(), document(id="terms")]) == []
    assert problems(tmp_path, accounts__terms=[document("http://localhost:8008/terms")]) == []
    for url in ("http://example.org/", "example.org", "javascript:alert(1)", "https://example.org/a b", ""):
        place = "[accounts] terms[1].languages.en"
        assert problems(tmp_path, accounts__terms=[document(id="terms"), document(url)]) == [place]
    assert problems(tmp_path, accounts__terms=[document(languages={})]) == ["[accounts] terms[0]"]
    assert problems(tmp_path, accounts__terms=[document(), document()]) == ["[accounts] terms[1]"]


@pytest.mark.parametrize("pattern", ["Admin", "@admin", "admin:example.org", "[a-z]*", "ädmin", "", "ad min", "a{b}"])
def test_a_reserved_username_that_would_never_match_is_refused(tmp_path: Path, pattern: str) -> None:
    assert problems(tmp_path, accounts__reserved_usernames=[pattern]) == ["[accounts] reserved_usernames"]
    assert problems(tmp_path, accounts__reserved_usernames=["admin", "_irc_*", "a=b/c+d.e-f", "bot?"]) == []


def test_the_example_is_the_configuration_with_its_defaults(tmp_path: Path) -> None:
    assert config.load(write(tmp_path, config.example()), {}) == config.load(write(tmp_path, ""), {})


def example_lines() -> list[str]:
    """The settings of the example as they stand behind their mark of a comment."""
    bare = [line.removeprefix("# ") for line in config.example().splitlines() if line.startswith("# ")]
    return [line for line in bare if re.match(r"[a-z_0-9.]+ = ", line)]


def test_every_line_of_the_example_lands_in_its_table_by_itself() -> None:
    settings_there = {f"{setting.table}.{setting.key}" for setting in config.all_settings()}
    landed = set()
    for line in example_lines():
        assert config.example().count(f"\n# {line}\n") >= 1
        for start in (found.start() for found in re.finditer(re.escape(f"\n# {line}\n"), config.example())):
            text = config.example()
            tree = tomllib.loads(text[: start + 1] + text[start + 3 :])
            landed |= {".".join(path) for path in leaves(tree, settings_there)}
    assert landed == settings_there


def leaves(tree: dict[str, Any], known: set[str], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of all values in `tree`; one that is no setting is a mistake."""
    found = []
    for key, value in tree.items():
        here = (*path, key)
        if ".".join(here) in known:
            found.append(here)
        else:
            assert isinstance(value, dict), here
            found += leaves(value, known, here)
    return found


def test_the_example_can_be_uncommented_as_a_whole(tmp_path: Path) -> None:
    text = re.sub(r"^# ([a-z_0-9.]+ = )", r"\1", config.example(), flags=re.MULTILINE)
    made = config.load(write(tmp_path, text), {})
    assert made.accounts == config.Accounts(captcha=made.accounts.captcha if made.accounts else None)
    assert made.sms is not None
    assert made.identity == config.Identity()
    assert made.email is not None
    assert made.server.tls is not None


WORDS_OF_LIBRARIES = re.compile(
    r"Expected|`(int|str|float|array|object|bool)`|[Ii]nvalid|regex|\$|codec|msgspec|Error\b"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nname", "at its end: after a key comes = and a value"),
        ("[server]\nname = x", "line 2, column 8: a value is expected here"),
        ("[server]\nname = 'a'\nname = 'b'", "this key is there twice"),
        ("[server]\n[server]", "this table is there twice"),
        (
            "email.from = 'a'\n[email]",
            "this table is there twice: write its settings beside those that are there already",
        ),
        ("[server\n", "the ] of a table is missing"),
        ("[server]\nname = 'a", "at its end: the quotes of a text are not closed"),
        ("[server]\ntrusted_proxies = [", "a value is expected here"),
        ("= 1", "line 1, column 1: a line begins with a key or with the [ of a table"),
        ("[server]\nname = 'a' b", "one line holds one setting"),
        ('[server]\ndata_dir = "C:\\data"', "a backslash in double quotes"),
    ],
)
def test_what_is_no_toml_is_told_in_plain_words_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, text), {})
    said = str(caught.value).removeprefix(f"{tmp_path}/threepid.toml: is not TOML: ")
    assert message in said
    assert not WORDS_OF_LIBRARIES.search(said)


def test_no_wrong_value_is_answered_in_the_words_of_a_library(tmp_path: Path) -> None:
    values = [
        "1",
        "-1",
        "1.5",
        "'x'",
        "''",
        "true",
        "[]",
        "[1]",
        "['x']",
        "[{}]",
        "{}",
        "{ x = 1 }",
        "2026-01-01",
        "10:00:00",
        "1e300",
    ]
    refused = 0
    for setting in config.all_settings():
        for value in values:
            try:
                config.load(write(tmp_path, f"{setting.table}.{setting.key} = {value}"), {})
            except ConfigError as error:
                refused += 1
                said = str(error).removeprefix(f"{tmp_path}/threepid.toml: ")
                assert not WORDS_OF_LIBRARIES.search(said), said
                assert said.startswith("["), said
    assert refused > 300


def test_a_file_that_is_no_text_is_refused_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "threepid.toml").write_bytes(b"[server]\nname = '\xff'")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        config.load(tmp_path / "threepid.toml", {})
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        config.read_lines(str(tmp_path / "threepid.toml"))
    with pytest.raises(ConfigError, match="No such file"):
        config.read_lines(str(tmp_path / "nothing"))


@pytest.mark.parametrize("name", ["localhost", "a.localhost"])
def test_a_name_of_this_machine_is_listened_on_by_its_address(tmp_path: Path, name: str) -> None:
    assert problems(tmp_path, server__listen=f"{name}:8008", server__metrics_listen=f"{name}:9008") == []
    assert config.listen_address(settings(tmp_path, server__listen=f"{name}:8008")) == config.Listen("127.0.0.1", 8008)


@pytest.mark.parametrize("host", ["example.org", "256.1.1.1", "*", "0", "localhost.example.org"])
def test_a_listener_is_an_address_and_no_name(tmp_path: Path, host: str) -> None:
    for key in ("listen", "metrics_listen"):
        (found,) = config.check(
            settings(tmp_path, limits__all="on", accounts=None, email=None, **{f"server__{key}": f"{host}:1"})
        )
        assert str(found) == (
            f"[server] {key}: {host!r} is not an IP address: write that of the interface to listen on, or 0.0.0.0 for all of them"
        )


@pytest.mark.parametrize("path", ["/matrix", "/matrix/", "//", "/index.html"])
def test_a_base_url_with_a_path_is_refused(tmp_path: Path, path: str) -> None:
    assert problems(tmp_path, server__public_base_url=f"https://example.org{path}") == ["[server] public_base_url"]
    assert problems(tmp_path, server__public_base_url="https://example.org/") == []


@pytest.mark.parametrize(
    ("relay", "key", "advice"),
    [
        ({"host": "smtps://mail.example.org"}, ".host", 'write the name alone and tls = "tls"'),
        ({"host": "smtp://mail.example.org:25"}, ".host", 'write the name alone and tls = "starttls"'),
        ({"host": "https://mail.example.org"}, ".host", "write the name alone"),
        ({"host": "mail.example.org:587"}, ".host", 'write host = "mail.example.org" and port = 587'),
        ({"host": "[2001:db8::1]:587"}, ".host", 'write host = "2001:db8::1" and port = 587'),
        ({"host": "[2001:db8::1]"}, ".host", "write the address alone"),
        ({"host": ""}, ".host", "is not a host name"),
        ({"host": "mail.example.org/"}, ".host", "is not a host name"),
        ({"host": "me@mail.example.org"}, ".host", "is not a host name"),
        ({"host": " mail.example.org"}, ".host", "is not a host name"),
        ({"host": "mail..example.org"}, ".host", "is not a host name"),
        ({"host": "bücher.example"}, ".host", "is not a host name"),
        ({"port": 465}, "", 'set tls = "tls"'),
        ({"port": 465, "tls": "plain", "host": "localhost"}, "", 'set tls = "tls"'),
        ({"tls": "tls"}, "", "port = 465"),
        ({"tls": "tls", "port": 25}, "", 'set tls = "starttls"'),
        ({"host": "8.8.8.8", "port": 25, "tls": "plain", "allow_plain": True}, "", "unencrypted"),
        ({"host": "100.64.0.1", "port": 25, "tls": "plain", "allow_plain": True}, "", "unencrypted"),
        ({"host": "::ffff:8.8.8.8", "port": 25, "tls": "plain", "allow_plain": True}, "", "unencrypted"),
        ({"host": "10.0.0.1", "port": 25, "tls": "plain"}, "", "unencrypted"),
        ({"allow_plain": True}, ".allow_plain", "no effect"),
        ({"host": "localhost", "port": 25, "tls": "plain", "tls_name": "x.example"}, ".tls_name", "no effect"),
        ({"tls_name": "*.example.org"}, ".tls_name", "host name"),
        ({"helo_name": "two words"}, ".helo_name", "[192.0.2.1]"),
        ({"envelope_from": "Bob <bob@example.org>"}, ".envelope_from", "alone"),
        ({"envelope_from": "bob"}, ".envelope_from", "alone"),
        ({"username": "me", "token_command": ["token"]}, ".token_command", "absolute path"),
        ({"username": "me", "token_command": ["/no/such"]}, ".token_command", "/no/such"),
        ({"username": "me", "token_command": ["/etc/passwd"]}, ".token_command", "/etc/passwd"),
        ({"token_command": ["/bin/true"]}, "", "username"),
        (
            {
                "host": "10.0.0.1",
                "port": 25,
                "tls": "plain",
                "allow_plain": True,
                "username": "me",
                "token_command": ["/bin/true"],
            },
            "",
            "token unencrypted",
        ),
    ],
)
def test_a_relay_that_cannot_work_is_refused(tmp_path: Path, relay: dict[str, Any], key: str, advice: str) -> None:
    via = [{"transport": "smtp", "host": "mail.example.org", **relay}]
    assert problems(tmp_path, email__via=via) == [f"[email] via[0]{key}"]
    (found,) = config.check(settings(tmp_path, limits__all="on", accounts__registration="closed", email__via=via))
    assert advice in str(found)


@pytest.mark.parametrize(
    "relay",
    [
        {"host": "192.0.2.1"},
        {"host": "2001:db8::1"},
        {"host": "mail_relay"},
        {"port": 465, "tls": "tls"},
        {"port": 2525, "tls": "tls"},
        {"port": 25, "tls": "starttls"},
        {"host": "::1", "port": 25, "tls": "plain"},
        {"host": "10.0.0.1", "port": 25, "tls": "plain", "allow_plain": True},
        {"host": "fd00::1", "port": 25, "tls": "plain", "allow_plain": True},
        {"host": "mail_relay", "port": 25, "tls": "plain", "allow_plain": True},
        {"tls_name": "relay.example.org", "helo_name": "[IPv6:fd00::1]", "envelope_from": "b@example.org"},
        {"helo_name": "matrix.example.org", "username": "me", "token_command": ["/bin/true", "a b"]},
    ],
)
def test_a_relay_that_can_work_is_taken(tmp_path: Path, relay: dict[str, Any]) -> None:
    assert problems(tmp_path, email__via=[{"transport": "smtp", "host": "mail.example.org", **relay}]) == []


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"command": []}, ".command"),
        ({"command": ["sendmail", "-i"]}, ".command"),
        ({"command": ["/no/such"]}, ".command"),
        ({"command": ["/bin/true"], "envelope_from": "-x"}, ".envelope_from"),
    ],
)
def test_a_program_that_cannot_send_is_refused(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    assert problems(tmp_path, email__via=[{"transport": "sendmail", **changes}]) == [f"[email] via[0]{key}"]
    assert problems(tmp_path, email__via=[{"transport": "sendmail", "command": ["/bin/true", "-i"]}]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bounce_address": "bounces"}, "is not an address in plain ASCII, such as bounces@example.org"),
        ({"bounce_address": "Bounces <bounces@example.org>"}, "is not an address in plain ASCII"),
        ({"bounce_address": "böunces@example.org"}, "is not an address in plain ASCII"),
        ({"bounce_address": "b@example.org\r\nRCPT TO:<x@example.net>"}, "is not an address in plain ASCII"),
        ({"bounce_address": f"{'b' * 18}@example.org"}, "has more than 17 characters before the @"),
        ({"bounce_maildir": "."}, "has no effect without bounce_address: set it"),
        ({"bounce_secret_file": "secret"}, "has no effect without bounce_address: set it"),
        ({"bounce_address": "b@example.org", "bounce_maildir": "."}, "is no maildir: it has no folder new"),
        ({"bounce_address": "b@example.org", "bounce_maildir": "nothing"}, "there is no folder"),
        ({"bounce_address": "b@example.org", "bounce_secret_file": "open"}, "everybody can read"),
    ],
)
def test_settings_for_bounces_that_cannot_work_are_refused(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    for name, mode in (("secret", 0o600), ("open", 0o644)):
        (tmp_path / name).write_text("a secret for the hook")
        (tmp_path / name).chmod(mode)
    paths = {key: str(tmp_path / value) for key, value in changes.items() if key != "bounce_address"}
    made = {f"email__{key}": value for key, value in {**changes, **paths}.items()}
    sound = {
        "accounts__registration": "closed",
        "email__via": [{"transport": "smtp", "host": "m.example"}],
        "limits__all": "on",
    }
    found = [str(problem) for problem in config.check(settings(tmp_path, **sound, **made))]
    assert any(message in problem for problem in found), found
    assert all(problem.startswith("[email] bounce_") for problem in found)


def test_settings_for_bounces_that_work_are_taken(tmp_path: Path) -> None:
    for folder in ("new", "cur"):
        (tmp_path / "mails" / folder).mkdir(parents=True)
    (tmp_path / "secret").write_text("a secret for the hook")
    (tmp_path / "secret").chmod(0o600)
    assert (
        problems(
            tmp_path,
            email__bounce_address=f"{'b' * 17}@example.org",
            email__bounce_maildir=str(tmp_path / "mails"),
            email__bounce_secret_file=str(tmp_path / "secret"),
        )
        == []
    )

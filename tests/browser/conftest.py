"""A real Chromium, and two running servers."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from browser.served import OPEN, Site, guarded_tables
from browser.window import Window, new_context
from captcha_provider import CaptchaProvider
from rig import ServerProcess
from threepid.i18n.catalogues import DEFAULT_LANGUAGE

# A page is looked at until it shows what it should, however busy the machine is.
expect.set_options(timeout=30_000)


# For a module only: while it lives, Playwright's event loop runs in this thread, and the World of other tests has its own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium: scripts/system-packages chromium")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root, as containers have it; the pages are ours.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def window(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Window]:
    """A window in English, or in the language that is the parameter."""
    language = getattr(request, "param", DEFAULT_LANGUAGE)
    test = request.node.originalname.removeprefix("test_").replace("_", "-")
    with new_context(chromium, language) as context:
        made = Window(context, language, name=test)
        yield made
        assert made.trouble == []


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server where anybody may register: with nothing, an email address or a phone number."""
    with Site(ServerProcess(tmp_path_factory.mktemp("site"), tables=OPEN)) as made:
        yield made


@pytest.fixture(scope="session")
def captcha(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaptchaProvider]:
    with CaptchaProvider(tmp_path_factory.mktemp("captcha")) as made:
        yield made


@pytest.fixture(scope="session")
def guarded(captcha: CaptchaProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server where a new account takes a captcha, a token and two documents."""
    process = ServerProcess(tmp_path_factory.mktemp("guarded"), tables=guarded_tables(captcha))
    with Site(process, THREEPID__ACCOUNTS__REGISTRATION="token") as made:
        yield made


@pytest.fixture(scope="session")
def registration_token(guarded: Site) -> str:
    command = [sys.executable, "-m", "threepid", "registration-token", "create", "--config"]
    made = subprocess.run([*command, str(guarded.process.config)], capture_output=True, text=True, check=True)
    found = re.search(r"[a-z0-9]{26}", made.stdout)
    assert found, made.stdout
    return found[0]

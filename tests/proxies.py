"""Real reverse proxies with a configuration of `threepid proxy`."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from authority import authority, authority_file
from rig import free_port, wait_for
from threepid import config
from threepid.cli.proxy import caddy, nginx
from threepid.cli.proxy.rules import plan


def nginx_command(directory: Path, text: str) -> list[str]:
    temporary = "".join(
        f"{name}_temp_path {directory}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
    )
    return ["nginx", "-p", str(directory), "-e", str(directory / "nginx.log"), "-c", str(directory / "nginx.conf")]


def caddy_command(directory: Path, text: str) -> list[str]:
    options = "{\n\tadmin off\n\tauto_https off\n}\n"
    (directory / "Caddyfile").write_text(options + text)
    return ["caddy", "run", "--config", str(directory / "Caddyfile")]


PROGRAMS = {"nginx": (nginx.render, nginx_command), "caddy": (caddy.render, caddy_command)}


@contextlib.contextmanager
def run_proxy(program: str, settings: config.Config, directory: Path) -> Iterator[Callable[[str, str], int]]:
    """A proxy on loopback, and a function that sends it a request as it is written and returns the status."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    port = free_port()
    render, command = PROGRAMS[program]
    text = render(plan(settings))
    if program == "nginx":
        text = re.sub(r"\n    ssl_certificate.*;", "", text)
        text = re.sub(r"listen \d+( ssl)?;", f"listen {port};", text)
        text = re.sub(r"server_name .*;", "server_name localhost;", text)
    else:
        text = re.sub(r"\A\S+ \{", f"http://localhost:{port} {{", text)
    with (directory / "output").open("wb") as output:
        environment = {"HOME": str(directory), "PATH": "/usr/sbin:/usr/bin:/bin"}
        process = subprocess.Popen(command(directory, text), stdout=output, stderr=output, env=environment)

    def send(method: str, target: str) -> int:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(
                f"{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b""
            while more := connection.recv(65_536):
                answer += more
        return int(answer.split(b" ")[1])

    def listens() -> bool:
        with contextlib.suppress(OSError):
            return bool(send("GET", "/"))
        return False

    try:
        wait_for(listens, 20, what=f"an answer of {program}")
        yield send
    finally:
        process.kill()
        process.wait(60)


@contextlib.contextmanager
def in_front(program: str, settings: config.Config, directory: Path) -> Iterator[str]:
    """A proxy on loopback that listens where `server.public_base_url` says; yields that URL.

    For an https URL, the proxy is nginx, and its certificate is one of the tests' authority.
    """
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    render, command = PROGRAMS[program]
    base = settings.server.public_base_url
    directory.mkdir(exist_ok=True)
    text = render(plan(settings))
    if base.startswith("https:"):
        text = _with_certificate(text, directory)
    with (directory / "output").open("wb") as output:
        environment = {"HOME": str(directory), "PATH": "/usr/sbin:/usr/bin:/bin"}
        process = subprocess.Popen(command(directory, text), stdout=output, stderr=output, env=environment)
    trust = ssl.create_default_context(cafile=authority_file())

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{base}/_threepid/health/live", verify=trust, timeout=5).status_code == 200
        return False

    try:
        wait_for(answers, 20, what=f"an answer of {program}")
        yield base
    finally:
        process.kill()
        process.wait(60)


def _with_certificate(text: str, directory: Path) -> str:
    """Configuration of nginx with a certificate for `localhost`."""
    certificate = authority().issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(directory / "chain.pem"))
    text = re.sub(r"(ssl_certificate) .*;", rf"\1 {directory}/chain.pem;", text)
    text = re.sub(r"(ssl_certificate_key) .*;", rf"\1 {directory}/key.pem;", text)
    return re.sub(r"listen (\d+) ssl;", r"listen 127.0.0.1:\1 ssl;", text)

"""The lines of the guide from a bare machine to a running server, as far as they run without root, systemd and a host name."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from rig import free_port, wait_for
from test_package import source, wheel  # noqa: F401 - fixtures
from threepid import __version__

GUIDE = (Path(__file__).parent.parent / "docs" / "guides" / "first-server.md").read_text(encoding="utf-8")
MOVED = re.compile(r"(?<![\w/.])/(?=opt/|etc/|var/lib/|usr/local/|usr/lib/(?:sysusers|tmpfiles)\.d/)")
ONLY_ON_A_MACHINE = {
    "apt-get", "systemd-sysusers", "systemd-tmpfiles", "ln", "systemctl", "nginx", "curl", "runuser",
}  # fmt: skip
pytestmark = pytest.mark.timeout(600)


def blocks(info: str) -> str:
    return "\n".join(re.findall(rf"^```{info}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


def environment(root: Path) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("THREEPID", "PYTHONPATH", "VIRTUAL"))
    }
    return {**kept, "PATH": f"{root}/usr/local/bin:/usr/local/bin:/usr/bin:/bin"}


def run(script: str, root: Path) -> str:
    """The output of lines of the guide, with the folders of the system below `root`."""
    moved = MOVED.sub(f"{root}/", script)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", moved], cwd=root, env=environment(root), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path, source: Path, wheel: Path) -> Path:  # noqa: F811 - fixtures
    for folder in ("opt", "etc", "var/lib", "usr/local/bin", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"):
        (tmp_path / folder).mkdir(parents=True)
    for file in (source, wheel):
        shutil.copy(file, tmp_path)
    return tmp_path


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def walked(root: Path, port: int) -> Iterator[str]:
    """The output of the guide's lines up to the start; the server that the unit starts is running."""
    output = run(blocks("sh first"), root)
    (started,) = re.findall(r"^ExecStart=(.*)$", (root / "etc/threepid/threepid.service").read_text(), re.MULTILINE)
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(
            shlex.split(started), cwd="/", stderr=log,
            env={**environment(root), "THREEPID__SERVER__LISTEN": f"127.0.0.1:{port}"},
        )  # fmt: skip
    try:
        yield output
    finally:
        server.terminate()
        assert server.wait(20) == 0, (root / "log").read_text()


def test_the_guide_leads_to_a_running_server(walked: str, root: Path, port: int) -> None:
    assert f"threepid {__version__}\n" in walked
    assert "The configuration is valid.\n" in walked
    assert (root / "etc/threepid/threepid.service").read_text().count(f"{root}/opt/threepid/bin/threepid serve") == 1
    ask = blocks("sh started").replace(":8008/", f":{port}/")
    wait_for(lambda: subprocess.run(["sh", "-c", ask], capture_output=True).returncode == 0, seconds=60)
    assert "is not a" not in (root / "log").read_text()
    if shutil.which("nginx") is None:
        pytest.skip("nginx is missing: only the server was tried, not the proxy")
    through_nginx(root, port)


def through_nginx(root: Path, port: int) -> None:
    """Put the guide's nginx configuration in front, with a certificate of ours."""
    made = trustme.CA()
    certificate = made.issue_cert("matrix.example.org")
    folder = root / "etc/ssl/matrix.example.org"
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "privkey.pem").write_bytes(certificate.private_key_pem.bytes())
    made.cert_pem.write_to_path(str(root / "authority.pem"))
    front = free_port()
    site = MOVED.sub(f"{root}/", blocks("nginx")).replace(":8008;", f":{port};")
    site = site.replace("    listen [::]:443 ssl;\n", "").replace("listen 443 ssl", f"listen 127.0.0.1:{front} ssl")
    temporary = "".join(
        f"{kind}_temp_path {root}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (root / "nginx.conf").write_text(
        f"daemon off; pid {root}/nginx.pid; error_log {root}/nginx.log; user root;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{site}}}\n"
    )
    command = ["nginx", "-p", str(root), "-e", f"{root}/nginx.log", "-c", f"{root}/nginx.conf"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        (ask,) = re.findall(r"^curl .*https://matrix.*$", GUIDE, re.MULTILINE)
        ask = ask.replace("example.org/", f"example.org:{front}/")
        ask += f" --cacert {root}/authority.pem --resolve matrix.example.org:{front}:127.0.0.1"
        answer = wait_for(lambda: subprocess.run(["sh", "-c", ask], capture_output=True, text=True).stdout)
        assert '"versions":[' in answer
    finally:
        nginx.terminate()
        nginx.wait(20)


def test_only_lines_that_need_a_whole_machine_are_left_out() -> None:
    left_out = {line.split()[0] for line in blocks("sh bare").splitlines() if line}
    assert left_out <= ONLY_ON_A_MACHINE
    assert {line.split()[0] for line in blocks("sh").splitlines() if line} == set()

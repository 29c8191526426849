"""One certificate authority for all servers of a test process: reading a file of authorities takes longer than many tests."""

import atexit
import shutil
import ssl
import tempfile
from functools import cache
from pathlib import Path

import trustme


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def authority_file() -> str:
    """Its certificate as a file, for `ca_file`."""
    folder = Path(tempfile.mkdtemp(prefix="threepid-authority-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority().cert_pem.write_to_path(folder / "ca.pem")
    return str(folder / "ca.pem")


@cache
def localhost() -> ssl.SSLContext:
    """What a server called localhost needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost").configure_cert(context)
    return context

"""A web app on today's matrix-js-sdk, which runs in a real browser: `matrix_js_sdk_oauth/app.mjs`, bundled by esbuild."""

import contextlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

from clients.test_matrix_js_sdk import node_program

FOLDER = Path(__file__).parent / "matrix_js_sdk_oauth"
_PAGE = b'<!doctype html><html lang=en><title>app</title><h1>The app</h1><script src="/app.js"></script>'


def bundle(directory: Path) -> bytes:
    """The app as one script. Skips the test without Node or the registry."""
    node_program(FOLDER)
    target = directory / "app.js"
    command = [str(FOLDER / "node_modules" / ".bin" / "esbuild"), "app.mjs", "--bundle", "--format=iife"]
    subprocess.run([*command, "--log-level=error", f"--outfile={target}"], cwd=FOLDER, check=True, timeout=180)
    return target.read_bytes()


@contextlib.contextmanager
def web_app(directory: Path) -> Iterator[str]:
    """The address of the app, on a port of its own."""
    script = bundle(directory)

    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_script = self.path == "/app.js"
            body = script if is_script else _PAGE
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if is_script else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class WebApp:
    """The app in a tab of a browser."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.page.goto(address)

    def do(self, name: str, *arguments: Any) -> Any:
        """The result of one of the app's functions."""
        return self.page.evaluate("([name, args]) => app[name](...args)", [name, list(arguments)])

"""A stand-in for a provider of captchas on loopback: the script of its widget, the frame in it, and `siteverify`."""

import http.server
import ssl
import threading
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs

import trustme

RIGHT = "right-answer"
SECRET = "the captcha's secret"
SITE_KEY = "site-key"
WIDGET = """
"use strict";
window.addEventListener("load", () => {
  const place = document.querySelector(".g-recaptcha");
  const frame = document.createElement("iframe");
  frame.title = "captcha";
  frame.width = 304;
  frame.height = 78;
  frame.src = new URL("/frame", SCRIPT).href;
  const answer = document.createElement("textarea");
  answer.name = "g-recaptcha-response";
  answer.hidden = true;
  place.append(frame, answer);
  window.addEventListener("message", (event) => {
    if (event.origin === SCRIPT.origin) {
      answer.value = event.data + ":" + place.dataset.sitekey;
    }
  });
});
const SCRIPT = new URL(document.currentScript.src);
"""
FRAME = f"""<!doctype html><title>captcha</title>
<body style="margin:0;font:16px sans-serif;background:#f9f9f9;border:1px solid #d3d3d3;height:76px;box-sizing:border-box">
<label style="display:flex;gap:12px;align-items:center;padding:24px">
<input type="checkbox" onchange="parent.postMessage('{RIGHT}', '*')" style="width:24px;height:24px"> I am a human</label>"""


class CaptchaProvider:
    """Answers over TLS, with a certificate that only `insecure_hosts` makes good."""

    def __init__(self, directory: Path) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("localhost").configure_cert(context)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"localhost:{self._server.server_port}"
        self.origin = f"https://{self.host}"
        self.secret_file = directory / "captcha.secret"
        self.secret_file.write_text(SECRET)
        self.secret_file.chmod(0o600)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def settings(self) -> dict[str, object]:
        """The members of `[accounts.captcha]`."""
        return {
            "site_key": SITE_KEY,
            "secret_file": str(self.secret_file),
            "verify_url": f"{self.origin}/siteverify",
            "script_url": f"{self.origin}/api.js",
            "frame_hosts": [self.origin],
        }

    @property
    def outbound(self) -> dict[str, object]:
        """The members of `[outbound]` that let our server ask it."""
        return {"allow": ["127.0.0.0/8", "::1"], "insecure_hosts": [self.host]}


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/api.js":
            self._answer("text/javascript", WIDGET)
        else:
            self._answer("text/html", FRAME)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        right = form["secret"] == [SECRET] and form["response"] == [f"{RIGHT}:{SITE_KEY}"]
        self._answer("application/json", '{"success": true}' if right else '{"success": false}')

    def _answer(self, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

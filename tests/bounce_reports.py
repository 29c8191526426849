"""Reports about mails, as mail servers and providers write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threepid.clock import DAY
from threepid.storage import outbox
from threepid.storage.engine.queries import Query
from threepid.storage.suppressions import Suppression
from world import World

ADDRESS = "bounces@example.org"
SECRET = "a secret for the hook"
BOB = "bob@example.com"


def world_with_reports(database_url: str, directory: Path, **changes: Any) -> World:
    """A world that takes reports over HTTP."""
    (directory / "hook.secret").write_text(SECRET)
    settings = {"email__bounce_address": ADDRESS, "email__bounce_secret_file": str(directory / "hook.secret")}
    return World(database_url, directory, **{**settings, **changes})


def block(status: str = "5.1.1", action: str = "failed", recipient: str = BOB) -> str:
    """What a notification says about one recipient."""
    return f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: smtp; 550 no\n"


def notification(
    sent_to: str, *blocks: str, header: str = "To", original: str = "Subject: Hello\n\nYour code\n", type_: str = ""
) -> bytes:
    """A delivery status notification that is sent to `sent_to`."""
    groups = "\n".join(blocks or (block(),))
    text = f"""From: Mail Delivery System <MAILER-DAEMON@mx.example.net>
{header}: {sent_to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: {type_ or "multipart/report; report-type=delivery-status"};
 boundary="mx/1"

This is a MIME-encapsulated message.

--mx/1
Content-Type: text/plain; charset=us-ascii

I'm sorry. {sent_to}

--mx/1
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
X-Postfix-Queue-ID: 4AB
Arrival-Date: Mon, 18 Jan 2027 10:00:00 +0000 (UTC)

{groups}
--mx/1
Content-Type: message/rfc822

{original}
--mx/1--
"""
    return text.replace("\n", "\r\n").encode()


def complaint(
    mail_from: str = "", *, type_: str = "abuse", to: str = "fbl@example.org", return_path: str = ""
) -> bytes:
    """A complaint of a provider: the mail's envelope sender is in its fields or in the mail that it returns."""
    original_from = f"Original-Mail-From: <{mail_from}>\n" if mail_from else ""
    path = f"Return-Path: <{return_path}>\n" if return_path else ""
    text = f"""From: <abuse@provider.example>
To: {to}
Subject: FW: Hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b2"

--b2
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report.

--b2
Content-Type: message/feedback-report

Feedback-Type: {type_}
User-Agent: SomeGenerator/1.0
Version: 1
{original_from}
--b2
Content-Type: message/rfc822
Content-Disposition: inline

{path}From: noreply@example.org
Subject: Hello

Your code
--b2--
"""
    return text.encode()


def mail_to(world: World, address: str = BOB, *, number: int = 1) -> str:
    """Let the server send a mail with a code to an address; returns its envelope sender."""
    body = {"client_secret": f"secret{number}", "email": address, "send_attempt": number}
    answer = world.post("/_matrix/client/v3/register/email/requestToken", body)
    assert answer.status_code == 200, answer.text
    world.mails()
    return sender_of(world, jobs_to(world, address)[-1].id)


def sender_of(world: World, job_id: str) -> str:
    """The envelope sender of a mail."""
    return world.server.services.bounces.envelope.sender(job_id)


def jobs_to(world: World, address: str = BOB) -> list[outbox.Listed]:
    """All jobs to an address, oldest first, in whatever state they are."""
    found = world.run(world.database.read(lambda tx: tx.rows(_JOBS, outbox.Listed, recipient=address)))
    return sorted(found, key=lambda job: (job.created_at, job.id))


def send(world: World, raw: bytes) -> None:
    """Give a mail to the server over HTTP."""
    answer = world.call("POST", "/_threepid/bounces", raw, token=SECRET, headers={"Content-Type": "message/rfc822"})
    assert (answer.status_code, answer.json()) == (200, {})


def suppressed(world: World) -> Sequence[Suppression]:
    """All that is recorded."""
    return world.run(world.server.services.suppressions.all())


_COLUMNS = ", ".join(outbox.Listed.__struct_fields__)
_SQL = f"SELECT {_COLUMNS} FROM outbox WHERE recipient = "
_JOBS = Query("test.jobs", _SQL + ":recipient", _SQL + "%(recipient)s")
LONG_AGO = 31 * DAY

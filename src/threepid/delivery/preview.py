"""Messages for operators to look at: each as people get it, and one that only says that it arrived."""

from collections.abc import Iterator
from html import escape
from typing import Final

import msgspec

from threepid.clock import HOUR, Clock, Entropy
from threepid.delivery.render import Rendered, Renderer
from threepid.delivery.segments import segments
from threepid.domain import messages
from threepid.domain.addresses import Email
from threepid.domain.mailbox import Preview
from threepid.domain.messages import Message
from threepid.storage.outbox import ClaimedJob

TEST: Final = "test"


def previews(renderer: Renderer, languages: list[str], names: list[str]) -> Iterator[Preview]:
    """The messages with these `names` in each language, filled in with examples. Raises TemplateError."""
    for example in messages.EXAMPLES:
        if example.template in names:
            for language in languages:
                job = _job(example, language)
                mail, sms = renderer.mail(job), renderer.text(job)
                yield Preview(
                    name=example.template,
                    language=language,
                    subject=mail.subject,
                    text=mail.text,
                    html=mail.html,
                    sms=sms,
                    segments=segments(sms),
                )


def job_of_test(channel: str, recipient: str, clock: Clock, entropy: Entropy) -> ClaimedJob:
    """The job of a message that is sent now to see whether it arrives."""
    now = clock.now()
    return ClaimedJob(
        id=entropy.id(now),
        channel=channel,
        recipient=recipient,
        language="en",
        template=TEST,
        params="{}",
        created_at=now,
        expires_at=now + HOUR,
        attempts=1,
    )


def mail_of_test(brand: str) -> Rendered:
    """The mail that only says that it arrived. It is in English, because an operator sent it."""
    text = f"Hello,\n\nThis is a test of {brand}. Its mails arrive.\n"
    return Rendered(
        f"Test of {brand}", text, f"<p>Hello,</p><p>This is a test of {escape(brand)}. Its mails arrive.</p>"
    )


def sms_of_test(brand: str) -> str:
    """The SMS that only says that it arrived."""
    return f"This is a test of {brand}. Its SMS arrive."


def _job(example: Message, language: str) -> ClaimedJob:
    return ClaimedJob(
        id=example.template,
        channel=Email.channel,
        recipient="alice@example.com",
        language=language,
        template=example.template,
        params=msgspec.json.encode(example).decode("utf-8"),
        created_at=0,
        expires_at=HOUR,
        attempts=1,
    )

"""The floor of deliveries: aiosmtplib alone, over some connections at once.

`mailing.py PORT COUNT CONNECTIONS MANNER FILE`: the mail is in FILE; MANNER is

* `made`: each mail is made by the `email` package with the texts of FILE, and gets a connection of its own;
* `new`: the prepared mail is sent as it is, each time over a connection of its own;
* `kept`: the prepared mail is sent as it is, and the connections stay open.
"""

import asyncio
import email
import email.policy
import sys
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import uvloop


async def mail(port: int, count: int, connections: int, manner: str, content: bytes) -> None:
    numbers = iter(range(count))

    async def one() -> None:
        client = connection()
        for number in numbers:
            if not client.is_connected:
                await client.connect()
            recipient = f"bob{number}@example.com"
            sent = made(number, recipient).as_bytes() if manner == "made" else content
            await client.sendmail("noreply@bench.example", recipient, sent)
            if manner != "kept":
                await client.quit()
                client = connection()
        if client.is_connected:
            await client.quit()

    def connection() -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(hostname="127.0.0.1", port=port, local_hostname="bench.example", start_tls=False)

    given = email.message_from_bytes(content, policy=email.policy.SMTP)
    plain, html = (str(part.get_content()) for part in given.iter_parts())

    def made(number: int, recipient: str) -> EmailMessage:
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"], message["To"], message["Subject"] = given["From"], recipient, str(given["Subject"])
        message["Date"], message["Message-ID"] = given["Date"], f"<{number}@bench.example>"
        message.set_content(plain)
        message.add_alternative(html, subtype="html")
        return message

    await asyncio.gather(*(one() for _ in range(connections)))


if __name__ == "__main__":
    port, count, connections, manner, file = sys.argv[1:]
    uvloop.run(mail(int(port), int(count), int(connections), manner, Path(file).read_bytes()))

"""`threepid message …`."""

from pathlib import Path
from typing import Annotated

import typer

from threepid.cli import completion
from threepid.cli.common import ConfigFile, die, err, load, out, refuse

app = typer.Typer(help="Look at the messages that people get, and send one to yourself.", no_args_is_help=True)


@app.command("preview")
def preview(
    config_file: ConfigFile = None,
    *,
    message: Annotated[
        list[str] | None,
        typer.Option(
            "--message",
            help="The name of a message; may be repeated. Default: all.",
            autocompletion=completion.offer(completion.messages),
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            "--language",
            help="A language tag; may be repeated. Default: `web.default_language`.",
            autocompletion=completion.offer(completion.languages),
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Write files into this folder instead of printing.")
    ] = None,
) -> None:
    """Print all messages with example values, as mail and as SMS; with --folder, write them as .txt, .html and .sms files."""
    from threepid.delivery.preview import previews  # noqa: PLC0415 - see serving.py
    from threepid.delivery.render import Renderer  # noqa: PLC0415 - see serving.py
    from threepid.domain.languages import fitting  # noqa: PLC0415 - see serving.py

    settings = load(config_file, anywhere=True)
    names = completion.messages()
    for name in message or ():
        if name not in names:
            refuse(f"There is no message {name}, only {', '.join(sorted(names))}.")
    for tag in language or ():
        if tag not in completion.languages():
            refuse(f"There is no language {tag}, only {', '.join(completion.languages())}.")
    renderer = Renderer(settings.web.brand_folder, contact=settings.web.contact_name)
    for shown in previews(renderer, language or [fitting(settings, ())], message or names):
        if folder is None:
            out.rule(f"{shown.name}, {shown.language}")
            out.print(f"Subject: {shown.subject}\n\n{shown.text}\nSMS: {shown.sms}\n", markup=False)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{shown.name}.{shown.language}"
        place.with_name(f"{place.name}.txt").write_text(f"Subject: {shown.subject}\n\n{shown.text}", "utf-8")
        place.with_name(f"{place.name}.html").write_text(shown.html, "utf-8")
        place.with_name(f"{place.name}.sms").write_text(f"{shown.sms}\n", "utf-8")
    if folder is not None:
        out.print(f"wrote the messages into {folder}", markup=False)


@app.command("send-test")
def send_test(
    address: Annotated[str, typer.Argument(help="An email address, or a phone number with + and the country code.")],
    config_file: ConfigFile = None,
) -> None:
    """Send a test message now, past the outbox and the limits, and print which relay or gateway accepted it."""
    from threepid.cli.server import Server, with_server  # noqa: PLC0415 - see serving.py
    from threepid.delivery import preview as previewing  # noqa: PLC0415 - see serving.py
    from threepid.delivery.errors import DeliveryError  # noqa: PLC0415 - see serving.py
    from threepid.delivery.mail.email import Mailer  # noqa: PLC0415 - see serving.py
    from threepid.delivery.outcome import Receipt  # noqa: PLC0415 - see serving.py
    from threepid.delivery.sms import SmsSender  # noqa: PLC0415 - see serving.py
    from threepid.domain.addresses import Email, InvalidAddress, Phone, parse_address  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    medium = Email.medium if "@" in address else Phone.medium
    try:
        parsed = parse_address(medium, address)
    except InvalidAddress:
        refuse("This is neither an email address nor a phone number with + and the country code.")

    async def send(server: Server) -> Receipt | DeliveryError | None:
        context = server.context
        job = previewing.job_of_test(parsed.channel, parsed.address, context.clock, context.entropy)
        try:
            if settings.email is not None and medium == Email.medium:
                mailer = Mailer(
                    settings.email, context.database, context.clock, server.services.bounces.envelope.sender
                )
                try:
                    return await mailer.deliver(job, previewing.mail_of_test(context.brand))
                finally:
                    await mailer.close()
            if settings.sms is not None and medium == Phone.medium:
                return await SmsSender(settings.sms, context.clock).deliver(job, previewing.sms_of_test(context.brand))
        except DeliveryError as error:
            return error
        return None

    outcome = with_server(settings, send)
    if outcome is None:
        die(f"The configuration has no [{'email' if medium == Email.medium else 'sms'}]: nothing can be sent.")
    for failure in outcome.failures:
        err.print(f"{failure.relay} did not take it: {failure.text}.", markup=False)
    if isinstance(outcome, DeliveryError):
        die("The test was not sent." if outcome.failures else f"The test was not sent: {outcome}")
    out.print(f"sent a test to {parsed.address} through {outcome.relay}", markup=False)

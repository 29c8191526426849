"""`threepid outbox …`."""

from typing import Annotated, Any, Final

import typer

from threepid.cli import completion
from threepid.cli.common import ConfigFile, die, format_time, load, out, refuse
from threepid.cli.operators import operate
from threepid.cli.tables import AsJson, print_json, print_list

app = typer.Typer(help="Show what waits to be sent, try it again, or drop it.", no_args_is_help=True)

_JobId = Annotated[
    str, typer.Argument(help="The ID from `outbox list`. Put `--` before an ID that begins with a dash.")
]
_TIMES: Final = ("created_at", "due_at", "expires_at", "failed_at", "sent_at", "returned_at", "suppressed_since")


@app.command("list")
def list_jobs(
    config_file: ConfigFile = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="List the jobs that have failed for good instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the messages and calls that wait, with recipient, state and last error, oldest first. Addresses are masked."""
    from threepid.cli.server import Server, with_server  # noqa: PLC0415 - see serving.py

    async def collect(server: Server) -> list[dict[str, Any]]:
        return [_shown(job) for job in await server.services.queue.jobs(failed=failed)]

    jobs = with_server(load(config_file), collect)
    if as_json:
        print_json(jobs)
        return
    _print(jobs)


def _print(jobs: list[dict[str, Any]]) -> None:
    rows = [
        (
            job["id"],
            job["channel"],
            job["message"],
            job["recipient"],
            job["state"],
            format_time(job["created_at"]),
            str(job["attempts"]),
            format_time(job["due_at"]),
            job["last_error"] or "",
        )
        for job in jobs
    ]
    columns = ("id", "channel", "message", "recipient", "state", "created", "attempts", "next try", "last error")
    print_list(columns, rows, whole="id")


@app.command("show")
def show(job_id: _JobId, config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Print all that is known of one job, even if it was sent or has failed. Its contents are encrypted and not shown."""
    from threepid.cli.server import Server, with_server  # noqa: PLC0415 - see serving.py

    async def find(server: Server) -> dict[str, Any]:
        job = await server.services.queue.get(job_id)
        suppression = await server.services.suppressions.find(job.recipient) if job.channel == "email" else None
        return {**_shown(job), "suppressed_since": suppression.first_at if suppression else None}

    job = with_server(load(config_file), find)
    if as_json:
        print_json([job])
        return
    for name, value in job.items():
        if value is not None:
            text = format_time(value) if name in _TIMES else str(value)
            out.print(f"{name.replace('_', ' ')}: {text}", markup=False)


@app.command("retry")
def retry(
    job_id: Annotated[str, typer.Argument(help="The ID from `outbox list`.")] = "",
    config_file: ConfigFile = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Try all jobs that wait for another attempt.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try a job now that waits for another attempt, and print what was done."""
    if bool(job_id) == every:
        refuse("Name a job, or use --all.")

    async def hurry(server: Any, operator: Any) -> int:
        if every:
            count: int = await server.services.operations.resend_all(operator)
            return count
        await server.services.operations.resend(job_id, operator)
        return 1

    count = operate(config_file, hurry)
    if as_json:
        print_json([{"retried": count}])
    elif job_id:
        out.print(f"{job_id} is tried now", markup=False)
    else:
        out.print(f"{count} {'job is' if count == 1 else 'jobs are'} tried now", markup=False)


@app.command("drop")
def drop(
    job_id: Annotated[
        str, typer.Argument(help="The ID from `outbox list`. Put `--` before an ID that begins with a dash.")
    ] = "",
    config_file: ConfigFile = None,
    *,
    to: Annotated[str, typer.Option("--to", help="Drop the jobs for this address or server instead.")] = "",
    message: Annotated[
        str,
        typer.Option(
            "--message",
            help="Drop the jobs with this message instead; with --to, only those among its jobs.",
            autocompletion=completion.offer(completion.messages),
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Drop more than one job. Without it, they are listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give waiting jobs up and erase their contents: they are not sent. Print which were dropped."""
    if bool(job_id) == bool(to or message):
        refuse("Name a job, or use --to or --message.")
    recipient = _as_stored(to)

    async def give_up(server: Any, operator: Any) -> tuple[int, list[dict[str, Any]]]:
        operations = server.services.operations
        if job_id:
            await operations.drop(job_id, operator)
            return 1, []
        jobs = await server.services.queue.waiting(recipient=recipient, message=message)
        if len(jobs) > 1 and not yes:
            return 0, [_shown(job) for job in jobs]
        return await operations.drop_all(jobs, operator), []

    count, kept = operate(config_file, give_up)
    if as_json:
        print_json([{"dropped": count, "kept": kept}])
    elif kept:
        _print(kept)
    else:
        out.print(f"dropped {job_id or f'{count} job' + ('' if count == 1 else 's')}", markup=False)
    if kept:
        die(f"Nothing was dropped. Use --yes to drop these {len(kept)} jobs.")


def _as_stored(text: str) -> str:
    """An address or the name of a server in the form in which the outbox has it."""
    from threepid.domain.addresses import Email, InvalidAddress, Phone, parse_address  # noqa: PLC0415 - see serving.py

    medium = Email.medium if "@" in text else Phone.medium
    if medium == Phone.medium and not text.startswith("+"):
        return text
    try:
        return parse_address(medium, text).address
    except InvalidAddress:
        refuse("This is neither an email address nor a phone number with + and the country code.")


def _shown(job: Any) -> dict[str, Any]:
    """A job for operators: its recipient's address is masked, but not the name of a server."""
    from threepid.domain.addresses import mask  # noqa: PLC0415 - see serving.py
    from threepid.domain.queue import state  # noqa: PLC0415 - see serving.py

    is_person = job.channel in ("email", "sms")
    return {
        "id": job.id,
        "channel": job.channel,
        "message": job.template,
        "recipient": mask(job.recipient) if is_person else job.recipient,
        "language": job.language or None,
        "state": state(job).value,
        "attempts": job.attempts,
        "created_at": job.created_at,
        "due_at": job.due_at,
        "expires_at": job.expires_at,
        "failed_at": job.failed_at,
        "sent_at": job.sent_at,
        "last_error": job.last_error,
        "returned_at": job.returned_at,
        "returned_status": job.returned_status,
        "request_id": job.request_id or None,
    }

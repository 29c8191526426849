"""What operators do that needs no account: limits, messages, suppressed addresses, invitations, keys, peppers.

Every act is in the audit log.
"""

from collections.abc import Sequence

from threepid.domain import audit, counted
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.addresses import Address, Email
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.context import Context
from threepid.domain.identity.invites import Invites
from threepid.domain.identity.peppers import Peppers
from threepid.domain.operators.directory import MOST_LISTED, limits_of, message_view
from threepid.domain.operators.operator import Operator
from threepid.domain.operators.views import InviteView, MessageView, SuppressionView
from threepid.domain.queue import Note, Queue
from threepid.domain.secrets import fingerprint
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, NotFound
from threepid.storage import invites, suppressions, threepids
from threepid.storage.engine.database import Tx
from threepid.storage.invites import Invite
from threepid.storage.outbox import Listed
from threepid.storage.suppressions import Suppression


class Operations:
    """Changes limits and messages for operators."""

    def __init__(self, context: Context, queue: Queue) -> None:
        """`queue` is the outbox."""
        self._context = context
        self._queue = queue

    async def clear_limits(
        self, operator: Operator, *, user_id: str = "", address: Address | None = None, network: str = ""
    ) -> int:
        """Fill the limits again that count for an account, an address or a network; returns how many were not full.

        An account includes messages to its contacts, and wrong passwords from the networks that tried some. With an account and
        a network, wrong passwords for the account from that network are included. Raises InvalidParam and Forbidden.
        """
        if not user_id and address is None and not network:
            raise InvalidParam(Text("Name an account, an address or a network."))
        try:
            client = counted.client_of(network) if network else ""
        except ValueError:
            raise InvalidParam(Text("This is not an IP address or a network.")) from None

        def step(tx: Tx) -> int:
            found: list[counted.Counted] = []
            if user_id:
                operator.grant(user_id).consume(tx)
                contacts = threepids.of_user(tx, user_id)
                found += limits_of(tx, self._context, user_id, contacts)
                if client:
                    typed = [f"{contact.medium} {contact.canonical}" for contact in contacts]
                    found += counted.of_guesses(self._context, user_id, typed, client)
            if address is not None:
                found += counted.of_address(self._context, address.medium, address.canonical)
            if client:
                found += counted.of_network(self._context, client)
            details = {"network": network} if network else {}
            if address is not None:
                details["contact"] = audit.contact(self._context, address.medium, address.canonical)
            self._note(tx, audit.Event.LIMITS_CLEARED, user_id, operator, **details)
            return counted.clear(tx, self._context, found)

        return await self._context.database.write_aside(step)

    async def message(self, job_id: str) -> MessageView:
        """One message, in whatever state it is. Raises NotFound."""
        return message_view(await self._queue.get(job_id))

    async def resend(self, job_id: str, operator: Operator) -> None:
        """Send a message now that waits for another attempt. Raises NotFound, and Forbidden if it does not wait.

        The contents of a message that was sent or has failed are erased: what it was about must be asked for again.
        """
        await self._queue.retry(job_id, self._of_jobs(audit.Event.MESSAGE_RESENT, operator, message_id=job_id))

    async def resend_all(self, operator: Operator) -> int:
        """Send all messages now that wait for another attempt; returns how many."""
        return await self._queue.retry_all(self._of_jobs(audit.Event.MESSAGE_RESENT, operator))

    async def drop(self, job_id: str, operator: Operator) -> None:
        """Give a message up: see `Queue.drop`. Raises NotFound and Forbidden."""
        await self._queue.drop(job_id, self._of_jobs(audit.Event.MESSAGE_DROPPED, operator, message_id=job_id))

    async def drop_all(self, jobs: Sequence[Listed], operator: Operator) -> int:
        """Give these messages up: see `Queue.drop_all`."""
        return await self._queue.drop_all(jobs, self._of_jobs(audit.Event.MESSAGE_DROPPED, operator))

    async def create_registration_token(
        self,
        tokens: RegistrationTokens,
        token: str | None,
        operator: Operator,
        *,
        uses_allowed: int | None,
        expires_at: int | None,
    ) -> str:
        """Create a registration token: see `RegistrationTokens.create`. Raises InvalidParam."""

        def note(tx: Tx, hint: str) -> None:
            self._note(tx, audit.Event.REGISTRATION_TOKEN_CREATED, "", operator, hint=hint)

        return await tokens.create(token, uses_allowed=uses_allowed, expires_at=expires_at, note=note)

    async def delete_registration_token(self, tokens: RegistrationTokens, name: str, operator: Operator) -> str:
        """Delete a registration token and return its hint: see `RegistrationTokens.delete`. Raises NotFound, InvalidParam."""

        def note(tx: Tx, hint: str) -> None:
            self._note(tx, audit.Event.REGISTRATION_TOKEN_DELETED, "", operator, hint=hint)

        return (await tokens.delete(name, note)).hint

    async def remove_suppression(self, address: Address, operator: Operator) -> None:
        """Send mails to an address again. Raises NotFound."""

        def step(tx: Tx) -> None:
            if address.medium != Email.medium or not suppressions.delete(tx, address.canonical):
                raise NotFound(Text("No report is recorded for this address."))
            shown = audit.contact(self._context, address.medium, address.canonical)
            self._note(tx, audit.Event.SUPPRESSION_REMOVED, "", operator, contact=shown)

        await self._context.database.write(step)

    async def suppressions(self, *, after: str = "", count: int = MOST_LISTED) -> list[SuppressionView]:
        """The next `count` addresses after `after` that get no mails, in the order of the addresses."""
        found = await self._context.database.read_aside(lambda tx: suppressions.listed(tx, after=after, count=count))
        return [_suppression_view(one) for one in found]

    async def suppression_of(self, address: Address) -> SuppressionView | None:
        """Why the address gets no mails; None if it gets them."""
        found = await self._context.database.read(
            lambda tx: suppressions.get(tx, address.canonical) if address.medium == Email.medium else None
        )
        return None if found is None else _suppression_view(found)

    async def invites_of(
        self, address: Address, known: Invites, *, before: str | None = None, count: int = MOST_LISTED
    ) -> list[InviteView]:
        """The newest `count` invitations to an address, or those before the one with the ID `before`. Raises NotFound."""
        last = None if before is None else await known.get(before)
        found = await self._context.database.read_aside(
            lambda tx: invites.of_address(tx, address.medium, address.canonical, before=last, count=count)
        )
        return [_invite_view(one, known) for one in found]

    async def invites(self, known: Invites, *, after: str | None, count: int) -> list[InviteView]:
        """The next `count` invitations after the one with the ID `after`, oldest first. Raises NotFound."""
        last = None if after is None else await known.get(after)
        return [_invite_view(one, known) for one in await known.list_after(last, count)]

    async def cancel_invite(self, invite_id: str, known: Invites, operator: Operator) -> InviteView:
        """Cancel an invitation: see `Invites.cancel`. Raises NotFound and InvalidParam."""

        def note(tx: Tx, invite: Invite) -> None:
            shown = audit.contact(self._context, invite.medium, invite.canonical)
            self._note(tx, audit.Event.INVITE_CANCELLED, "", operator, invite_id=invite_id, contact=shown)

        return _invite_view(await known.cancel(invite_id, note), known)

    async def begin_pepper_rotation(self, peppers: Peppers, operator: Operator) -> bool:
        """Begin a rotation of the lookup pepper: see `Peppers.begin`."""
        return await peppers.begin(lambda tx: self._note(tx, audit.Event.PEPPER_ROTATION_BEGAN, "", operator))

    async def resync(self, provisioning: Provisioning, operator: Operator) -> int:
        """Tell the homeserver of everything again: see `Provisioning.tell_again`."""
        return await provisioning.tell_again(lambda tx: self._note(tx, audit.Event.HOMESERVER_RESYNCED, "", operator))

    async def accept_secret(self, operator: Operator) -> None:
        """Use the database with the secret of this server from now on: see `fingerprint.accept`."""
        await fingerprint.accept(
            self._context.database,
            self._context.vault,
            self._context.clock,
            lambda tx: self._note(tx, audit.Event.SECRET_ACCEPTED, "", operator),
        )

    def _of_jobs(self, event: audit.Event, operator: Operator, **details: str) -> Note:
        """Notes a change of jobs: which one, or how many."""

        def note(tx: Tx, count: int) -> None:
            changed: dict[str, str | int] = {**details} if details else {"count": count}
            self._note(tx, event, "", operator, **changed)

        return note

    def _note(self, tx: Tx, event: audit.Event, user_id: str, operator: Operator, **details: str | int) -> None:
        operator.note(tx, self._context, event, user_id, **details)


def _suppression_view(found: Suppression) -> SuppressionView:
    return SuppressionView(found.canonical, found.kind, found.status, found.message_id, found.first_at, found.latest_at)


def _invite_view(invite: Invite, known: Invites) -> InviteView:
    return InviteView(
        invite.id,
        invite.medium,
        invite.canonical,
        invite.sender,
        invite.room_id,
        invite.created_at,
        invite.expires_at,
        known.state(invite),
    )

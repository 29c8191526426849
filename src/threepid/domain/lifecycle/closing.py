"""Deactivation of accounts, in one transaction and in this order.

1. The account is marked, so that nobody can log in any more.
2. Its devices with their tokens, browser sessions and authentication sessions are deleted, and its validation sessions closed.
3. Notices to its contacts are queued.
4. Its tokens at our identity server are revoked, and the audit log notes the deactivation.
5. With `erase`, finished messages, profile, preferences, accepted terms and entries of the audit log are deleted.
6. A job is queued that tells a homeserver beside us.
7. Its addresses are unbound and its contacts deleted. Other identity servers are asked after the transaction.

https://spec.matrix.org/latest/client-server-api/#account-deactivation
"""

from threepid.domain import audit, policy
from threepid.domain.accounts.accounts import refuse_locked
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.profiles import Profiles
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.grants import AT_THE_SERVER, Grant
from threepid.domain.contacts.bindings import Bindings
from threepid.domain.contacts.threepids import Threepids
from threepid.domain.contacts.unbind_requests import Plan
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.lifecycle.owner import authenticate_owner
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, MissingToken
from threepid.storage import accounts, devices, outbox, preferences, terms, threepids, uia, validations, web_sessions
from threepid.storage.engine.database import Tx


class Closing:
    """Deactivates accounts."""

    def __init__(
        self,
        context: Context,
        notices: Notices,
        profiles: Profiles,
        threepids: Threepids,
        bindings: Bindings,
        associations: Associations | None,
        provisioning: Provisioning,
    ) -> None:
        """`associations` is our own identity server, if there is one: the account's tokens there are revoked too.

        `provisioning` tells a homeserver beside us of the deactivation.
        """
        self._context = context
        self._notices = notices
        self._profiles = profiles
        self._threepids = threepids
        self._bindings = bindings
        self._associations = associations
        self._provisioning = provisioning

    async def deactivate(self, authentication: Authentication, *, id_server: str | None, erase: bool) -> bool:
        """Deactivate the caller's account and remove its devices, sessions and contacts, in one transaction.

        True if all its addresses are known to be unbound. They are unbound where we bound them and at `id_server`. `erase` also
        removes the profile, preferences, accepted terms, finished messages to its contacts and the audit log's entries. Raises
        MissingToken without an access token, unless the configuration allows that, and Forbidden.
        """
        if authentication.user_id is None and not policy.closes_without_token(self._context.config):
            raise MissingToken
        user_id, grant = await authenticate_owner(self._context, authentication)
        return await self.close(user_id, grant, id_server=id_server, erase=erase)

    async def close(self, user_id: str, grant: Grant, *, id_server: str | None, erase: bool) -> bool:
        """Deactivate the account, and use `grant` up. Returns and raises as `deactivate` does."""
        return await self._close(user_id, grant, id_server=id_server, erase=erase)

    async def close_by_operator(self, user_id: str, grant: Grant = AT_THE_SERVER, *, erase: bool) -> bool:
        """Deactivate the account for an operator. Returns as `deactivate` does.

        Raises Forbidden if it is deactivated, or `grant` does not include it.
        """
        return await self._close(user_id, grant, id_server=None, erase=erase)

    async def _close(self, user_id: str, grant: Grant, *, id_server: str | None, erase: bool) -> bool:
        now = self._context.clock.now()

        def step(tx: Tx) -> Plan:
            # The account before the validation session, as in all transactions, so that they do not deadlock.
            accounts.lock(tx, user_id)
            grant.consume(tx)
            if grant.by.kind is not audit.CallerKind.OPERATOR:
                refuse_locked(tx, user_id)
            # Deactivate first: a concurrent login then commits before the devices are deleted, or sees a deactivated account.
            if not accounts.deactivate(tx, user_id, now):
                raise Forbidden(Text("This account has already been deactivated."))
            devices.delete_all(tx, user_id)
            web_sessions.delete_of_user(tx, user_id)
            uia.delete_of_user(tx, user_id)
            validations.close_of_owner(tx, user_id, now)
            validations.forget_remote(tx, user_id)
            self._notices.deactivated(tx, user_id)
            if self._associations is not None:
                self._associations.forget(tx, user_id)
            audit.note(tx, self._context, audit.Event.DEACTIVATED, user_id, grant.origin, by=grant.by)
            if erase:
                outbox.forget_messages(tx, user_id, _addresses(threepids.of_user(tx, user_id)))
                self._profiles.erase(tx, user_id)
                preferences.erase(tx, user_id)
                terms.erase(tx, user_id)
                audit.erase(tx, user_id)
            self._provisioning.deactivated(tx, user_id, erase=erase)
            return self._threepids.remove_all(tx, user_id, id_server)

        plan = await self._context.database.write_aside(step)
        self._provisioning.hurry()
        return await self._bindings.requests.carry_out(plan)


def _addresses(contacts: list[threepids.Threepid]) -> set[str]:
    """The addresses of contacts, in both spellings."""
    return {spelling for one in contacts for spelling in (one.canonical, one.address)}

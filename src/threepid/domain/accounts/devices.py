"""Devices of accounts and their access and refresh tokens: login, refresh and logout.

https://spec.matrix.org/latest/client-server-api/#login
https://spec.matrix.org/latest/client-server-api/#refreshing-access-tokens
"""

import json
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from threepid import config
from threepid.clock import DAY, MINUTE, SECOND, SKEW
from threepid.domain import audit
from threepid.domain.accounts.last_seen import USER_AGENT_LENGTH
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.limits import take_authentication
from threepid.domain.networks import known_network, network_of
from threepid.domain.origin import Origin, of_caller
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, UnknownToken, UserLocked
from threepid.spec.oauth.scopes import Scope, parse_scope
from threepid.storage import accounts, associations, device_tokens, devices, side_tokens, uia, web_sessions
from threepid.storage.device_tokens import Requester, SealedPair, Tokens
from threepid.storage.devices import Device as KnownDevice
from threepid.storage.engine.database import Tx

__all__ = [
    "ENDED_KEPT",
    "MOST_DEVICES",
    "MOST_TOKENS",
    "Device",
    "Devices",
    "KnownDevice",
    "Login",
    "Requester",
    "allowed_scope",
    "forget_sealed_pairs",
]

MOST_TOKENS: Final = 50
"""Maximum number each of login, OpenID and identity server access tokens of one user. One more revokes the oldest."""
ENDED_KEPT: Final = 30 * DAY
"""How long a client whose token was revoked gets `soft_logout` if its device still exists."""
REPEATABLE: Final = 30 * SECOND
"""How long a client that repeats a refresh gets the same answer."""
MOST_DEVICES: Final = 500
"""Maximum number of devices of an account. A login beyond it is rejected: removing an old device would lose its keys."""
FULL: Final = Text(
    "This account has reached its limit of %(count)s devices. Sign out a device first.", count=MOST_DEVICES
)
"""The answer to a login beyond `MOST_DEVICES`."""


class Device(Struct, frozen=True, kw_only=True):
    """What a client says of the device that logs in, and the client's address and user agent."""

    device_id: str | None = None
    display_name: str | None = None
    refreshes: bool = False
    """Does the client want a refresh token?"""
    client: str = ""
    """The client's IP address."""
    user_agent: str = ""
    access_life: int | None = None
    """Lifetime of its access tokens in milliseconds, if it is not that of the old login."""


class Login(Struct, frozen=True):
    """A device that was logged in, and its tokens: the database stores only their hashes."""

    user_id: str
    device_id: str
    access_token: str
    refresh_token: str | None = None
    expires_in_ms: int | None = None
    scope: str = ""
    """What an app of the OAuth 2.0 API may do; '' for the old login."""
    new_name: str | None = None
    """The name of a new device; None if the device was known."""


class Devices:
    """The devices of this server's accounts."""

    def __init__(
        self, context: Context, settings: config.Accounts, notices: Notices, provisioning: Provisioning
    ) -> None:
        """`settings` say how long tokens live; `provisioning` tells a homeserver beside us of devices."""
        self._context = context
        self._notices = notices
        self._provisioning = provisioning
        self._access_life = settings.access_token_minutes * MINUTE
        self._app_access_life = context.config.oauth.access_token_seconds * SECOND
        self._longest_access_life = max(self._access_life, self._app_access_life)
        self._refresh_life = settings.refresh_token_days * DAY

    # -- tokens

    async def whose_token(
        self, access_token: str, *, while_locked: bool = False, with_contacts: bool = False
    ) -> Requester | None:
        """The account and device of an access token, or None. Every check of an access token goes through here.

        With the account's contacts if they are wanted, because a second question would take as long as the first.

        Raises UnknownToken with `soft_logout` if the token has expired or was revoked but its device still exists, and
        UserLocked, unless `while_locked`, if the account is locked.
        https://spec.matrix.org/latest/client-server-api/#soft-logout
        """
        token_hash = self._context.vault.hash_token(access_token)
        found = await self._context.database.read(
            lambda tx: device_tokens.requester(tx, token_hash, with_contacts=with_contacts)
        )
        return await self.check(token_hash, found, while_locked=while_locked)

    async def check(
        self, token_hash: bytes, found: Requester | None, *, while_locked: bool = False
    ) -> Requester | None:
        """`found`, the requester of an access token, if the token is valid now, as `whose_token` says."""
        now = self._context.clock.now()
        if found is None:
            if await self._context.database.read(lambda tx: device_tokens.has_ended(tx, token_hash, now - ENDED_KEPT)):
                raise UnknownToken(Text("The access token was revoked."), soft_logout=True)
            return None
        if found.locked_at is not None and not while_locked:
            raise UserLocked
        if found.expires_at is not None:
            # A token that expires later than any new one was issued by a clock that was ahead: it counts as expired.
            # One without a refresh token is not ours, because ours then do not expire: it was imported.
            is_ahead = found.expires_at > now + self._longest_access_life + SKEW
            if found.expires_at <= now or (
                is_ahead and await self._context.database.read(lambda tx: device_tokens.is_refreshed(tx, token_hash))
            ):
                raise UnknownToken(Text("The access token has expired."), soft_logout=True)
            if found.first_use_spends is not None and not await self._context.database.write(
                lambda tx: device_tokens.use_access_token(tx, token_hash, now)
            ):
                if await self._context.database.read(lambda tx: self._has_device(tx, token_hash, now)):
                    raise UnknownToken(Text("The access token was revoked."), soft_logout=True)
                return None
        return found

    @staticmethod
    def _has_device(tx: Tx, token_hash: bytes, now: int) -> bool:
        """Does the device of an unusable access token still exist?"""
        return device_tokens.requester(tx, token_hash) is not None or device_tokens.has_ended(
            tx, token_hash, now - ENDED_KEPT
        )

    async def refresh(self, refresh_token: str, *, client: str, user_agent: str, client_id: str | None = None) -> Login:
        """Exchange a refresh token. A spent one revokes all tokens of its device. Raises UnknownToken, UserLocked, LimitExceeded.

        `client_id` is the app of the OAuth 2.0 API that must own the token; None for the old login.
        For `REPEATABLE` the same caller gets the same answer again, because two tabs of a browser may refresh at once.
        https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3refresh
        """
        token_hash = self._context.vault.hash_token(refresh_token)
        # The hash includes the token, so that the caller's network and user agent cannot be guessed from it.
        sealed_for = self._context.vault.hash_token(f"{refresh_token} {network_of(client)} {user_agent}")
        now = self._context.clock.now()

        def step(tx: Tx) -> Login | UnknownToken:
            # What the token is good for is read behind the lock: before, another transaction may have used it.
            # The clock may have been ahead, so the time of an answer to repeat is limited in both directions.
            device_tokens.hold_device_of_refresh_token(tx, token_hash)
            known = device_tokens.held_refresh_token(
                tx, token_hash, sealed_for, after=now - REPEATABLE, before=now + REPEATABLE
            )
            if known is None or known.client_id != client_id:
                ended = known is None and device_tokens.has_ended(tx, token_hash, now - ENDED_KEPT)
                return _refused(lives=ended)
            if known.locked_at is not None:
                raise UserLocked
            scope = "" if known.scope is None else str(allowed_scope(known.scope, known.admin_at))
            if known.sealed_pair is not None:
                take_authentication(tx, self._context, client=client, account=known.user_id)
                return self._unsealed(refresh_token, known.sealed_pair, known.user_id, known.device_id, now, scope)
            if known.expires_at <= now:
                return _refused(lives=True)
            if known.spent_at is not None:
                self._end_stolen(tx, known.user_id, known.device_id, of_caller(now, client, user_agent), now)
                return _refused(lives=True)
            if not known.is_settled and not device_tokens.use_refresh_token(tx, token_hash, known.parent_hash, now):
                return _refused(lives=True)
            take_authentication(tx, self._context, client=client, account=known.user_id)
            life = self._access_life if client_id is None else self._app_access_life
            login, tokens = self._new_tokens(known.user_id, known.device_id, refreshes=True, access_life=life)
            pair = SealedPair(self._sealed(refresh_token, login, now), sealed_for)
            place = known.user_id, known.device_id
            device_tokens.insert_tokens(
                tx, *place, tokens, parent_hash=token_hash, now=now, sealed=pair, answers=known.answers
            )
            agent = user_agent[:USER_AGENT_LENGTH]
            network = known_network(client)
            devices.seen(tx, *place, now=now, seen_from=client, network=network, user_agent=agent)
            return replace(login, scope=scope)

        # An exception would roll back the revocation of a stolen family, so the step returns the error.
        answer = await self._context.database.write(step)
        if isinstance(answer, UnknownToken):
            raise answer
        return answer

    def _end_stolen(self, tx: Tx, user_id: str, device_id: str, origin: Origin, now: int) -> None:
        """Revoke what a thief may have got with a refresh token. The device stays, so that its owner notices."""
        device_tokens.delete_tokens(tx, user_id, device_id, now)
        side_tokens.delete_of_device(tx, user_id, device_id)
        associations.delete_tokens_of_device(tx, user_id, device_id)
        associations.delete_tokens_without_device(tx, user_id)
        stranger = audit.CallerKind.STRANGER
        audit.note(tx, self._context, audit.Event.TOKEN_REUSED, user_id, origin, by=stranger, device_id=device_id)
        self._notices.suspicious(tx, user_id, origin)

    def _sealed(self, refresh_token: str, login: Login, now: int) -> bytes:
        pair = {
            "access_token": login.access_token,
            "refresh_token": login.refresh_token,
            "expires_at": now + (login.expires_in_ms or 0),
        }
        return self._context.vault.seal(refresh_token, pair)

    def _unsealed(self, refresh_token: str, sealed: bytes, user_id: str, device_id: str, now: int, scope: str) -> Login:
        pair = json.loads(self._context.vault.unseal(refresh_token, sealed))
        left = max(1, pair["expires_at"] - now)
        return Login(user_id, device_id, pair["access_token"], pair["refresh_token"], left, scope)

    async def log_out(self, requester: Requester, origin: Origin) -> None:
        """Log the requesting device out."""
        await self._context.database.write(lambda tx: self.end(tx, requester.user_id, requester.device_id, origin))
        self._provisioning.hurry()

    def end(self, tx: Tx, user_id: str, device_id: str, origin: Origin, *, by: audit.Caller = audit.OWNER) -> None:
        """Log a device out. Doing it again is no error."""
        if devices.delete(tx, user_id, device_id):
            associations.delete_tokens_without_device(tx, user_id)
            self._provisioning.devices_changed(tx, user_id)
            audit.note(tx, self._context, audit.Event.SIGNED_OUT, user_id, origin, by=by, device_id=device_id)

    async def log_out_everywhere(self, user_id: str, origin: Origin) -> None:
        """Log out all devices and browsers of the account, and delete its identity server tokens and authentication sessions."""

        def step(tx: Tx) -> None:
            # The account before its devices and browsers, as in all transactions, so that they do not deadlock.
            accounts.lock(tx, user_id)
            devices.delete_all(tx, user_id)
            web_sessions.delete_of_user(tx, user_id)
            associations.delete_tokens(tx, user_id)
            uia.delete_of_user(tx, user_id)
            self._provisioning.devices_changed(tx, user_id)
            audit.note(tx, self._context, audit.Event.SIGNED_OUT_EVERYWHERE, user_id, origin)

        await self._context.database.write_aside(step)
        self._provisioning.hurry()

    def open(self, tx: Tx, user_id: str, device: Device) -> Login:
        """Log a device in. The transaction must have locked the account.

        `Admission` must follow before the client gets the tokens.
        Raises Forbidden if the device is new and the account has reached its device limit.
        """
        is_new = device.device_id is None or devices.get(tx, user_id, device.device_id) is None
        if is_new:
            self._refuse_one_more(tx, user_id)
        now = self._context.clock.now()
        device_id = device.device_id or self._context.entropy.letters(10)
        life = device.access_life or self._access_life
        login, tokens = self._new_tokens(user_id, device_id, refreshes=device.refreshes, access_life=life)
        device_tokens.open_device(
            tx,
            user_id=user_id,
            device_id=device_id,
            display_name=device.display_name,
            seen_from=device.client,
            network=known_network(device.client),
            user_agent=device.user_agent[:USER_AGENT_LENGTH],
            tokens=tokens,
            now=now,
            new=device.device_id is None,
        )
        origin = of_caller(now, device.client, device.user_agent)
        audit.note(tx, self._context, audit.Event.SIGNED_IN, user_id, origin, device_id=device_id)
        return replace(login, new_name=device.display_name or "") if is_new else login

    @staticmethod
    def _refuse_one_more(tx: Tx, user_id: str) -> None:
        if devices.count(tx, user_id, most=MOST_DEVICES) >= MOST_DEVICES:
            raise Forbidden(FULL, cause="too many devices")

    def open_again(self, tx: Tx, user_id: str, device_id: str, device: Device) -> Login:
        """Issue further tokens for a device that the transaction has locked. Its earlier tokens stay valid."""
        now = self._context.clock.now()
        login, tokens = self._new_tokens(user_id, device_id, refreshes=device.refreshes, access_life=self._access_life)
        device_tokens.insert_tokens(tx, user_id, device_id, tokens, parent_hash=None, now=now)
        return login

    # -- device list

    async def of(self, user_id: str, *, own: str | None = None) -> list[devices.Device]:
        """The account's devices, oldest first: at most `devices.LISTED`, and always the device with the ID `own`."""

        def step(tx: Tx) -> list[devices.Device]:
            found = devices.of_user(tx, user_id)
            if own is None or len(found) < devices.LISTED or any(device.device_id == own for device in found):
                return found
            asking = devices.get(tx, user_id, own)
            return found if asking is None else [*found[:-1], asking]

        return await self._context.database.read(step)

    async def get(self, user_id: str, device_id: str) -> devices.Device | None:
        """One device of the account."""
        return await self._context.database.read(lambda tx: devices.get(tx, user_id, device_id))

    async def rename(
        self, user_id: str, device_id: str, display_name: str | None, *, grant: Grant | None = None
    ) -> bool:
        """Set a device's display name; False if the account has no such device. `grant` is used up, if there is one.

        Raises Forbidden if the permission is not valid any more.
        """

        def step(tx: Tx) -> bool:
            if grant is not None:
                grant.consume(tx)
            if not devices.rename(tx, user_id, device_id, display_name):
                return False
            self._provisioning.device_renamed(tx, user_id, device_id)
            return True

        is_known = await self._context.database.write(step)
        self._provisioning.hurry()
        return is_known

    async def delete(self, user_id: str, device_ids: Iterable[str], grant: Grant) -> None:
        """Log devices out. Unknown devices are no error."""

        def step(tx: Tx) -> None:
            grant.consume(tx)
            for device_id in device_ids:
                self.end(tx, user_id, device_id, grant.origin, by=grant.by)

        await self._context.database.write_aside(step)
        self._provisioning.hurry()

    def _new_tokens(self, user_id: str, device_id: str, *, refreshes: bool, access_life: int) -> tuple[Login, Tokens]:
        entropy, hash_token = self._context.entropy, self._context.vault.hash_token
        access_token = entropy.token("tp_")
        if not refreshes:
            return Login(user_id, device_id, access_token), Tokens(hash_token(access_token))
        refresh_token = entropy.token("tpr_")
        now = self._context.clock.now()
        tokens = Tokens(
            hash_token(access_token), now + access_life, hash_token(refresh_token), now + self._refresh_life
        )
        return Login(user_id, device_id, access_token, refresh_token, access_life), tokens


def allowed_scope(granted: str, admin_at: int | None) -> Scope:
    """What an app may do now of what it was granted: the administration only while its account is an administrator's."""
    scope = parse_scope(granted)
    return scope if admin_at is not None else scope.without_admin()


def _refused(*, lives: bool) -> UnknownToken:
    """The error for an unusable refresh token. `lives` says whether its device still exists."""
    return UnknownToken(Text("The refresh token is unknown, has expired or was used before."), soft_logout=lives)


async def forget_sealed_pairs(context: Context) -> None:
    """Delete the stored answers to refreshes that cannot be repeated any more. Writes only if there are any."""
    now = context.clock.now()
    before, after = now - REPEATABLE, now + REPEATABLE
    if await context.database.read(lambda tx: device_tokens.has_sealed_pairs(tx, before=before, after=after)):
        await context.database.write(lambda tx: device_tokens.forget_sealed_pairs(tx, before=before, after=after))

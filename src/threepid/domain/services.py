"""The homeserver and the identity server, each built only if the configuration has its section."""

import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from threepid import config
from threepid.domain.accounts.accounts import Accounts
from threepid.domain.accounts.admission import Admission
from threepid.domain.accounts.devices import Devices
from threepid.domain.accounts.languages import Languages
from threepid.domain.accounts.last_seen import LastSeen
from threepid.domain.accounts.login import Logins
from threepid.domain.accounts.login_tokens import LoginTokens
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.profiles import Profiles
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.accounts.waiting import Waiting
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.authentication.stages import Stages
from threepid.domain.authentication.uia import Uia
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.bounces.intake import Bounces
from threepid.domain.contacts.bindings import Bindings
from threepid.domain.contacts.portal import PortalContacts
from threepid.domain.contacts.threepids import Threepids
from threepid.domain.context import Context
from threepid.domain.health import Health
from threepid.domain.identity.associations import Associations
from threepid.domain.identity.callbacks import Callbacks
from threepid.domain.identity.invites import Invites
from threepid.domain.identity.lookup import Lookup
from threepid.domain.identity.opt_outs import OptOuts
from threepid.domain.identity.terms import Terms
from threepid.domain.lifecycle.administration import Administration
from threepid.domain.lifecycle.closing import Closing
from threepid.domain.lifecycle.confirming import Confirming
from threepid.domain.lifecycle.export import Export
from threepid.domain.lifecycle.recovery import Recovery
from threepid.domain.lifecycle.registration import Registration
from threepid.domain.lifecycle.sessions import Sessions
from threepid.domain.lifecycle.sign_ups import SignUps
from threepid.domain.oauth.clients import Clients
from threepid.domain.oauth.consent import Consents
from threepid.domain.oauth.device_grants import DeviceGrants
from threepid.domain.oauth.introspection import Introspection
from threepid.domain.oauth.sessions import AppSessions
from threepid.domain.oauth.tokens import AppTokens
from threepid.domain.operators.console import Console
from threepid.domain.operators.directory import Directory
from threepid.domain.operators.operations import Operations
from threepid.domain.operators.operator import Operator
from threepid.domain.operators.support import Support
from threepid.domain.operators.tokens import OperatorTokens
from threepid.domain.operators.trail import Trail
from threepid.domain.queue import Queue
from threepid.domain.secrets.keys import Keyring
from threepid.domain.secrets.password_peppers import PasswordPeppers
from threepid.domain.secrets.passwords import Hasher, Passwords
from threepid.domain.sums import Sums
from threepid.domain.suppressions import Suppressions
from threepid.domain.validation.sessions import Validation
from threepid.remote.captcha import Captcha
from threepid.remote.discovery import Discovery
from threepid.remote.federation import Federation
from threepid.remote.guard import Guard
from threepid.remote.homeserver.synapse import Synapse
from threepid.remote.identity import IdentityClient
from threepid.remote.names import Names
from threepid.remote.patience import PATIENCE, Patience
from threepid.spec.errors import Unrecognized
from threepid.spec.operator_scopes import Scope


class OAuth(Struct, frozen=True, kw_only=True):
    """The OAuth 2.0 API of the homeserver."""

    clients: Clients
    consents: Consents
    device_grants: DeviceGrants
    introspection: Introspection
    tokens: AppTokens


class Homeserver(Struct, frozen=True, kw_only=True):
    """The account side of a homeserver."""

    settings: config.Accounts
    accounts: Accounts
    administration: Administration
    bindings: Bindings
    closing: Closing
    confirming: Confirming
    devices: Devices
    directory: Directory
    export: Export
    languages: Languages
    last_seen: LastSeen
    login_tokens: LoginTokens
    logins: Logins
    notices: Notices
    oauth: OAuth | None
    passwords: Passwords
    portal_contacts: PortalContacts
    profiles: Profiles
    provisioning: Provisioning
    recovery: Recovery
    registration: Registration
    registration_tokens: RegistrationTokens
    sessions: Sessions
    sign_ups: SignUps
    support: Support
    threepids: Threepids
    uia: Uia
    waiting: Waiting
    web_sessions: WebSessions


class IdentityServer(Struct, frozen=True, kw_only=True):
    """The identity server."""

    settings: config.Identity
    associations: Associations
    callbacks: Callbacks
    invites: Invites
    lookup: Lookup
    opt_outs: OptOuts
    terms: Terms


class Services(Struct, frozen=True, kw_only=True):
    """The services that handlers, pages, jobs and commands use."""

    context: Context
    console: Console
    operations: Operations
    operator_tokens: OperatorTokens
    sums: Sums
    trail: Trail
    bounces: Bounces
    health: Health
    keyring: Keyring
    queue: Queue
    suppressions: Suppressions
    validation: Validation
    homeserver: Homeserver | None
    identity: IdentityServer | None

    def require_homeserver(self) -> Homeserver:
        """The homeserver. Raises Unrecognized if the configuration has no `[accounts]`."""
        if self.homeserver is None:
            raise Unrecognized
        return self.homeserver

    async def account_in_log(self, text: str, operator: Operator) -> str:
        """The user ID of the account whose entries of the audit log an operator wants; '' for those of all accounts.

        `text` names it as in `Directory.find`, which raises the errors. It must be a user ID where there are no accounts, and for
        an operator who may not read them.
        """
        if self.homeserver is None or not text or Scope.ACCOUNTS_READ not in operator.scopes:
            return text
        return await self.homeserver.directory.find(text)

    def require_oauth(self) -> OAuth:
        """The OAuth 2.0 API. Raises Unrecognized if the configuration has not turned it on."""
        if (found := self.require_homeserver().oauth) is None:
            raise Unrecognized
        return found

    def require_identity(self) -> IdentityServer:
        """The identity server. Raises Unrecognized if the configuration has no `[identity]`."""
        if self.identity is None:
            raise Unrecognized
        return self.identity


def build(
    context: Context,
    keyring: Keyring,
    *,
    wake_delivery: Callable[[], None],
    hasher: Hasher | None = None,
    introspection_secret: str = "",
    patience: Patience = PATIENCE,
) -> Services:
    """Build the configured servers. `wake_delivery` tells the delivery that the outbox has an urgent job.

    `introspection_secret` is what a homeserver that trusts our tokens must prove to know, if it is not that of `[homeserver]`.
    `patience` is for other servers.
    """
    synapse, secret = _synapse(context.config)
    names = Names(context.config.outbound.nameservers, seconds=patience.dns)
    guard = Guard(context.config.outbound, names, connect_seconds=patience.connect, total_seconds=patience.call)
    validation = Validation(context, wake_delivery)
    sums = Sums(context)
    identity = homeserver = None
    if context.config.identity is not None:
        discovery = Discovery(guard, names, context.clock, context.entropy, patience)
        beside = None if synapse is None else {context.server_name: synapse}
        federation = Federation(guard, discovery, beside, seconds=patience.federation)
        identity = _identity_server(context, context.config.identity, keyring, validation, federation, wake_delivery)
    if context.config.accounts is not None:
        associations, terms = (identity.associations, identity.terms) if identity else (None, None)
        homeserver = _homeserver(
            context,
            context.config.accounts,
            keyring,
            validation,
            guard,
            associations,
            terms,
            hasher or Hasher(),
            Provisioning(context, synapse, wake_delivery),
            introspection_secret or secret,
            sums,
            patience,
        )
    queue = Queue(context)
    operator_tokens = OperatorTokens(context, sums, homeserver.devices if homeserver else None)
    return Services(
        context=context,
        console=Console(context, operator_tokens),
        operations=Operations(context, queue),
        operator_tokens=operator_tokens,
        sums=sums,
        trail=Trail(context),
        bounces=Bounces(context),
        health=Health(context),
        keyring=keyring,
        queue=queue,
        suppressions=Suppressions(context),
        validation=validation,
        homeserver=homeserver,
        identity=identity,
    )


def _homeserver(
    context: Context,
    settings: config.Accounts,
    keyring: Keyring,
    validation: Validation,
    guard: Guard,
    associations: Associations | None,
    terms: Terms | None,
    hasher: Hasher,
    provisioning: Provisioning,
    introspection_secret: str,
    sums: Sums,
    patience: Patience,
) -> Homeserver:
    """The homeserver of `[accounts]`. `associations` and `terms` are our own identity server's, if there is one."""
    peppers = PasswordPeppers(Path(context.config.server.data_dir) / "keys")
    passwords = Passwords(context.clock, context.config.policy, hasher, peppers)
    notices = Notices(context, settings)
    devices = Devices(context, settings, notices, provisioning)
    admission = Admission(context, provisioning)
    registration_tokens = RegistrationTokens(context)
    accounts = Accounts(context, settings)
    web_sessions = WebSessions(context)
    login_tokens = LoginTokens(context, settings)
    logins = Logins(context, accounts, passwords, devices, login_tokens, web_sessions, notices, admission, sums)
    identity = IdentityClient(guard)
    signer = keyring.signer(context.server_name)
    bindings = Bindings(
        context, settings, signer, associations, terms, identity, notices, unbind_seconds=patience.unbind
    )
    threepids = Threepids(context, settings, validation, notices, bindings, identity, provisioning)
    profiles = Profiles(context)
    stages = Stages(
        context,
        settings,
        validation,
        logins.check_password_stage,
        registration_tokens,
        _captcha(guard, settings.captcha),
    )
    uia = Uia(context, stages)
    registration = Registration(
        context, settings, passwords, devices, web_sessions, registration_tokens, provisioning, admission
    )
    recovery = Recovery(context, passwords, notices, validation, web_sessions, associations, provisioning)
    sessions = Sessions(context, associations, provisioning)
    administration = Administration(context, passwords, associations, provisioning)
    closing = Closing(context, notices, profiles, threepids, bindings, associations, provisioning)
    export = Export(context, web_sessions)
    return Homeserver(
        settings=settings,
        accounts=accounts,
        administration=administration,
        bindings=bindings,
        closing=closing,
        confirming=Confirming(context, validation, web_sessions),
        devices=devices,
        directory=Directory(context, accounts, web_sessions),
        export=export,
        languages=Languages(context),
        last_seen=LastSeen(context),
        login_tokens=login_tokens,
        logins=logins,
        notices=notices,
        oauth=_oauth(context, devices, notices, admission, provisioning, introspection_secret)
        if context.config.oauth.enabled
        else None,
        passwords=passwords,
        portal_contacts=PortalContacts(context, validation, threepids, bindings, associations, terms),
        profiles=profiles,
        provisioning=provisioning,
        recovery=recovery,
        registration=registration,
        registration_tokens=registration_tokens,
        sessions=sessions,
        support=Support(
            context,
            threepids,
            recovery,
            devices,
            web_sessions,
            sessions,
            administration,
            closing,
            registration,
            export,
        ),
        threepids=threepids,
        sign_ups=SignUps(context, registration, uia),
        uia=uia,
        waiting=Waiting(context, devices),
        web_sessions=web_sessions,
    )


def _oauth(
    context: Context,
    devices: Devices,
    notices: Notices,
    admission: Admission,
    provisioning: Provisioning,
    introspection_secret: str,
) -> OAuth:
    """The OAuth 2.0 API of `[oauth]`."""
    sessions = AppSessions(context, devices, notices)
    return OAuth(
        clients=Clients(context),
        consents=Consents(context),
        device_grants=DeviceGrants(context, sessions, admission),
        introspection=Introspection(context, devices, introspection_secret),
        tokens=AppTokens(context, devices, sessions, notices, admission, provisioning),
    )


def _identity_server(
    context: Context,
    settings: config.Identity,
    keyring: Keyring,
    validation: Validation,
    federation: Federation,
    wake_delivery: Callable[[], None],
) -> IdentityServer:
    """The identity server of `[identity]`."""
    name = config.identity_name(context.config)
    lookup = Lookup(context, settings)
    callbacks = Callbacks(context, name, keyring, federation)
    opt_outs = OptOuts(context)
    return IdentityServer(
        settings=settings,
        associations=Associations(context, settings, name, keyring, validation, federation, callbacks),
        callbacks=callbacks,
        invites=Invites(context, settings, name, keyring, lookup, opt_outs, wake_delivery=wake_delivery),
        lookup=lookup,
        opt_outs=opt_outs,
        terms=Terms(context, settings),
    )


def _captcha(guard: Guard, settings: config.Captcha | None) -> Captcha | None:
    if settings is None:
        return None
    return Captcha(guard, settings, config.read_secret(Path(settings.secret_file)))


def _synapse(settings: config.Config) -> tuple[Synapse | None, str]:
    """The homeserver beside us, and the secret that it shares with us. Raises ConfigError."""
    homeserver = settings.homeserver
    if homeserver is None:
        return None, ""
    secret = config.read_secret(Path(homeserver.secret_file))
    if not re.fullmatch("[!-~]+", secret.reveal()):
        raise config.ConfigError(
            f"{homeserver.secret_file}: must hold one line of visible ASCII characters without spaces, as the homeserver reads it"
        )
    return Synapse(homeserver.url, secret, ca_file=settings.outbound.ca_file), secret.reveal()

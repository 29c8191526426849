"""The settings: one frozen Struct for each table of the file."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file. Unknown keys are errors."""


class Tls(Section, frozen=True):
    """`[server.tls]`: the certificate (chain) and its key, both PEM files."""

    certificate_file: str
    """The certificate with its chain."""
    key_file: str
    """Its private key, which only the server's user can read."""


class Server(Section, frozen=True):
    """`[server]`: who we are and where we listen."""

    name: str = "localhost"
    """The Matrix server name: what stands after the colon in `@alice:example.org`."""
    public_base_url: str = "http://localhost:8008"
    """Where clients and people reach this server; every link we write starts with it."""
    listen: str = "127.0.0.1:8008"
    """`host:port`, `[v6]:port` or `unix:/path`."""
    metrics_listen: str = ""
    """`host:port` of the Prometheus metrics; empty = off."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Number of server processes."""
    tls: Tls | None = None
    """Absent: plain HTTP, behind a reverse proxy."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Networks whose `X-Forwarded-For` is believed."""
    query_token: tuple[Literal["r0", "v3", "unstable", "v1"], ...] = ("r0", "unstable")
    """Path families that take `?access_token=`."""
    data_dir: str = "data"
    """Where keys and the SQLite database live."""


class Database(Section, frozen=True):
    """`[database]`: where everything is kept."""

    url: str = ""
    """`sqlite:path` or `postgresql://user@host/name`; default: `sqlite:<data_dir>/threepid.db`."""
    password_file: str = ""
    """A file that holds the PostgreSQL password."""
    pool_size: Annotated[int, Meta(ge=1, le=200)] = 8
    """PostgreSQL connections of each server process."""


class Accounts(Section, frozen=True):
    """`[accounts]`: the homeserver's side. Absent = off."""

    registration: Literal["open", "closed"] = "closed"
    """Who may register: anybody, or nobody (accounts are made with `threepid account create`)."""
    required_contacts: tuple[Literal["email", "msisdn"], ...] = ()
    """Media of which a new account must prove an address."""
    login_with: tuple[Literal["user", "email", "msisdn"], ...] = ("user", "email", "msisdn")
    """What identifies an account at login."""
    trusted_identity_servers: tuple[str, ...] = ()
    """Identity servers whose word is taken by `POST /account/3pid`: names or patterns such as `*.example.org`."""
    identity_servers_allowed: tuple[str, ...] = ("*",)
    """Identity servers that contacts may be published at: names or patterns."""
    hide_existence: bool = True
    """Never tell a stranger whether an address is known; tell its mailbox instead."""


class IdentityV1(Section, frozen=True):
    """`[identity] v1`: the four parts of the old Identity API."""

    public_keys: bool = True
    """`pubkey/*`: old invitations point there."""
    validate: bool = False
    """`validate/*` and `3pid/getValidated3pid` without a token."""
    lookup: bool = False
    """`lookup` and `bulk_lookup` in the clear."""
    bind: bool = False
    """`3pid/bind` without a token, for any user ID."""
    validate_from: tuple[str, ...] = ()
    """Networks of the homeservers that may call `validate`; empty = any."""


class Identity(Section, frozen=True):
    """`[identity]`: the identity server. Absent = off."""

    name: str = ""
    """What clients give as `id_server`; default: host (and port) of `public_base_url`."""
    lookup_algorithms: tuple[Literal["sha256", "none"], ...] = ("sha256",)
    """Algorithms of `POST /lookup`."""
    lookup_limit: Annotated[int, Meta(ge=1, le=100_000)] = 5_000
    """Addresses that one lookup may ask for."""
    get_submits: bool = True
    """Serve the specification's `GET submitToken`, which validates at once. We never mail such a link."""
    homeservers_allowed: tuple[str, ...] = ()
    """Homeservers whose users may register here; empty = any."""
    v1: IdentityV1 = field(default_factory=IdentityV1)
    """The switches of the old API."""


class SmtpTransport(Section, frozen=True, tag_field="transport", tag="smtp"):
    """A mail relay."""

    host: str
    """The relay's host name; its certificate must be for it."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    """The relay's port."""
    tls: Literal["starttls", "tls", "plain"] = "starttls"
    """How the connection is protected; `plain` is for relays on this machine."""
    username: str = ""
    """Who logs in; empty = nobody."""
    password_file: str = ""
    """A file that holds the password."""
    ca_file: str = ""
    """Further certificate authorities for this relay."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 30.0
    """Seconds for one whole delivery."""


class FileTransport(Section, frozen=True, tag_field="transport", tag="file"):
    """Writes each mail as one `.eml` file: for tests and dry runs."""

    directory: str
    """The folder; it is made if there is none."""


class MailboxTransport(Section, frozen=True, tag_field="transport", tag="mailbox"):
    """Keeps mails in memory-backed tables and shows them under `/mailbox/`: development only."""


EmailTransport = SmtpTransport | FileTransport | MailboxTransport


class Email(Section, frozen=True):
    """`[email]`: how mails leave. Absent = no e-mail."""

    sender: str = field(name="from")
    """The From header: `Name <address>`."""
    via: tuple[EmailTransport, ...]
    """Relays in the order in which they are tried."""


class Outbound(Section, frozen=True):
    """`[outbound]`: what calls to other servers may reach."""

    allow: tuple[str, ...] = ()
    """Networks outside the global internet that may be called."""
    ca_file: str = ""
    """Further certificate authorities."""
    insecure_hosts: tuple[str, ...] = ()
    """`host:port` patterns whose certificates are not checked; loopback only."""


class Limit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`burst` at once, then `per_hour`."""

    burst: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_hour: Annotated[float, Meta(gt=0, le=1_000_000)]


class Limits(Section, frozen=True):
    """`[limits]`: how much is too much, over all processes; each as `{ burst = 3, per_hour = 1 }`."""

    all: Literal["on", "off"] = "on"
    """`off` is for tests and refused where others can reach the server."""
    message_to_address: Limit = Limit(burst=3, per_hour=1)
    """Messages to one address, over all purposes and spellings."""
    message_from_client: Limit = Limit(burst=10, per_hour=20)
    """Messages that one caller causes: an IPv4 address or an IPv6 network of 64 bits."""
    message_total: Limit = Limit(burst=1000, per_hour=5000)
    """Messages of the whole server."""


class Policy(Section, frozen=True):
    """`[policy]`: what is allowed to be a contact or a password."""

    password_min_length: Annotated[int, Meta(ge=1, le=512)] = 8
    """Characters that a new password has at least."""
    contacts_per_account: Annotated[int, Meta(ge=1, le=10_000)] = 20
    """Contacts that an account has at most."""
    changes_allowed: bool = True
    """May people change their contacts?"""
    email_domains_allowed: tuple[str, ...] = ()
    """Domains of which e-mail addresses may be contacts, also as `*.example.org`; empty = all."""
    email_domains_denied: tuple[str, ...] = ()
    """Domains of which e-mail addresses may not be contacts, also as `*.example.org`."""


class Web(Section, frozen=True):
    """`[web]`: pages for people."""

    link_confirms: Literal["button", "get"] = "button"
    """`get`: opening the mailed link confirms at once; mail scanners then confirm too."""
    brand_name: str = ""
    """The name people see; default: the server name."""
    next_link_hosts: tuple[str, ...] = ()
    """Hosts that `next_link` may lead to; empty = none, the target is shown as text."""
    next_link_schemes: tuple[str, ...] = ()
    """Further URL schemes (of apps) that `next_link` may have."""
    template_dir: str = ""
    """A folder of overriding message templates."""


class Config(Section, frozen=True):
    """The whole file."""

    server: Server = field(default_factory=Server)
    database: Database = field(default_factory=Database)
    accounts: Accounts | None = None
    identity: Identity | None = None
    email: Email | None = None
    outbound: Outbound = field(default_factory=Outbound)
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    web: Web = field(default_factory=Web)

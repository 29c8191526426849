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
    query_token: tuple[Literal["r0", "v3", "unstable", "v1", "identity_v2"], ...] = ("r0", "unstable")
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


class TermsText(Section, frozen=True):
    """A document in one language."""

    name: str
    """What people see."""
    url: str
    """Where it can be read."""


class TermsDocument(Struct, frozen=True, kw_only=True):
    """A document that people accept, in one or more languages."""

    id: Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,64}\Z")]
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    languages: dict[Annotated[str, Meta(pattern=r"\A[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*\Z")], TermsText]


class Captcha(Section, frozen=True):
    """`[accounts.captcha]`: any captcha with a `siteverify` interface (reCAPTCHA, hCaptcha, Turnstile)."""

    site_key: str
    """The public key that the widget in the browser gets."""
    secret_file: str
    """A file that holds the secret key."""
    verify_url: str = "https://www.google.com/recaptcha/api/siteverify"
    """Where answers are checked."""
    script_url: str = "https://www.google.com/recaptcha/api.js"
    """The script of the widget."""
    widget_class: str = "g-recaptcha"
    """The class of the element that the script turns into the widget."""
    frame_hosts: tuple[str, ...] = ("https://www.google.com", "https://www.gstatic.com")
    """Origins that the widget loads frames and further scripts from."""


class Accounts(Section, frozen=True):
    """`[accounts]`: the homeserver's side. Absent = off."""

    registration: Literal["open", "token", "closed"] = "closed"
    """Who may register: anybody, whoever has a token of `threepid registration-token create`, or nobody."""
    required_contacts: tuple[Literal["email", "msisdn"], ...] = ()
    """Media of which a new account must prove an address."""
    reserved_usernames: tuple[str, ...] = ()
    """Usernames that nobody may register, also as patterns such as `_irc_*`."""
    terms: tuple[TermsDocument, ...] = ()
    """Documents that a new account must accept: `{ id = "privacy", version = "1.0", languages = { en = { name, url } } }`."""
    captcha: Captcha | None = None
    """Absent: no captcha at registration."""
    access_token_minutes: Annotated[int, Meta(ge=1, le=525_600)] = 60
    """How long an access token lives that can be refreshed; others do not expire."""
    refresh_token_days: Annotated[int, Meta(ge=1, le=3_650)] = 90
    """How long a refresh token lives; each refresh begins anew."""
    login_token_seconds: Annotated[int, Meta(ge=10, le=3_600)] = 120
    """How long a token of `login/get_token` lives; it is good for one login."""
    notices: tuple[Literal["contact_added", "contact_removed", "password_changed", "deactivated"], ...] = (
        "contact_added",
        "contact_removed",
        "password_changed",
        "deactivated",
    )
    """What the other contacts of an account are told of."""
    login_with: tuple[Literal["user", "email", "msisdn"], ...] = ("user", "email", "msisdn")
    """What identifies an account at login."""
    recover_with: tuple[Literal["email", "msisdn"], ...] = ("email", "msisdn")
    """Contacts that can set a new password or end the account without the old password; a phone number is the weaker one."""
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
    """`3pid/bind`, `store-invite` and `sign-ed25519` without a token, for any user ID; `3pid/unbind`."""
    validate_from: tuple[str, ...] = ()
    """Networks of the homeservers that may call `validate`, each for any number of people; empty = any."""


class Identity(Section, frozen=True):
    """`[identity]`: the identity server. Absent = off."""

    name: str = ""
    """What clients give as `id_server`; default: host (and port) of `public_base_url`."""
    lookup_algorithms: tuple[Literal["sha256", "none"], ...] = ("sha256",)
    """Algorithms of `POST /lookup`."""
    lookup_limit: Annotated[int, Meta(ge=1, le=100_000)] = 5_000
    """Addresses that one lookup may ask for."""
    lookup_budget_per_day: Annotated[int, Meta(ge=0, le=200_000)] = 20_000
    """Distinct addresses that one user may look up on a day (UTC); 0 = any number."""
    lookup_budget_of_network_per_day: Annotated[int, Meta(ge=0, le=100_000_000)] = 60_000
    """The same for all users of one IPv4 address or IPv6 network of 64 bits together, each address counted for each user."""
    pepper_days: Annotated[int, Meta(ge=0, le=3_650)] = 30
    """Days after which the pepper of lookups is replaced; 0 = only by `threepid pepper rotate`."""
    pepper_overlap_hours: Annotated[int, Meta(ge=1, le=8_760)] = 24
    """How long lookups with the pepper before are still answered."""
    get_submits: bool = True
    """Serve the specification's `GET submitToken`, which validates at once. We never mail such a link."""
    homeservers_allowed: tuple[str, ...] = ()
    """Homeservers whose users may register here; empty = any."""
    token_days: Annotated[int, Meta(ge=0, le=3_650)] = 365
    """Days after which an access token of the identity server ends, and clients get a new one; 0 = never."""
    terms: tuple[TermsDocument, ...] = ()
    """Documents that users must accept, like those of `accounts.terms`; a new version must be accepted anew."""
    invite_days: Annotated[int, Meta(ge=1, le=3_650)] = 90
    """How long an invitation waits for somebody to publish its address."""
    invite_url: str = ""
    """The web client that invitations by mail lead to, e.g. `https://app.example.org`; empty = they say what to do instead."""
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
    """Seconds until the relay has the whole mail."""
    answer_timeout: Annotated[float, Meta(gt=0, le=3600)] = 600.0
    """Seconds that the relay then has to accept the mail; a mail that was given up too soon arrives twice (RFC 5321)."""


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


class ConsoleTransport(Section, frozen=True, tag_field="transport", tag="console"):
    """Writes each message to standard error: development only."""


class HttpTransport(Section, frozen=True, tag_field="transport", tag="http"):
    """An SMS gateway over HTTPS: `{to}`, `{text}` and `{secret}` are filled in, escaped for where they stand."""

    url: str
    """Where the request goes."""
    method: Literal["GET", "POST", "PUT"] = "POST"
    """The method of the request."""
    headers: dict[str, str] = {}
    """Headers of the request."""
    body: str = ""
    """The body of the request, e.g. `{"to": "{to}", "text": "{text}"}`."""
    secret_file: str = ""
    """A file that holds what stands for `{secret}`."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 15.0
    """Seconds for one whole delivery."""
    countries: tuple[str, ...] = ()
    """ISO codes of the countries that go this way; empty = all."""


SmsTransport = ConsoleTransport | HttpTransport


class Sms(Section, frozen=True):
    """`[sms]`: how texts leave. Absent = no phone numbers."""

    via: tuple[SmsTransport, ...]
    """Gateways in the order in which they are tried."""
    countries: tuple[Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z")], ...] = ()
    """ISO codes of the countries whose numbers may be texted; empty = none."""


class Outbound(Section, frozen=True):
    """`[outbound]`: what calls to other servers may reach."""

    allow: tuple[str, ...] = ()
    """Networks outside the global internet that may be called."""
    ca_file: str = ""
    """Further certificate authorities."""
    insecure_hosts: tuple[str, ...] = ()
    """`host:port` patterns whose certificates are not checked; loopback only."""
    nameservers: tuple[str, ...] = ()
    """DNS servers that are asked where others are, as `address` or `address:port`; empty = those of the system."""


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
    notice_to_address: Limit = Limit(burst=10, per_hour=2)
    """Notices to one contact of what happened to its account; more are left out."""
    sms_to_prefix: Limit = Limit(burst=30, per_hour=5)
    """Texts to numbers that begin with the same seven digits."""
    sms_to_country: Limit = Limit(burst=500, per_hour=50)
    """Texts to the numbers of one country."""
    sms_total: Limit = Limit(burst=1000, per_hour=100)
    """Texts of the whole server."""
    guesses_from_client: Limit = Limit(burst=30, per_hour=120)
    """Wrong passwords and tokens of one caller."""
    guesses_at_account_from_client: Limit = Limit(burst=10, per_hour=60)
    """Wrong passwords for one account by one caller."""
    guesses_at_account: Limit = Limit(burst=100, per_hour=200)
    """Wrong passwords for one account by callers that it has never logged in from."""
    invites_from_sender: Limit = Limit(burst=20, per_hour=10)
    """Invitations to addresses that one user sends."""
    invites_to_address: Limit = Limit(burst=3, per_hour=0.5)
    """Invitations to one address, over all senders."""
    invites_from_homeserver: Limit = Limit(burst=200, per_hour=100)
    """Invitations to addresses that all users of one homeserver send."""
    invite_signatures_from_caller: Limit = Limit(burst=20, per_hour=60)
    """Invitations that one user, or one caller of the old API, wants to have signed."""
    registration_from_client: Limit = Limit(burst=10, per_hour=20)
    """Accounts that one caller opens."""
    authentication_from_client: Limit = Limit(burst=300, per_hour=3000)
    """User-Interactive Authentication sessions that one caller begins."""
    outbound_from_account: Limit = Limit(burst=30, per_hour=60)
    """Times that one account has another identity server asked or told something."""
    outbound_from_client: Limit = Limit(burst=50, per_hour=200)
    """Times that one caller has homeservers asked whose token something is, or for their keys."""
    outbound_to_server: Limit = Limit(burst=500, per_hour=5000)
    """Times that all callers together have one homeserver asked so."""


class Policy(Section, frozen=True):
    """`[policy]`: what is allowed to be a contact or a password."""

    password_min_length: Annotated[int, Meta(ge=1, le=512)] = 8
    """Characters that a new password has at least."""
    password_min_classes: Annotated[int, Meta(ge=1, le=4)] = 1
    """Of lower-case letters, capitals, digits and others, how many a new password has at least."""
    passwords_denied_file: str = ""
    """A file of passwords that nobody may choose, one a line, compared without regard to case."""
    reset_contact_max_age_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """A contact that was confirmed longer ago cannot recover the account; 0 = any can."""
    email_domains_denied_file: str = ""
    """A file of further domains (and of those below them) of which addresses may not be contacts, one a line."""
    register_email_domains_allowed: tuple[str, ...] = ()
    """Like `email_domains_allowed`, for new accounts only; empty = no further rule."""
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
    """A folder of overriding message templates, which are read at the start."""


class Config(Section, frozen=True):
    """The whole file."""

    server: Server = field(default_factory=Server)
    database: Database = field(default_factory=Database)
    accounts: Accounts | None = None
    identity: Identity | None = None
    email: Email | None = None
    sms: Sms | None = None
    outbound: Outbound = field(default_factory=Outbound)
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    web: Web = field(default_factory=Web)

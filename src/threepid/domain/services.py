"""All services together, as the composition root makes them and handlers use them."""

from msgspec import Struct

from threepid.domain.accounts.accounts import Accounts
from threepid.domain.accounts.devices import Devices
from threepid.domain.accounts.profiles import Profiles
from threepid.domain.accounts.waiting import Waiting
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.authentication.uia import Uia
from threepid.domain.contacts.bindings import Bindings
from threepid.domain.contacts.threepids import Threepids
from threepid.domain.context import Context
from threepid.domain.health import Health
from threepid.domain.identity.associations import Associations
from threepid.domain.identity.invites import Invites
from threepid.domain.identity.lookup import Lookup
from threepid.domain.identity.terms import Terms
from threepid.domain.secrets.keys import Keyring
from threepid.domain.validation.sessions import Validation


class Services(Struct, frozen=True):
    """What handlers may ask for; `associations` and `invites` are the identity server's side, the others the homeserver's."""

    context: Context
    validation: Validation
    accounts: Accounts
    devices: Devices
    threepids: Threepids
    terms: Terms
    bindings: Bindings
    keyring: Keyring
    uia: Uia
    registration_tokens: RegistrationTokens
    profiles: Profiles
    waiting: Waiting
    health: Health
    associations: Associations | None
    lookup: Lookup | None
    invites: Invites | None

"""All services together, as the composition root makes them and handlers use them."""

from msgspec import Struct

from threepid.domain.accounts import Accounts
from threepid.domain.associations import Associations
from threepid.domain.bindings import Bindings
from threepid.domain.context import Context
from threepid.domain.devices import Devices
from threepid.domain.health import Health
from threepid.domain.invites import Invites
from threepid.domain.keys import Keyring
from threepid.domain.lookup import Lookup
from threepid.domain.profiles import Profiles
from threepid.domain.registration_tokens import RegistrationTokens
from threepid.domain.terms import Terms
from threepid.domain.threepids import Threepids
from threepid.domain.uia import Uia
from threepid.domain.validation import Validation
from threepid.domain.waiting import Waiting


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

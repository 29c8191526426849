"""Which flows of User-Interactive Authentication a request offers, by the configuration.

https://spec.matrix.org/latest/client-server-api/#user-interactive-api-in-the-rest-api
"""

from threepid.config import Config
from threepid.domain.authentication.stages import MEDIA
from threepid.spec.uia import DUMMY, EMAIL_IDENTITY, MSISDN, PASSWORD, RECAPTCHA, REGISTRATION_TOKEN, TERMS, Flow


def of_registration(config: Config) -> tuple[Flow, ...]:
    """What a new account takes: what every flow asks for first, then the contacts that are required, or one that is wished.

    No flow is the beginning of another, or the longer one could never be completed: the one without contacts ends in
    `m.login.dummy`, and of two media that are optional the second is added later.
    """
    settings = config.accounts
    if settings is None:
        return ()
    first: list[str] = []
    if settings.captcha is not None:
        first.append(RECAPTCHA)
    if settings.registration == "token":
        first.append(REGISTRATION_TOKEN)
    if settings.terms:
        first.append(TERMS)
    if settings.required_contacts:
        contacts = [stage for stage, medium in MEDIA.items() if medium in settings.required_contacts]
        return ((*first, *contacts),)
    return tuple((*first, stage) for stage in (DUMMY, *_offered(config)))


def of_owner(config: Config, *, has_token: bool) -> tuple[Flow, ...]:
    """What shows that an account is the caller's own: its password where there is a token, or a contact that may recover it."""
    recover_with = config.accounts.recover_with if config.accounts else ()
    by_contact = [stage for stage in _offered(config) if MEDIA[stage] in recover_with]
    return tuple((stage,) for stage in (*((PASSWORD,) if has_token else ()), *by_contact))


def _offered(config: Config) -> tuple[str, ...]:
    """The stages that prove an address of a medium that is on."""
    phones = config.sms is not None and bool(config.sms.countries)
    return (*((EMAIL_IDENTITY,) if config.email is not None else ()), *((MSISDN,) if phones else ()))

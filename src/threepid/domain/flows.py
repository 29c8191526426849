"""Which flows of User-Interactive Authentication a request offers, by the configuration.

https://spec.matrix.org/latest/client-server-api/#user-interactive-api-in-the-rest-api
"""

from threepid.config import Config
from threepid.spec.uia import DUMMY, EMAIL_IDENTITY, MSISDN, PASSWORD, RECAPTCHA, REGISTRATION_TOKEN, TERMS, Flow


def of_registration(config: Config) -> tuple[Flow, ...]:
    """What a new account takes: what every flow asks for first, then contacts, where they are optional one flow for each choice.

    A flow without contacts ends in `m.login.dummy`: else whoever completed the others' common stages would be done before
    the first contact.
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
    email = (EMAIL_IDENTITY,) if config.email is not None else ()
    phone = (MSISDN,) if _has_phones(config) else ()
    choices: list[Flow] = []
    if not settings.required_contacts:
        choices = [(DUMMY,), email, phone, (*email, *phone) if email and phone else ()]
    elif settings.required_contacts == ("email",):
        choices = [(EMAIL_IDENTITY,), (EMAIL_IDENTITY, *phone) if phone else ()]
    elif settings.required_contacts == ("msisdn",):
        choices = [(MSISDN,), (*email, MSISDN) if email else ()]
    else:
        choices = [(EMAIL_IDENTITY, MSISDN)]
    return tuple((*first, *choice) for choice in choices if choice)


def of_owner(config: Config, *, has_token: bool) -> tuple[Flow, ...]:
    """What shows that an account is the caller's own: its password where there is a token, or one of its contacts."""
    flows: list[Flow] = [(PASSWORD,)] if has_token else []
    if config.email is not None:
        flows.append((EMAIL_IDENTITY,))
    if _has_phones(config):
        flows.append((MSISDN,))
    return tuple(flows)


def _has_phones(config: Config) -> bool:
    return config.sms is not None and bool(config.sms.countries)

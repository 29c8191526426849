"""The flows of User-Interactive Authentication that the configuration offers for a request.

https://spec.matrix.org/latest/client-server-api/#user-interactive-api-in-the-rest-api
"""

from threepid.config import Config
from threepid.domain.authentication.stages import MEDIA
from threepid.spec.uia import DUMMY, EMAIL_IDENTITY, MSISDN, PASSWORD, RECAPTCHA, REGISTRATION_TOKEN, TERMS, Flow


def of_registration(config: Config) -> tuple[Flow, ...]:
    """The flows of a registration: the common stages, then all required contacts or, if none is required, at most one.

    No flow may be a prefix of another, or the longer one could never be completed. So the flow without contacts ends in
    `m.login.dummy`, and a second optional contact can only be added after the registration.
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
    """The flows that prove an account's owner: by password, if the caller has an access token, or by a recovery contact."""
    recover_with = config.accounts.recover_with if config.accounts else ()
    by_contact = [stage for stage in _offered(config) if MEDIA[stage] in recover_with]
    return tuple((stage,) for stage in (*((PASSWORD,) if has_token else ()), *by_contact))


def recovery_media(config: Config) -> tuple[str, ...]:
    """The media whose contacts can recover an account of somebody who is not signed in."""
    return tuple(MEDIA[stage] for (stage,) in of_owner(config, has_token=False))


def _offered(config: Config) -> tuple[str, ...]:
    """The stages that prove an address of an enabled medium."""
    phones = config.sms is not None and bool(config.sms.countries)
    return (*((EMAIL_IDENTITY,) if config.email is not None else ()), *((MSISDN,) if phones else ()))

"""Names below which anybody can have a name: a pattern for all of them would name strangers.

This is no public suffix list, which would have to be kept up to date. It knows all top-level domains, the second levels that
registries of countries use, and the largest providers who give names away.
"""

from typing import Final

_PRIVATE: Final = frozenset({
    "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "private", "test",
})  # fmt: skip
"""Top-level domains that no registry sells: reserved ones, and those that networks use among themselves."""
SECOND_LEVELS: Final = frozenset({
    "ac", "co", "com", "ed", "edu", "go", "gob", "gouv", "gov", "govt", "gv", "ltd", "me", "mil", "muni", "ne", "net", "nhs",
    "nic", "nom", "or", "org", "plc", "sch",
})  # fmt: skip
"""Second labels below which the registries of countries give names away."""
_COUNTRY: Final = 2
"""Letters of the top-level domain of a country."""
_PROVIDERS: Final = frozenset({
    "amazonaws.com", "appspot.com", "azurewebsites.net", "blogspot.com", "cloudapp.net", "cloudfront.net", "ddns.net", "dedyn.io",
    "duckdns.org", "dyndns.org", "eu.org", "firebaseapp.com", "fly.dev", "github.io", "gitlab.io", "herokuapp.com", "hopto.org",
    "myfritz.net", "netlify.app", "ngrok-free.app", "ngrok.app", "ngrok.io", "no-ip.org", "nsupdate.info", "onrender.com",
    "pages.dev", "railway.app", "selfhost.de",
    "spdns.de", "surge.sh", "vercel.app", "web.app", "wordpress.com", "workers.dev", "zapto.org",
    "adm.br", "asn.au", "asso.fr", "csiro.au", "firm.in", "gen.in", "gub.uy", "id.au", "idv.tw", "ind.br", "ind.in", "info.pl",
    "k12.il", "lg.jp", "med.br", "pp.ua", "pro.br", "res.in", "tm.fr", "web.id",
    "br.com", "cn.com", "co.com", "de.com", "eu.com", "gb.net", "jpn.com", "ru.com", "sa.com", "uk.com", "uk.net", "us.com",
    "us.org", "za.com",
})  # fmt: skip


def is_public_suffix(domain: str) -> bool:
    """Can anybody have a name below `domain`, as below `com`, `co.uk` or `github.io`?"""
    first, *more = domain.lower().split(".")
    if not more:
        return first not in _PRIVATE
    of_registry = len(more) == 1 and len(more[0]) == _COUNTRY and first in SECOND_LEVELS
    return of_registry or domain.lower() in _PROVIDERS

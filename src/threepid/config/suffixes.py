"""Public suffixes: domains below which anybody can get a name, so that a pattern for all of these names includes strangers.

This does not replace the public suffix list, which would need updates. It knows all top-level domains, the second levels of
country registries, and the largest providers of names.
"""

from typing import Final

_PRIVATE: Final = frozenset({
    "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "private", "test",
})  # fmt: skip
"""Top-level domains that no registry sells: reserved ones, and those of private networks."""
SECOND_LEVELS: Final = frozenset({
    "ac", "co", "com", "ed", "edu", "go", "gob", "gouv", "gov", "govt", "gv", "ltd", "me", "mil", "muni", "ne", "net", "nhs",
    "nic", "nom", "or", "org", "plc", "sch",
})  # fmt: skip
"""Second-level labels below which country registries sell names."""
_COUNTRY: Final = 2
"""Length of a country's top-level domain."""
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
    """Can anybody get a name below `domain`, as below `com`, `co.uk` or `github.io`?"""
    first, *more = domain.lower().split(".")
    if not more:
        return first not in _PRIVATE
    of_registry = len(more) == 1 and len(more[0]) == _COUNTRY and first in SECOND_LEVELS
    return of_registry or domain.lower() in _PROVIDERS

"""`[oauth]`: the OAuth 2.0 API of `[accounts]`."""

from typing import Annotated

from msgspec import Meta

from threepid.config.section import Section


class OAuth(Section, frozen=True):
    """`[oauth]`: the OAuth 2.0 API, by which today's apps sign in on the pages of this server; it needs `[accounts]`."""

    enabled: bool = True
    """Whether apps may sign in by the OAuth 2.0 API or single sign-on; older apps use password login in any case."""
    access_token_seconds: Annotated[int, Meta(ge=60, le=86_400)] = 300
    """Lifetime of an app's access token, in seconds; refresh tokens live as long as `accounts.refresh_token_days` says."""

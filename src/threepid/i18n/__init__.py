"""Translatable sentences: English message IDs, their values, and translation catalogues."""

from threepid.i18n.text import Duration, Text, Verbatim, counted

__all__ = ["Duration", "Text", "Verbatim", "counted"]

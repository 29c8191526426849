"""Marks of direction in plain text that is written from right to left.

A user ID or an international number begins with a sign that has no direction. Between words of Arabic, Persian or Hebrew it takes
theirs and is shown behind the rest: `alice:example.org@`. The mark of left-to-right text before it keeps it in its place. Pages
and the HTML of mails have elements for this.
"""

import re
from typing import Final

from threepid.i18n.catalogues import direction

LEFT_TO_RIGHT: Final = "\u200e"
_NAME: Final = re.compile(
    r"""
    (?: (?<![A-Za-z0-9._+/%!#*:\[\-]) | (?<=[\u0590-\u08ff]-) )  # not within an email address or a URL
    (?:
        (?= [@+] [\w*=./-] ) (?! @ [A-Za-z0-9.:-]+ [ ] \# \d )   # but phones look for this line of an SMS as it is
        | (?= [0-9a-f]{1,4} : [0-9a-f]* : )                      # an IPv6 network
    )
    """,
    re.VERBOSE | re.ASCII,
)


def marked(text: str, language: str) -> str:
    """`text` with a mark before each name that begins with such a sign, in a language that is written from right to left."""
    return _NAME.sub(LEFT_TO_RIGHT, text) if direction(language) == "rtl" else text

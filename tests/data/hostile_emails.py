"""Texts that are no email address, or one that we reject: some parser somewhere sends to another mailbox."""

_BASE = r"""
a@b@c.example
a@b.example@c.example
"a@b"@c.example
"a"@c.example
a"b@c.example
a b@c.example
a@b.example (c@d.example)
a(c)@b.example
(c)a@b.example
<a@b.example>
a <a@b.example>
Alice <a@b.example>
a@b.example,c@d.example
a@b.example;c@d.example
a@b.example c@d.example
a,b@c.example
a;b@c.example
a:b@c.example
a<b@c.example
a>b@c.example
a[b@c.example
a]b@c.example
a\b@c.example
a\@b@c.example
a@[127.0.0.1]
a@[IPv6:::1]
a@127.0.0.1
a@1.2.3
a@1
a@0x7f.1
a@::1
a@b..example
a@.b.example
a@b.example.
a@b.example..
a@-b.example
a@b-.example
a@b_c.example
a@b!c.example
a@b/c.example
a@b\c.example
a@b%c.example
a@b:25
a@b.example:25
a@b.example/x
a@b.example?x
a@b.example#x
a@b.example>
a@<b.example
a@b.example"
a@b,example
a@b;example
a@b example
a@localhost
a@b
a@example
a@
@b.example
@
a
a.b.example
.a@b.example
a.@b.example
a..b@c.example
.@b.example
..@b.example
=?utf-8?q?a?=@b.example
=?utf-8?q?a?=@[b.example]
=?utf-8?q?a=40b.example?=@@c.example
=?utf-8?q?a?= <a@b.example>
mailto:a@b.example
a@b.example?cc=c@d.example
a@mailto:b.example
a@b.example@
@@b.example
a@@b.example
a@b@
a at b.example
a@b.example\r\nBcc: c@d.example
a%0d%0aBcc:c@d.example@
group:a@b.example;
undisclosed-recipients:;
a@b.example -- c@d.example
ⓐ@b.example
é@b.example
ａ@b.example
а@b.example
a​b@c.example
a­b@c.example
a﻿@b.example
m​ike@b.example
a＠b.example
a@b。
a@。b
a@b．．c
a@xn--
a@xn--a-.example
a@xn--\u0000.example
a@☃☃☃-.example
a@-☃.example
"""
_CONTROLS = [
    *range(0x21),
    0x7F,
    *range(0x80, 0xA1),
    0x2028,
    0x2029,
    0x200B,
    0x200E,
    0x202E,
    0x2066,
    0xFEFF,
    0xFFFD,
]

AROUND: list[str] = [
    " ",
    "\t",
    "\N{NO-BREAK SPACE}",
    "\N{IDEOGRAPHIC SPACE}",
    *map(chr, range(0x200B, 0x2010)),
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
    "\N{ZERO WIDTH NO-BREAK SPACE}",
]
"""What comes along at the ends of a pasted address, and is not meant."""

INVISIBLE: list[str] = [
    *AROUND[3:],
    "\N{SOFT HYPHEN}",
    "\N{WORD JOINER}",
    "\N{VARIATION SELECTOR-16}",
    "\N{COMBINING GRAPHEME JOINER}",
]
"""What nobody sees in the middle of one."""

HOSTILE: list[str] = [
    *(line for line in _BASE.splitlines() if line),
    *(f"a{chr(code)}b@c.example" for code in _CONTROLS),
    *(f"a@c{chr(code)}d.example" for code in _CONTROLS),
    *(f"a@c.example{chr(code)}" for code in _CONTROLS if chr(code) not in AROUND),
    *(f"{chr(code)}a@c.example" for code in _CONTROLS if chr(code) not in AROUND),
    *(f"a{mark}@c.example" for mark in AROUND),
    *(f"a@{mark}c.example" for mark in AROUND),
    *(f"a@c{mark}d.example" for mark in INVISIBLE),
    *(f"a{mark}b@c.example" for mark in '()<>[]:;@\\," '),
    "a@b.example\r\nBcc: c@d.example",
    "a@b.example\nBcc: c@d.example",
    "a\r\n@b.example",
    "a@b.example\0",
    "a" * 65 + "@b.example",
    "a@" + "b" * 64 + ".example",
    "a@" + ".".join(["b" * 60] * 5) + ".example",
    "a" * 10_000 + "@b.example",
    "a@" + "b." * 5_000 + "example",
    "",
    " ",
    " a b@c.example ",
    "\na@b.example",
    "a@b.example\r\n",
    " a@b.example\n ",
]

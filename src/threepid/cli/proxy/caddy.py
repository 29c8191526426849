"""Configuration for Caddy. https://caddyserver.com/docs/caddyfile."""

from threepid.cli.proxy.rules import Plan, Rule


def render(plan: Plan) -> str:
    """The Caddyfile."""
    usual = plan.port == (443 if plan.scheme == "https" else 80)
    site = f"{'http://' if plan.scheme == 'http' else ''}{plan.host}{'' if usual else f':{plan.port}'}"
    here = _upstream(plan.threepid, tls=plan.threepid_tls)
    lines = [f"{site} {{", "    route {", "        respond /oauth2/introspect 404"]
    if plan.homeserver is not None:
        there = _upstream(plan.homeserver, tls=plan.homeserver_tls)
        lines.append("        # What threepid answers below /_matrix/; everything else there is the homeserver's.")
        for number, rule in enumerate(plan.rules, 1):
            lines += [*_matcher(f"threepid{number}", rule), f"        reverse_proxy @threepid{number} {here}"]
        lines += [
            f"        reverse_proxy /_matrix/* {there}",
            f"        reverse_proxy /_synapse/client/* {there}",
            "        respond /_synapse/* 404",
        ]
    return "\n".join([*lines, f"        reverse_proxy {here}", "    }", "}", ""])


def _matcher(name: str, rule: Rule) -> list[str]:
    # Go's regular expressions look neither forward nor back, so what they exclude is a matcher of its own.
    pattern, excluded = without_lookahead(rule.pattern)
    lines = [f"        @{name} {{", f"            path_regexp ^{pattern}$"]
    if rule.methods:
        lines.append(f"            method {' '.join(rule.methods)}")
    if excluded:
        lines.append(f"            not path_regexp ^{excluded}")
    return [*lines, "        }"]


def without_lookahead(pattern: str) -> tuple[str, str]:
    """The pattern without its negative lookahead, and a pattern for the beginning of what that excludes ('' without one)."""
    before, mark, after = pattern.partition("(?!")
    if not mark:
        return pattern, ""
    excluded, _, rest = after.partition(")")
    return f"{before}{rest}", f"{before}(?:{excluded})"


def _upstream(address: str, *, tls: bool) -> str:
    if address.startswith("unix:"):
        return f"unix/{address.removeprefix('unix:')}"
    return f"{'https://' if tls else ''}{address}"

"""Configuration for Traefik: a file of its file provider. https://doc.traefik.io/traefik/routing/routers/."""

from threepid.cli.proxy.caddy import without_lookahead
from threepid.cli.proxy.rules import Plan, Rule


def render(plan: Plan) -> str:
    """The file, in YAML."""
    of_host = f"Host(`{plan.host}`)"
    entry = "websecure" if plan.scheme == "https" else "web"
    tls = ["      tls: {}"] if plan.scheme == "https" else []
    routers: list[tuple[str, str, str, int]] = [("threepid", of_host, "threepid", 1)]
    routers.append(("hidden", f"{of_host} && Path(`/oauth2/introspect`)", "noop@internal", 100))
    if plan.homeserver is not None:
        routers += [
            (
                "homeserver",
                f"{of_host} && (PathPrefix(`/_matrix/`) || PathPrefix(`/_synapse/client/`))",
                "homeserver",
                20,
            ),
            ("synapse-hidden", f"{of_host} && PathPrefix(`/_synapse/`)", "noop@internal", 10),
            *(
                (f"threepid-{number}", f"{of_host} && {_rule(rule)}", "threepid", 50)
                for number, rule in enumerate(plan.rules, 1)
            ),
        ]
    lines = ["http:", "  routers:"]
    for name, rule, service, priority in routers:
        lines += [
            f"    {name}:",
            f"      rule: '{rule}'",
            f"      priority: {priority}",
            f"      entryPoints: [{entry}]",
            *tls,
            f"      service: {service}",
        ]
    lines += ["  services:", *_service("threepid", plan.threepid, tls=plan.threepid_tls)]
    if plan.homeserver is not None:
        lines += _service("homeserver", plan.homeserver, tls=plan.homeserver_tls)
    return "\n".join([*lines, ""])


def _rule(rule: Rule) -> str:
    pattern, excluded = without_lookahead(rule.pattern)
    parts = [f"PathRegexp(`^{pattern}$`)"]
    if rule.methods:
        parts.append("(" + " || ".join(f"Method(`{method}`)" for method in rule.methods) + ")")
    if excluded:
        parts.append(f"!PathRegexp(`^{excluded}`)")
    return " && ".join(parts)


def _service(name: str, address: str, *, tls: bool) -> list[str]:
    return [
        f"    {name}:",
        "      loadBalancer:",
        f"        servers: [{{ url: '{'https' if tls else 'http'}://{address}' }}]",
    ]

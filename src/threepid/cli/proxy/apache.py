"""Configuration for Apache, with mod_proxy_http, mod_rewrite, mod_headers and mod_ssl. https://httpd.apache.org/docs/2.4/."""

from threepid.cli.proxy.rules import Plan


def render(plan: Plan) -> str:
    """The virtual host."""
    tls = plan.scheme == "https"
    here = f"{'https' if plan.threepid_tls else 'http'}://{plan.threepid}"
    if plan.threepid.startswith("unix:"):
        here = f"{plan.threepid}|http://threepid"
    lines = [
        f"<VirtualHost *:{plan.port}>",
        f"    ServerName {plan.host}",
        *(
            (
                "    SSLEngine on",
                f"    SSLCertificateFile /etc/letsencrypt/live/{plan.host}/fullchain.pem",
                f"    SSLCertificateKeyFile /etc/letsencrypt/live/{plan.host}/privkey.pem",
            )
            if tls
            else ()
        ),
        "    AllowEncodedSlashes NoDecode",
        "    ProxyPreserveHost On",
        "    ProxyTimeout 150",
        f'    RequestHeader set X-Forwarded-Proto "{plan.scheme}"',
        "    RewriteEngine On",
        "    # The path goes on as the client has encoded it.",
        "    RewriteRule ^/oauth2/introspect$ - [R=404,L]",
    ]
    if plan.homeserver is not None:
        there = f"{'https' if plan.homeserver_tls else 'http'}://{plan.homeserver}"
        lines.append("    # What threepid answers below /_matrix/; everything else there is the homeserver's.")
        for rule in plan.rules:
            if rule.methods:
                lines.append(f"    RewriteCond %{{REQUEST_METHOD}} ^(?:{'|'.join(rule.methods)})$")
            lines += _to(f"^{rule.pattern}$", here)
        lines += [
            *_to("^/_matrix/", there),
            *_to("^/_synapse/client/", there),
            "    RewriteRule ^/_synapse/ - [R=404,L]",
        ]
    lines += [*_to("^/", here)]
    if here.startswith("https") or (plan.homeserver is not None and plan.homeserver_tls):
        lines.insert(-1, "    SSLProxyEngine On")
    return "\n".join([*lines, "</VirtualHost>", ""])


def _to(pattern: str, server: str) -> list[str]:
    return [
        r"    RewriteCond %{THE_REQUEST} ^\S+\s(/\S*)\s",
        f"    RewriteRule {pattern} {server}%1 [P,NE,L]",
    ]

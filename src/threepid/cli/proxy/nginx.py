"""Configuration for nginx. https://nginx.org/en/docs/."""

from threepid.cli.proxy.rules import Plan

_HEADERS = """    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_read_timeout 150s;"""


def render(plan: Plan) -> str:
    """The file, for inclusion into the block `http`."""
    here = f"{'https' if plan.threepid_tls else 'http'}://threepid"
    lines = [f"upstream threepid {{ server {plan.threepid}; }}"]
    if plan.homeserver is not None:
        lines += [
            f"upstream homeserver {{ server {plan.homeserver}; }}",
            "",
            "# What threepid answers below /_matrix/; everything else there is the homeserver's.",
            'map "$request_method $uri" $matrix_server {',
            f"    default {_url('homeserver', tls=plan.homeserver_tls)};",
            *(f'    "~^{_methods(rule.methods)} {rule.pattern}$" {here};' for rule in plan.rules),
            "}",
        ]
    tls = plan.scheme == "https"
    lines += [
        "",
        "server {",
        f"    listen {plan.port}{' ssl' if tls else ''};",
        f"    server_name {plan.host};",
        *(
            (
                f"    ssl_certificate /etc/letsencrypt/live/{plan.host}/fullchain.pem;",
                f"    ssl_certificate_key /etc/letsencrypt/live/{plan.host}/privkey.pem;",
            )
            if tls
            else ()
        ),
        _HEADERS,
        "",
        f"    location / {{ proxy_pass {here}; }}",
        "    location = /oauth2/introspect { return 404; }",
    ]
    if plan.homeserver is not None:
        there = _url("homeserver", tls=plan.homeserver_tls)
        lines += [
            "    location /_matrix/ {",
            "        # Not less than the homeserver's max_upload_size.",
            "        client_max_body_size 50M;",
            "        proxy_pass $matrix_server;",
            "    }",
            f"    location /_synapse/client/ {{ proxy_pass {there}; }}",
            "    location /_synapse/ { return 404; }",
        ]
    return "\n".join([*lines, "}", ""])


def _url(name: str, *, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://{name}"


def _methods(methods: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(methods)})" if methods else "[A-Z]+"

"""`threepid proxy …`: the configuration of a reverse proxy in front of this server, and of a homeserver beside it."""

from collections.abc import Callable

import typer

from threepid.cli.common import ConfigFile, load, out
from threepid.cli.proxy import apache, caddy, nginx, traefik
from threepid.cli.proxy.rules import Plan, plan

app = typer.Typer(
    help="Print the configuration of a reverse proxy: which path goes to this server, and which to the homeserver.",
    no_args_is_help=True,
)


def _print(config_file: ConfigFile, render: Callable[[Plan], str]) -> None:
    out.print(render(plan(load(config_file))), markup=False, end="")


@app.command("nginx")
def for_nginx(config_file: ConfigFile = None) -> None:
    """Print a configuration for nginx, to include in its block `http`."""
    _print(config_file, nginx.render)


@app.command("caddy")
def for_caddy(config_file: ConfigFile = None) -> None:
    """Print a Caddyfile."""
    _print(config_file, caddy.render)


@app.command("traefik")
def for_traefik(config_file: ConfigFile = None) -> None:
    """Print a file for the file provider of Traefik."""
    _print(config_file, traefik.render)


@app.command("apache")
def for_apache(config_file: ConfigFile = None) -> None:
    """Print a virtual host for Apache."""
    _print(config_file, apache.render)

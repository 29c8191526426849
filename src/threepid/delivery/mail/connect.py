"""Connects to relays. A relay without encryption may only be at addresses of private networks, whatever DNS says."""

import asyncio
import ipaddress
import socket

from threepid.config.problem import is_loopback, is_private
from threepid.delivery.errors import RelayDown
from threepid.delivery.outcome import Cause


async def connect(host: str, port: int, *, encrypted: bool) -> socket.socket:
    """A connection to the first address of `host` that accepts one.

    Unless the connection will be `encrypted`, all addresses of `host` must be private, and the address that was checked is the
    one that gets the connection. Raises OSError, and RelayDown for a public address.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not encrypted and not is_loopback(host):
        for *_, address in found:
            if not is_private(ipaddress.ip_address(str(address[0]).partition("%")[0])):
                raise RelayDown(
                    f"{host} has a public address: no mail goes there unencrypted", retry=True, cause=Cause.TLS
                )
    error = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
        except OSError as failure:
            connection.close()
            error = failure
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise error

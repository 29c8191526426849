"""The processes of a server: a supervisor, its Granian workers, and the metrics listener."""

from threepid.process.sockets import CannotServe
from threepid.process.supervisor import alone, serve

__all__ = ["CannotServe", "alone", "serve"]

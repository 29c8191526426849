"""The fingerprint of the vault secret with which this database is used."""

from threepid.storage.engine.database import AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries
from threepid.storage.engine.reach import value_without_opening

_sql = Queries("fingerprints")


def record(tx: Tx, fingerprint: bytes, now: int) -> bytes:
    """Record the fingerprint if there is none yet, and return the recorded one."""
    tx.run(_sql.record, AT_MOST_ONE, fingerprint=fingerprint, now=now)
    return recorded(tx) or fingerprint


def recorded(tx: Tx) -> bytes | None:
    """The recorded fingerprint; None before the first start."""
    found = tx.value(_sql.recorded)
    return None if found is None else bytes(found)


def look_up(url: str, *, password: str | None, seconds: int) -> bytes | None:
    """The fingerprint recorded in the database of `url`; None if there is none or it cannot be read. Changes nothing."""
    found = value_without_opening(url, _sql.recorded, password=password, seconds=seconds)
    return None if found is None else bytes(found)


def replace(tx: Tx, *, old: bytes, new: bytes, now: int) -> bool:
    """Record `new` in place of `old`. False if `old` is no longer the recorded one."""
    return tx.run(_sql.replace, AT_MOST_ONE, old=old, new=new, now=now) == 1

"""The permission that comes of User-Interactive Authentication."""

from msgspec import Struct

from threepid.domain.authentication.stages import Proof
from threepid.spec.errors import Forbidden, UnknownToken
from threepid.storage import accounts, devices, uia, validations
from threepid.storage.engine.database import Tx


class Grant(Struct, frozen=True):
    """Permission for one effect. `result` is what came of it if the session was finished before.

    `registration_token` is the hash of one that is to be used up, `terms` the documents and versions that were accepted.
    `device` are the user and device that it was given to, if it was given to one: it ends with that.
    """

    now: int
    id_hash: bytes | None = None
    proofs: tuple[Proof, ...] = ()
    result: str | None = None
    registration_token: str | None = None
    terms: tuple[tuple[str, str], ...] = ()
    device: tuple[str, str] | None = None

    def consume(self, tx: Tx, result: str | None = None) -> None:
        """Use the permission up in the transaction of its effect.

        Raises Forbidden if somebody else did, UnknownToken if the device was logged out in the meantime.
        """
        if self.device is not None:
            user_id, device_id = self.device
            if not accounts.lock(tx, user_id) or not devices.hold_device(tx, user_id, device_id):
                raise UnknownToken
        if self.id_hash is not None and not uia.consume(tx, self.id_hash, now=self.now, result=result):
            raise Forbidden("This authentication session has been used already.")
        for proof in self.proofs:
            if not validations.consume(tx, proof.sid, self.now):
                raise Forbidden("The validation of the address has been used already.")

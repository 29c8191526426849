"""The floor of logins: the same hash verified in a bare loop over a pool as wide as the machine.

Prints how many were verified per second: `hashes.py LIBRARY HASH PASSWORD SECONDS`. The library is `libsodium`, which is the one
that the server uses, or `argon2-cffi`, which other servers in Python use.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import argon2
import nacl.pwhash

LIBRARIES: dict[str, Callable[[str, str], bool]] = {
    "libsodium": lambda password_hash, password: nacl.pwhash.verify(password_hash.encode(), password.encode()),
    "argon2-cffi": argon2.PasswordHasher().verify,
}


def verified_per_second(library: str, password_hash: str, password: str, seconds: float) -> float:
    verify = LIBRARIES[library]
    width = len(os.sched_getaffinity(0))
    end = start = time.monotonic()

    def verify_until_the_end() -> int:
        count = 0
        while time.monotonic() < end:
            verify(password_hash, password)
            count += 1
        return count

    with ThreadPoolExecutor(width) as pool:
        list(pool.map(lambda _: verify(password_hash, password), range(width * 2)))
        start = time.monotonic()
        end = start + seconds
        counts = [pool.submit(verify_until_the_end) for _ in range(width)]
        total = sum(count.result() for count in counts)
    return total / (time.monotonic() - start)


if __name__ == "__main__":
    library, password_hash, password, seconds = sys.argv[1:]
    print(verified_per_second(library, password_hash, password, float(seconds)))

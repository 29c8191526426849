"""The floor of logins: the same hash verified in a bare loop over a pool as wide as the machine.

Prints how many were verified per second: `hashes.py HASH PASSWORD SECONDS`.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import argon2


def verified_per_second(password_hash: str, password: str, seconds: float) -> float:
    hasher = argon2.PasswordHasher()
    width = len(os.sched_getaffinity(0))
    end = start = time.monotonic()

    def verify_until_the_end() -> int:
        count = 0
        while time.monotonic() < end:
            hasher.verify(password_hash, password)
            count += 1
        return count

    with ThreadPoolExecutor(width) as pool:
        list(pool.map(lambda _: hasher.verify(password_hash, password), range(width * 2)))
        start = time.monotonic()
        end = start + seconds
        counts = [pool.submit(verify_until_the_end) for _ in range(width)]
        total = sum(count.result() for count in counts)
    return total / (time.monotonic() - start)


if __name__ == "__main__":
    print(verified_per_second(sys.argv[1], sys.argv[2], float(sys.argv[3])))

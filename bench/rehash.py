"""The floor of rotations: a bare loop that hashes and inserts in the same batches.

Prints how many addresses were hashed per second: `rehash.py DATABASE BATCH SECONDS`.
"""

import base64
import hashlib
import sys
import time
from typing import cast

import apsw

READ = """SELECT medium, canonical, mxid, not_after FROM associations
WHERE (medium, canonical) > (?, ?) ORDER BY medium, canonical LIMIT ?"""
WRITE = "INSERT INTO association_hashes (key, pepper, hash, mxid, not_after) VALUES (?, 97, ?, ?, ?)"


def hashed_per_second(path: str, batch: int, seconds: float) -> float:
    connection = apsw.Connection(path)
    connection.execute("PRAGMA journal_mode = wal; PRAGMA synchronous = full")
    last = ("", "")
    count = 0
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        with connection:
            rows = cast("list[tuple[str, str, str, int]]", connection.execute(READ, (*last, batch)).fetchall())
            if not rows:
                break
            connection.executemany(WRITE, (hashed(*row) for row in rows))
        last = rows[-1][:2]
        count += len(rows)
    return count / (time.monotonic() - start)


def hashed(medium: str, canonical: str, user: str, not_after: int) -> tuple[int, str, str, int]:
    digest = hashlib.sha256(f"{canonical} {medium} another".encode()).digest()
    text = base64.urlsafe_b64encode(digest)[:-1].decode()
    return 97 % 7 << 60 | int.from_bytes(digest[:8]) >> 4, text, user, not_after


if __name__ == "__main__":
    print(hashed_per_second(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

"""What can happen to any file: bytes that flip, go, come twice, or come from elsewhere."""

from __future__ import annotations

from random import Random


def damaged(content: bytes, rng: Random, first: int = 0, last: int | None = None) -> tuple[bytes, str]:
    """Return (bytes, what was done) after one damage somewhere in ``content[first:last]``."""
    end = min(len(content), last or len(content))
    damage = rng.choice((_flip, _flip, _overwrite, _cut_out, _repeat, _truncate, _insert, _extend))
    return damage(content, rng, min(first, max(0, end - 1)), end)


def _flip(content: bytes, rng: Random, first: int, end: int) -> tuple[bytes, str]:
    changed = bytearray(content)
    places = [rng.randrange(first, end) for _ in range(rng.choice((1, 1, 2, 8, 64)))] if end > first else []
    for place in places:
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed), f"bits flipped at {places[:8]}"


def _overwrite(content: bytes, rng: Random, first: int, end: int) -> tuple[bytes, str]:
    start = rng.randrange(first, max(first + 1, end))
    length = rng.choice((1, 2, 4, 8, 100, 1000))
    value = rng.choice((b"\0", b"\xff", b"\x7f", b"A"))
    return content[:start] + value * length + content[start + length :], f"{length} x {value!r} at {start}"


def _cut_out(content: bytes, rng: Random, first: int, end: int) -> tuple[bytes, str]:
    start = rng.randrange(first, max(first + 1, end))
    length = rng.choice((1, 2, 3, 4, 50, 1000))
    return content[:start] + content[start + length :], f"{length} bytes gone at {start}"


def _repeat(content: bytes, rng: Random, first: int, end: int) -> tuple[bytes, str]:
    start = rng.randrange(first, max(first + 1, end))
    length = rng.choice((1, 2, 4, 8, 100, 1000))
    return content[:start] + content[start : start + length] * 2 + content[start + length :], f"{length} twice, {start}"


def _truncate(content: bytes, rng: Random, first: int, end: int) -> tuple[bytes, str]:
    size = rng.choice((0, 1, 131, 132, 347, 348, 352, rng.randrange(first, max(first + 1, end)), len(content) - 1))
    return content[: max(0, size)], f"cut to {size} bytes"


def _insert(content: bytes, rng: Random, first: int, end: int) -> tuple[bytes, str]:
    start = rng.randrange(first, max(first + 1, end))
    noise = rng.randbytes(rng.choice((1, 2, 4, 100)))
    return content[:start] + noise + content[start:], f"{len(noise)} bytes of noise at {start}"


def _extend(content: bytes, rng: Random, first: int, end: int) -> tuple[bytes, str]:
    noise = rng.randbytes(rng.choice((1, 2, 512, 5000)))
    return content + noise, f"{len(noise)} bytes of noise at the end"

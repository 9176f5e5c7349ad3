"""Numbers of strings: FarmHash's and SipHash's 64 bits, which TensorFlow puts words into bins by.

Sources: Pike and Alakuijala, FarmHash (its ``farmhashna``), 2014; Aumasson and Bernstein, "SipHash:
a fast short-input PRF", 2012.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["crossed", "farmhash64", "siphash64"]

_MASK = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _rotated(x: int, by: int) -> int:
    """A 64-bit number turned right."""
    x &= _MASK
    return ((x >> by) | (x << (64 - by))) & _MASK


def _shifted(x: int) -> int:
    x &= _MASK
    return x ^ (x >> 47)


def _word(s: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(s[at : at + size], "little")


def _mixed(u: int, v: int, mul: int) -> int:
    """Two numbers as one (Murmur's way)."""
    a = _shifted((u ^ v) * mul)
    b = _shifted(((v & _MASK) ^ a) * mul)
    return b * mul & _MASK


def farmhash64(s: bytes) -> int:
    """FarmHash's fingerprint.

    >>> farmhash64(b"hello")
    13009744463427800296
    """
    n = len(s)
    if n <= 16:
        return _short(s, n)
    mul = _K2 + n * 2
    if n <= 32:
        a, b = _word(s, 0) * _K1, _word(s, 8)
        c, d = _word(s, n - 8) * mul, _word(s, n - 16) * _K2
        return _mixed(
            _rotated(a + b, 43) + _rotated(c, 30) + d & _MASK,
            a + _rotated(b + _K2, 18) + c & _MASK,
            mul,
        )
    return _medium(s, n, mul) if n <= 64 else _long(s, n)


def _short(s: bytes, n: int) -> int:
    mul = _K2 + n * 2
    if n >= 8:
        a, b = _word(s, 0) + _K2, _word(s, n - 8)
        c = _rotated(b, 37) * mul + a
        d = (_rotated(a, 25) + b) * mul
        return _mixed(c & _MASK, d & _MASK, mul)
    if n >= 4:
        return _mixed(n + (_word(s, 0, 4) << 3), _word(s, n - 4, 4), mul)
    if n:
        y, z = s[0] + (s[n >> 1] << 8), n + (s[n - 1] << 2)
        return _shifted((y * _K2) ^ (z * _K0)) * _K2 & _MASK
    return _K2


def _medium(s: bytes, n: int, mul: int) -> int:
    a, b = _word(s, 0) * _K2, _word(s, 8)
    c, d = _word(s, n - 8) * mul, _word(s, n - 16) * _K2
    y = _rotated(a + b, 43) + _rotated(c, 30) + d & _MASK
    z = _mixed(y, a + _rotated(b + _K2, 18) + c & _MASK, mul)
    e, f = _word(s, 16) * mul, _word(s, 24)
    g, h = (y + _word(s, n - 32)) * mul, (z + _word(s, n - 24)) * mul
    return _mixed(
        _rotated(e + f, 43) + _rotated(g, 30) + h & _MASK, e + _rotated(f + a, 18) + g & _MASK, mul
    )


def _weak(s: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    """Two numbers mixed with 32 bytes."""
    w, x, y, z = (_word(s, at + 8 * i) for i in range(4))
    a += w
    b = _rotated(b + a + z, 21)
    c = a
    a += x + y
    return (a + z) & _MASK, (b + _rotated(a, 44) + c) & _MASK


def _block(
    s: bytes, at: int, state: tuple[int, int, tuple[int, int], tuple[int, int], int], mul: int,
    first: int, second: int,
) -> tuple[int, int, tuple[int, int], tuple[int, int], int]:  # fmt: skip
    """One round over 64 bytes; ``first`` and ``second`` weigh two of its terms."""
    x, y, v, w, z = state
    x = _rotated(x + y + v[0] + _word(s, at + 8), 37) * mul & _MASK
    y = _rotated(y + v[1] + _word(s, at + 48), 42) * mul & _MASK
    x ^= w[1] * first & _MASK
    y = y + v[0] * second + _word(s, at + 40) & _MASK
    z = _rotated(z + w[0], 33) * mul & _MASK
    v = _weak(s, at, v[1] * mul, x + w[0])
    w = _weak(s, at + 32, z + w[1], y + _word(s, at + 16))
    return z, y, v, w, x


def _long(s: bytes, n: int) -> int:
    seed = 81
    y = (seed * _K1 + 113) & _MASK
    z = _shifted(y * _K2 + 113) * _K2 & _MASK
    state = ((seed * _K2 + _word(s, 0)) & _MASK, y, (0, 0), (0, 0), z)
    for at in range(0, (n - 1) // 64 * 64, 64):
        state = _block(s, at, state, _K1, 1, 1)
    x, y, v, w, z = state
    mul = _K1 + ((z & 0xFF) << 1)
    w = (w[0] + ((n - 1) & 63) & _MASK, w[1])
    v = (v[0] + w[0] & _MASK, v[1])
    w = (w[0] + v[0] & _MASK, w[1])
    x, y, v, w, z = _block(s, n - 64, (x, y, v, w, z), mul, 9, 9)
    return _mixed(
        _mixed(v[0], w[0], mul) + _shifted(y) * _K0 + z & _MASK,
        _mixed(v[1], w[1], mul) + x & _MASK,
        mul,
    )


def siphash64(s: bytes, key: Sequence[int]) -> int:
    """SipHash-2-4 with a key of two 64-bit numbers.

    >>> hex(siphash64(bytes(range(15)), (0x0706050403020100, 0x0F0E0D0C0B0A0908)))
    '0xa129ca6149be45e5'
    """
    k0, k1 = (k & _MASK for k in key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    v = [v0, v1, v2, v3]
    end = len(s) // 8 * 8
    last = (len(s) & 0xFF) << 56 | int.from_bytes(s[end:], "little")
    for m in (*(_word(s, at) for at in range(0, end, 8)), last):
        v[3] ^= m
        _sip_rounds(v, 2)
        v[0] ^= m
    v[2] ^= 0xFF
    _sip_rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_rounds(v: list[int], count: int) -> None:
    for _ in range(count):
        v[0] = (v[0] + v[1]) & _MASK
        v[1] = _rotated(v[1], 64 - 13) ^ v[0]
        v[0] = _rotated(v[0], 32)
        v[2] = (v[2] + v[3]) & _MASK
        v[3] = _rotated(v[3], 64 - 16) ^ v[2]
        v[0] = (v[0] + v[3]) & _MASK
        v[3] = _rotated(v[3], 64 - 21) ^ v[0]
        v[2] = (v[2] + v[1]) & _MASK
        v[1] = _rotated(v[1], 64 - 17) ^ v[2]
        v[2] = _rotated(v[2], 32)


def crossed(fingerprints: Sequence[int]) -> int:
    """One number of several, as TensorFlow crosses features: strings by their fingerprints,
    integers as they are.
    """
    mul, found = 0xC6A4A7935BD1E995, 0xDECAFCAFFE
    for f in fingerprints:
        mixed = (found ^ mul) ^ (_shifted(f * mul) * mul & _MASK)
        found = _shifted(_shifted(mixed * mul) * mul)
    return found

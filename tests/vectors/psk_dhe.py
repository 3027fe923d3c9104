#!/usr/bin/env python3
"""Known answers of psk-dhe and of dhhmac in group X25519, from the formulas alone: hashlib, hmac and
the ladder of RFC 7748 5. Writes psk_dhe.json to its standard output."""
import hashlib
import hmac
import json
import struct

P = 2**255 - 19


def x25519(scalar, u):
    """RFC 7748 5."""
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def prf(digest, key, label, length):
    """RFC 3830 4.1.2, RFC 6043 6.1."""
    out = bytes(length)
    for at in range(0, len(key), 32):
        block, a, stream = key[at:at + 32], label, b""
        while len(stream) < length:
            a = hmac.digest(block, a, digest)
            stream += hmac.digest(block, a + label, digest)
        out = bytes(x ^ y for x, y in zip(out, stream))
    return out


def hkdf(salt, ikm, info, length):
    """RFC 5869, SHA-256, one block."""
    return hmac.digest(hmac.digest(salt, ikm, "sha256"), info + b"\x01", "sha256")[:length]


def identity(following, text):
    return bytes([following, 0]) + struct.pack(">H", len(text)) + text


def dh(following, value):
    return bytes([following, 255]) + value + b"\x00"


def messages(case):
    """HDR, T, RAND, IDi, IDr, [Vendor ID], DHi, KEMAC, and the answer of RFC 4650 3."""
    psk, csb, rand = case["psk"], case["csb"], case["rand"]
    sha256 = case["algorithms"] == "mikey-256"
    digest, number, mac = ("sha256", 1, 2) if sha256 else ("sha1", 0, 1)
    label = csb + rand
    auth = prf(digest, psk, bytes.fromhex("2d22ac75ff") + label, 32 if sha256 else 20)
    cs = b"\x00\x11\x22\x33\x44\x00\x00\x00\x00"
    t = b"\x00" + bytes.fromhex("eb4f1a2b80000000")
    alice, bob = b"alice@example.com", b"bob@example.com"
    mark = b"mikeyd psk-dhe" if case["method"] == "psk-dhe" else None
    value_i, value_r = x25519(case["xi"], NINE), x25519(case["xr"], NINE)
    after_ids = 21 if mark else 3
    vendor = b"" if mark is None else b"\x03\x00" + struct.pack(">H", len(mark)) + mark
    kemac = b"\x00\x00\x00\x00" + bytes([mac])
    i = bytes([1, 7, 5, number]) + csb + b"\x01\x00" + cs + b"\x0b" + t
    i += b"\x06" + bytes([len(rand)]) + rand
    i += identity(6, alice) + identity(after_ids, bob) + vendor + dh(1, value_i) + kemac
    i += hmac.digest(auth, i, digest)
    r = bytes([1, 8, 5, number]) + csb + b"\x01\x00" + cs + b"\x06" + t
    r += identity(6, bob) + identity(after_ids, alice) + vendor
    r += dh(3, value_r) + dh(1, value_i) + kemac
    r += hmac.digest(auth, r, digest)
    shared = x25519(case["xi"], value_r)
    assert shared == x25519(case["xr"], value_i)
    k_psk = prf(digest, psk, bytes.fromhex("1512b54aff") + label, 32)
    if mark:
        tgk = hkdf(k_psk, shared, b"mikeyd psk-dhe" + value_i + value_r, 32)
    else:
        tgk = prf(digest, shared, b"MIKEY-X25519-TGK" + value_i + value_r + rand, 32)
    return {"method": case["method"], "algorithms": case["algorithms"], "psk": psk.hex(),
            "csb_id": csb.hex(), "rand": rand.hex(), "xi": case["xi"].hex(),
            "xr": case["xr"].hex(), "value_i": value_i.hex(), "value_r": value_r.hex(),
            "shared": shared.hex(), "k_psk": k_psk.hex(), "tgk": tgk.hex(),
            "i_message": i.hex(), "r_message": r.hex()}


NINE = b"\x09" + bytes(31)


def main():
    # RFC 7748 5.2: the ladder against the RFC's first vector.
    assert x25519(bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                  bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
                  ).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    # RFC 5869 A.1 would need 42 bytes; block C of kats.txt is the PRF's check.
    assert prf("sha1", bytes(range(16)), bytes.fromhex("150533e1ff12345678")
               + bytes(range(0xa0, 0xb0)), 16).hex() == "728ffc4e7bea1d0d8106d39a7403f137"
    cases = [{"method": method, "algorithms": algorithms, "psk": bytes(range(length)),
              "csb": bytes.fromhex("12345678"), "rand": bytes(range(0xa0, 0xa0 + rand)),
              "xi": hashlib.sha256(b"xi").digest(), "xr": hashlib.sha256(b"xr").digest()}
             for method in ("psk-dhe", "dhhmac")
             for algorithms, length, rand in (("mikey-1", 16, 16), ("mikey-256", 32, 16),
                                              ("mikey-256", 80, 32))]
    print(json.dumps({"comment": "made by psk_dhe.py", "exchanges": [messages(c) for c in cases]},
                     indent=1))


main()

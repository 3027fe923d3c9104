#!/usr/bin/env python3
"""The known answers of README.md beside this file, from the RFCs' formulas alone: hashlib and hmac of Python, and AES and
the X25519 ladder written down here. No line and no library is shared with what these vectors test.

  vectors.py          computes every vector anew from its inputs and compares it with the file
  vectors.py --write  writes the files"""
import hashlib
import hmac
import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent

# ---- primitives


def sbox():
    """FIPS 197 5.1.1: the inverse in GF(2^8), then the affine map."""
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= (p << 1) ^ (0x11B if p & 0x80 else 0)
        p &= 0xFF
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotated = [(q << n | q >> (8 - n)) & 0xFF for n in range(1, 5)]
        box[p] = q ^ rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ 0x63
        if p == 1:
            return box


SBOX = sbox()


def twice(x):
    return (x << 1 ^ (0x1B if x & 0x80 else 0)) & 0xFF


def aes(key, block):
    """FIPS 197 5.1 and 5.2: one block, encrypted."""
    words, count = [list(key[i:i + 4]) for i in range(0, len(key), 4)], len(key) // 4
    rounds, rcon = count + 6, 1
    for i in range(count, 4 * (rounds + 1)):
        word = list(words[i - 1])
        if i % count == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = twice(rcon)
        elif count > 6 and i % count == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - count], word)])
    state = list(block)
    for r in range(rounds + 1):
        if r > 0:
            state = [SBOX[b] for b in state]
            state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]
            if r < rounds:
                mixed = []
                for c in range(0, 16, 4):
                    a = state[c:c + 4]
                    total = a[0] ^ a[1] ^ a[2] ^ a[3]
                    mixed += [a[i] ^ total ^ twice(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
                state = mixed
        state = [s ^ k for s, k in zip(state, sum(words[4 * r:4 * r + 4], []))]
    return bytes(state)


def aes_ctr(key, iv, data):
    at, out = int.from_bytes(iv, "big"), b""
    for i in range(0, len(data), 16):
        stream = aes(key, ((at + i // 16) % 2**128).to_bytes(16, "big"))
        out += bytes(a ^ b for a, b in zip(data[i:i + 16], stream))
    return out


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


NINE = b"\x09" + bytes(31)
# RFC 2409 6.2 and RFC 3526 2: 1536 bits, generator 2.
OAKLEY_5 = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b"
    "302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe6"
    "49286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d"
    "670c354e4abc9804f1746c08ca237327ffffffffffffffff", 16)


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


def hkdf_extract(salt, ikm):
    return hmac.digest(salt, ikm, "sha256")


def hkdf_expand(key, info, length):
    assert length <= 32
    return hmac.digest(key, info + b"\x01", "sha256")[:length]


# ---- MIKEY

ENCR, AUTH, SALT = (bytes.fromhex(c) for c in ("150533e1", "2d22ac75", "29b88916"))  # RFC 3830 4.1.4
TEK, TGK_SALT, TGK_AUTH, TGK_ENCR = (bytes.fromhex(c) for c in ("2ad01c64", "39a2c14b", "1b5c7973", "15798cef"))
PSK_DHE = bytes.fromhex("1512b54a")  # ours: K_psk of psk-dhe
ALGORITHMS = {
    # PRF's hash, PRF func, Encr alg, its key's length, MAC alg, its key's and its output's length
    "mikey-1": ("sha1", 0, 1, 16, 1, 20),
    "mikey-256": ("sha256", 1, 3, 32, 2, 32),
}
ALICE, BOB = b"alice@example.com", b"bob@example.com"


def label(constant, cs_id, csb, rand):
    return constant + bytes([cs_id]) + csb + rand


def identity(following, text):
    return bytes([following, 0]) + struct.pack(">H", len(text)) + text


def timestamp(following, t):
    """Type 0: NTP-UTC, 8 bytes. Type 2: COUNTER, 4 bytes."""
    return bytes([following, 0 if len(t) == 8 else 2]) + t


def prf_vectors():
    """Every constant of RFC 3830 4.1.3 and 4.1.4, keys of one to three blocks, several lengths."""
    names = {"psk-encr": ENCR, "psk-auth": AUTH, "psk-salt": SALT, "tek": TEK, "tgk-salt": TGK_SALT,
             "tgk-auth": TGK_AUTH, "tgk-encr": TGK_ENCR, "psk-dhe": PSK_DHE}
    vectors = []
    for digest, name in (("sha1", "MIKEY-1"), ("sha256", "PRF-HMAC-SHA-256")):
        for use, constant in names.items():
            for key_len, rand_len, length, cs in ((16, 16, 16, 1), (32, 16, 32, 255), (40, 32, 14, 0), (80, 16, 64, 254)):
                cs_id = 255 if use.startswith("psk") else cs
                key, csb = bytes(range(key_len)), bytes.fromhex("12345678")
                rand = bytes(range(0xA0, 0xA0 + rand_len))
                text = label(constant, cs_id, csb, rand)
                vectors.append({
                    "name": f"{name} {use}, key of {key_len} bytes", "prf": name, "use": use, "inkey": key.hex(),
                    "constant": constant.hex(), "cs_id": cs_id, "csb_id": csb.hex(), "rand": rand.hex(),
                    "label": text.hex(), "length": length, "outkey": prf(digest, key, text, length).hex()})
    return vectors


def srtp_policy():
    """SP payload, policy 0, SRTP: the thirteen parameters of RFC 3830 6.10.1."""
    values = (1, 16, 1, 20, 14, 0, 0, 1, 1, 0, 1, 10, 0)
    encoded = b"".join(bytes([i, 1, v]) for i, v in enumerate(values))
    return bytes([1, 0, 0]) + struct.pack(">H", len(encoded)) + encoded


def psk_exchange(case):
    """RFC 3830 3.1: HDR, T, RAND, IDi, IDr, SP, KEMAC; HDR, T, IDr, V."""
    digest, number, encr, encr_len, mac, auth_len = ALGORITHMS[case["algorithms"]]
    psk, csb, rand, t, tgk = case["psk"], case["csb"], case["rand"], case["t"], case["tgk"]
    derive = lambda constant, length: prf(digest, psk, label(constant, 255, csb, rand), length)
    encr_key, auth_key, salt_key = derive(ENCR, encr_len), derive(AUTH, auth_len), derive(SALT, 14)
    # 4.2.3: IV = (S XOR (0x0000 || CSB ID || T)) || 0x0000
    iv = bytes(a ^ b for a, b in zip(salt_key, b"\x00\x00" + csb + t.rjust(8, b"\x00"))) + b"\x00\x00"
    salt, spi = case["salt"], case["spi"]
    key_data = bytes([0, (1 if salt else 0) << 4 | (1 if spi else 0)]) + struct.pack(">H", len(tgk)) + tgk
    if salt:
        key_data += struct.pack(">H", len(salt)) + salt
    if spi:
        key_data += bytes([len(spi)]) + spi
    ssrcs, streams = case["ssrcs"], b""
    for ssrc in ssrcs:
        streams += b"\x00" + ssrc + bytes(4)
    header = lambda kind, v, next_, map_: bytes([1, kind, next_, v << 7 | number]) + csb + bytes([len(ssrcs), 0]) + map_
    i = header(0, 1, 5, streams) + timestamp(11, t) + b"\x06" + bytes([len(rand)]) + rand
    i += identity(6, ALICE) + identity(10, BOB) + srtp_policy()
    encrypted = aes_ctr(encr_key, iv, key_data)
    i += bytes([0, encr]) + struct.pack(">H", len(encrypted)) + encrypted + bytes([mac])
    i_mac = hmac.digest(auth_key, i, digest)
    answered = b"".join(b"\x00" + (ssrc if any(ssrc) else bytes.fromhex("55667788")) + bytes(4) for ssrc in ssrcs)
    r = header(1, 0, 5, answered) + timestamp(6, t) + identity(9, BOB) + bytes([0, mac])
    v = hmac.digest(auth_key, r + ALICE + BOB + t, digest)
    sessions = []
    for cs in range(1, len(ssrcs) + 1):
        tek = prf(digest, tgk, label(TEK, cs, csb, rand), 16)
        master_salt = salt or prf(digest, tgk, label(TGK_SALT, cs, csb, rand), 14)
        sessions.append({"cs_id": cs, "tek": tek.hex(), "salt": master_salt.hex()})
    return {"name": case["name"], "algorithms": case["algorithms"], "psk": psk.hex(), "csb_id": csb.hex(), "rand": rand.hex(),
            "t": t.hex(), "initiator": ALICE.decode(), "responder": BOB.decode(), "tgk": tgk.hex(),
            "encr_key": encr_key.hex(), "auth_key": auth_key.hex(), "salt_key": salt_key.hex(), "iv": iv.hex(),
            "key_data": key_data.hex(), "i_message": (i + i_mac).hex(), "r_message": (r + v).hex(), "v": v.hex(),
            "crypto_sessions": sessions}


def psk_vectors():
    t, count, two = bytes.fromhex("eb4f1a2b80000000"), bytes.fromhex("00000007"), [bytes.fromhex("11223344"), bytes(4)]
    salt, spi, rand = bytes(range(0x60, 0x6E)), bytes.fromhex("00000001"), bytes(range(0xA0, 0xB0))
    make = lambda name, algorithms, length, **more: psk_exchange({
        "name": name, "algorithms": algorithms, "psk": bytes(range(length)), "csb": bytes.fromhex("12345678"), "rand": rand,
        "t": t, "tgk": bytes(range(0x40, 0x50)), "salt": salt, "spi": spi, "ssrcs": two, **more})
    return [
        make("two streams, TGK and salt, SPI", "mikey-1", 16),
        make("two streams, TGK and salt, SPI, PRF-HMAC-SHA-256", "mikey-256", 32),
        make("COUNTER as timestamp", "mikey-1", 16, t=count),
        make("COUNTER as timestamp, PRF-HMAC-SHA-256", "mikey-256", 32, t=count),
        make("TGK without salt, no SPI", "mikey-1", 16, salt=b"", spi=b""),
        make("PSK of two blocks", "mikey-1", 40),
        make("PSK of two blocks, PRF-HMAC-SHA-256", "mikey-256", 64),
        make("PSK of three blocks, RAND of 32 bytes", "mikey-256", 80, rand=bytes(range(0xA0, 0xC0))),
        make("MPI SPI, TGK of 32 bytes, one stream", "mikey-256", 32, spi=bytes.fromhex("aabbcc"),
             tgk=bytes(range(0x40, 0x60)), ssrcs=[bytes.fromhex("11223344")]),
    ]


def dh_exchange(case):
    """RFC 4650 3: HDR, T, RAND, IDi, IDr, [Vendor ID], DHi, KEMAC; HDR, T, IDr, IDi, [Vendor ID], DHr, DHi, KEMAC."""
    psk, csb, rand = case["psk"], case["csb"], case["rand"]
    digest, number, _, _, mac, auth_len = ALGORITHMS[case["algorithms"]]
    auth = prf(digest, psk, label(AUTH, 255, csb, rand), auth_len)
    if case["group"] == "X25519":
        wire, value_i, value_r = 255, x25519(case["xi"], NINE), x25519(case["xr"], NINE)
        shared = x25519(case["xi"], value_r)
    else:
        wire, xi, xr = 0, int.from_bytes(case["xi"], "big"), int.from_bytes(case["xr"], "big")
        value_i, value_r, shared = (pow(2, e, OAKLEY_5).to_bytes(192, "big") for e in (xi, xr, xi * xr))
    mark = b"mikeyd psk-dhe" if case["method"] == "psk-dhe" else None
    stream = b"\x00\x11\x22\x33\x44\x00\x00\x00\x00"
    t, after_ids = bytes.fromhex("eb4f1a2b80000000"), 21 if mark else 3
    vendor = b"" if mark is None else b"\x03\x00" + struct.pack(">H", len(mark)) + mark
    dh = lambda following, value: bytes([following, wire]) + value + b"\x00"
    kemac = b"\x00\x00\x00\x00" + bytes([mac])
    i = bytes([1, 7, 5, number]) + csb + b"\x01\x00" + stream + timestamp(11, t)
    i += b"\x06" + bytes([len(rand)]) + rand + identity(6, ALICE) + identity(after_ids, BOB) + vendor + dh(1, value_i) + kemac
    i += hmac.digest(auth, i, digest)
    r = bytes([1, 8, 5, number]) + csb + b"\x01\x00" + stream + timestamp(6, t)
    r += identity(6, BOB) + identity(after_ids, ALICE) + vendor + dh(3, value_r) + dh(1, value_i) + kemac
    r += hmac.digest(auth, r, digest)
    vector = {"name": case["name"], "method": case["method"], "algorithms": case["algorithms"], "group": case["group"],
              "psk": psk.hex(), "csb_id": csb.hex(), "rand": rand.hex(), "xi": case["xi"].hex(), "xr": case["xr"].hex(),
              "value_i": value_i.hex(), "value_r": value_r.hex(), "shared": shared.hex()}
    if mark:
        k_psk = prf(digest, psk, label(PSK_DHE, 255, csb, rand), 32)
        vector["k_psk"] = k_psk.hex()
        tgk = hkdf_expand(hkdf_extract(k_psk, shared), b"mikeyd psk-dhe" + value_i + value_r, 32)
    elif case["group"] == "X25519":
        tgk = prf(digest, shared, b"MIKEY-X25519-TGK" + value_i + value_r + rand, 32)
    else:
        tgk = shared
    return {**vector, "tgk": tgk.hex(), "i_message": i.hex(), "r_message": r.hex()}


def dh_vectors(method, groups):
    vectors = []
    for group in groups:
        digest = hashlib.sha256 if group == "X25519" else hashlib.sha512
        for algorithms, length, rand in (("mikey-1", 16, 16), ("mikey-256", 32, 16), ("mikey-256", 80, 32)):
            vectors.append(dh_exchange({
                "name": f"{method}, {group}, {algorithms}, PSK of {length} bytes", "method": method, "algorithms": algorithms,
                "group": group, "psk": bytes(range(length)), "csb": bytes.fromhex("12345678"),
                "rand": bytes(range(0xA0, 0xA0 + rand)), "xi": digest(b"xi").digest(), "xr": digest(b"xr").digest()}))
    return vectors


def importer_vectors():
    """RFC 9258 5.1 with the context of README.md; HkdfLabel of RFC 8446 7.1 with the prefix "mikey1"."""
    given = json.loads((HERE / "importer.json").read_text())
    vectors = []
    for old in given.get("vectors", given.get("importer")):
        epsk, sha256 = bytes.fromhex(old["epsk"]), old["algorithms"] == "mikey-256"
        context = b""
        for end in ("initiator", "responder"):
            data = bytes.fromhex(old[end]["data"])
            context += bytes([old[end]["type"]]) + struct.pack(">H", len(data)) + data
        name = f"{old['name']}/{old['generation']}".encode()
        imported = struct.pack(">H", len(name)) + name + struct.pack(">H", len(context)) + context
        imported += bytes.fromhex("6d01") + (b"\x00\x01" if sha256 else b"\xff\x01")
        epskx = hkdf_extract(bytes(32), epsk)
        text, digest = b"mikey1derived psk", hashlib.sha256(imported).digest()
        info = struct.pack(">H", 32) + bytes([len(text)]) + text + bytes([len(digest)]) + digest
        vectors.append({**old, "epskx": epskx.hex(), "imported_identity": imported.hex(), "info": info.hex(),
                        "pair_key": hkdf_expand(epskx, info, 32).hex()})
    return vectors


FILES = {
    "prf.json": ("MIKEY PRFs", "RFC 3830 4.1.2, RFC 6043 6.1", prf_vectors),
    "mikey_psk.json": ("MIKEY pre-shared key exchanges", "RFC 3830 3.1", psk_vectors),
    "dhhmac.json": ("MIKEY-DHHMAC exchanges", "RFC 4650 3", lambda: dh_vectors("dhhmac", ("X25519", "OAKLEY-5"))),
    "psk_dhe.json": ("psk-dhe exchanges", "SECURITY.md", lambda: dh_vectors("psk-dhe", ("X25519",))),
    "importer.json": ("pair keys imported from external PSKs", "RFC 9258 5.1", importer_vectors),
}


def prove_primitives():
    """The primitives above against published answers, and the exchanges against kats.txt."""
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")  # FIPS 197 C.1 and C.3
    assert aes(bytes(range(16)), plain).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    assert aes(bytes(range(32)), plain).hex() == "8ea2b7ca516745bfeafc49904b496089"
    assert x25519(bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),  # RFC 7748 5.2
                  bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
                  ).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    kats = (HERE / "kats.txt").read_text()
    exchanges = psk_vectors()
    for at in (0, 1, 2):  # blocks C, D and E
        assert exchanges[at]["i_message"] in kats and exchanges[at]["r_message"] in kats, exchanges[at]["name"]
    block_j = dh_vectors("dhhmac", ("OAKLEY-5",))[0]
    assert block_j["r_message"] in kats and block_j["tgk"] in kats  # its I_MESSAGE has an SP payload besides


def main():
    prove_primitives()
    wrong = 0
    for name, (title, source, make) in FILES.items():
        made = {"format": "mikey-vectors-1", "title": title, "source": source, "vectors": make()}
        text = json.dumps(made, indent=1) + "\n"
        if sys.argv[1:] == ["--write"]:
            (HERE / name).write_text(text)
        same = json.loads((HERE / name).read_text()) == made
        wrong += not same
        print(f"{'ok' if same else 'WRONG':6} {name}: {len(made['vectors'])} vectors")
    sys.exit(1 if wrong else 0)


main()

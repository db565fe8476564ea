#!/usr/bin/env python3
"""Checks the proof of one event (`events prove`) without any of Headwater's code, and without any package.

    check_proof.py PROOF.json ROOT      ROOT: what `journal root` or `verify` printed, kept where nobody who can write to the journal can

Says what the event was and ends with 0 when the event is among those that the root covers, else with 1. It makes the event's leaf
again from what the proof says of it (docs/format.md, "Roots") and follows the path to the root; BLAKE3 is written out below.
"""
import base64
import json
import struct
import sys

# --- BLAKE3 (the paper of 2020, section 2): hash mode, 32 bytes ---------------------------------------------------------------------
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF


def compress(chaining, block, counter, length, flags):
    words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    state = list(chaining) + list(IV[:4]) + [counter & MASK, counter >> 32, length, flags]

    def mix(a, b, c, d, x, y):
        for first, (turn_d, turn_b) in ((x, (16, 12)), (y, (8, 7))):
            state[a] = (state[a] + state[b] + first) & MASK
            state[d] ^= state[a]
            state[d] = (state[d] >> turn_d | state[d] << 32 - turn_d) & MASK
            state[c] = (state[c] + state[d]) & MASK
            state[b] ^= state[c]
            state[b] = (state[b] >> turn_b | state[b] << 32 - turn_b) & MASK

    for _ in range(7):
        for column in range(4):
            mix(column, column + 4, column + 8, column + 12, words[2 * column], words[2 * column + 1])
        for row in range(4):
            mix(row, 4 + (row + 1) % 4, 8 + (row + 2) % 4, 12 + (row + 3) % 4, words[8 + 2 * row], words[9 + 2 * row])
        words = [words[index] for index in PERMUTATION]
    return [state[index] ^ state[index + 8] for index in range(8)]


def chunk(data, counter, last):
    chaining, blocks = IV, [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
    for number, block in enumerate(blocks):
        flags = (CHUNK_START if number == 0 else 0) | (CHUNK_END | last if number == len(blocks) - 1 else 0)
        chaining = compress(chaining, block, counter, len(block), flags)
    return chaining


def subtree(data, counter, last):
    if len(data) <= 1024:
        return chunk(data, counter, last)
    left = 1024
    while left * 2 < len(data):
        left *= 2
    both = subtree(data[:left], counter, 0) + subtree(data[left:], counter + left // 1024, 0)
    return compress(IV, struct.pack("<16I", *both), 0, 64, PARENT | last)


def blake3(data):
    return struct.pack("<8I", *subtree(data, 0, ROOT))


# --- the leaf and the path ----------------------------------------------------------------------------------------------------------
def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<I", len(data)) + data


def context(event):
    names = ("correlation_id", "causation_id", "traceparent", "principal")
    texts = [event.get(name) for name in names]
    present = sum(1 << number + 1 for number, value in enumerate(texts) if value is not None)
    return bytes([present]) + b"".join(text(value) for value in texts if value is not None)


def command(of):
    key = text(of["tenant"]) + text(of["type"]) + text(of["id"])
    return key + bytes.fromhex(of["command_id"]) + text(of["command"]) + context(of)


def leaf(event):
    data = b"\0" + struct.pack("<Q", event["position"]) + bytes.fromhex(event["commit"].replace("-", ""))
    data += struct.pack("<HqQ", event["index"], event["time_us"], event["sequence"]) + bytes.fromhex(event["records"])
    data += command(event) + text(event["name"])
    data += struct.pack("<HBHI", event["version"], event["content"], event["flags"], len(event["tags"]))
    data += b"".join(text(tag) for tag in event["tags"]) + text(base64.b64decode(event["payload_base64"]))
    return blake3(data)


def records(commands):
    """The hash over a commit's command records, for whoever has an export: `events` is how many events each has."""
    data = b"\3" + struct.pack("<I", len(commands))
    for of in commands:
        fingerprint = of.get("fingerprint")
        data += command(of) + (b"\1" + bytes.fromhex(fingerprint) if fingerprint else b"\0")
        data += text(of["reply"]) + struct.pack("<QI", of["first_sequence"], of["events"])
    return blake3(data)


def root(hash_, number, size, path):
    """RFC 6962, section 2.1.1, from the leaf up."""
    sides, first, end = [], 0, size
    while end - first > 1:
        middle = first + (1 << (end - first - 1).bit_length() - 1)
        sides.append("right" if number < middle else "left")
        first, end = (first, middle) if number < middle else (middle, end)
    if not 0 <= number < size or len(sides) != len(path):
        raise ValueError("the path does not lead from this event to a root over so many")
    for side, sibling in zip(reversed(sides), path):
        hash_ = blake3(b"\1" + (sibling + hash_ if side == "left" else hash_ + sibling))
    return hash_


def check(proof, known):
    if proof.get("format") != "headwater-proof" or proof.get("version") != 1:
        raise ValueError("this is no proof of version 1")
    event, path = proof["event"], [bytes.fromhex(sibling) for sibling in proof["path"]]
    found = root(leaf(event), event["position"] - 1, proof["events"], path)
    if found.hex() != known.split(":")[0].lower():
        raise ValueError(f"the event and its path lead to {found.hex()}")
    return event


def main(arguments):
    if len(arguments) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        with open(arguments[0], encoding="utf-8") as file:
            event = check(json.load(file), arguments[1])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        print(f"NOT PROVED: {error}", file=sys.stderr)
        return 1
    print(f"proved: {event['type']}/{event['id']} #{event['sequence']} {event['name']} is covered by this root")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

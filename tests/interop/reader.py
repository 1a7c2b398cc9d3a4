#!/usr/bin/python3
"""Reads a whole vault with nothing of Coffer's: the proof of its documents, and the user's way out.

    reader.py --token TOKEN --key-file F --out DIR
    reader.py --server HOST:PORT --ca F --certificate F --certificate-key F [--vault NAME] --key-file F --out DIR

--passphrase-file F or --recovery-key TEXT in place of --key-file. Enrols with a token (the certificate it gets is kept
in DIR.identity), takes the vault's log, checks its chain and the server's receipt, opens every commit, downloads every
chunk that a file needs, checks it against its id, and writes the files out with modes and times.

Debian 12: python3, python3-cryptography, python3-protobuf, python3-zstandard, protobuf-compiler.
"""
import argparse
import hashlib
import os
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import keys
import wire
from seal import Opener
from tree import Tree


def enroll(pb, token_text, folder):
    token = wire.Token(token_text)
    look = wire.Connection(pb, token.host, token.port, wire.unverified())
    chain = [c.public_bytes(2) for c in look.tls._sslobj.get_unverified_chain()]  # 2: DER; ssl has no public call for this in 3.11
    look.close()
    pinned = [c for c in chain if hashlib.sha256(c).digest() == token.ca_pin]
    if not pinned:
        raise SystemExit('the server does not have the CA that the token names')
    os.makedirs(folder, mode=0o700, exist_ok=True)
    ca, certificate, key = (os.path.join(folder, name) for name in ('ca.pem', 'client.pem', 'client.key'))
    with open(ca, 'wb') as file:
        file.write(x509.load_der_x509_certificate(pinned[0]).public_bytes(serialization.Encoding.PEM))

    # The secret goes out on a connection whose server proves that this CA signed its certificate.
    key_pem, csr = wire.make_key_and_csr()
    connection = wire.Connection(pb, token.host, token.port, wire.mutual(ca, None, None))
    done, _ = connection.ask(wire.ENROLL, pb.Enroll(secret=token.secret, csr=csr, program='reader.py'), pb.EnrollDone)
    connection.close()
    for path, content in ((certificate, done.certificate), (key, key_pem)):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'wb') as file:
            file.write(content)
    return token.host, token.port, ca, certificate, key, done.vault.id


def read_commits(connection, pb, vault, head_seq, receipt_key):
    """Yields (what the seal binds, payload) of every commit, after checking the hash chain and the receipt of the head."""
    seq, previous = 0, bytes(32)
    while seq < head_seq:
        page, body = connection.ask(wire.GET_COMMITS, pb.GetCommits(from_seq=seq + 1, bytes_max=4 << 20), pb.GetCommitsDone)
        if not page.commit_bytes:
            raise SystemExit(f'the log ends at {seq}, before its head {head_seq}')
        at = 0
        for length in page.commit_bytes:
            commit, at = body[at:at + length], at + length
            magic, of_vault, number, before, epoch, added, released, payload_bytes, zero = struct.unpack_from('<8s16sQ32sQIIII', commit)
            if magic != b'CFRCMT01' or of_vault != vault or number != seq + 1 or before != previous or zero != 0:
                raise SystemExit(f'commit {seq + 1} does not continue the log')
            payload_at = 88 + 32 * (added + released)
            if len(commit) != payload_at + payload_bytes:
                raise SystemExit(f'commit {seq + 1} has a wrong length')
            seq, previous = number, hashlib.sha256(commit).digest()
            ids, cut = commit[88:payload_at], 32 * added
            yield (seq, before, epoch, ids[:cut], ids[cut:]), commit[payload_at:]
    if seq > 0:
        receipt = page.head_receipt
        Ed25519PublicKey.from_public_bytes(receipt_key).verify(receipt[80:], receipt[:80])
        if receipt[:24] != b'CFRRCP01' + vault or (receipt[24:32] == struct.pack('<Q', seq) and receipt[32:64] != previous):
            raise SystemExit('the receipt names another commit')


def open_vault(connection, pb, args, vault):
    if args.key_file:
        kind, secret = keys.KEY_FILE, keys.read_key_file(args.key_file)
    elif args.recovery_key:
        kind, secret = keys.RECOVERY, keys.parse_recovery_key(args.recovery_key)
    else:
        with open(args.passphrase_file, 'rb') as file:
            kind, secret = keys.PASSPHRASE, file.read().rstrip(b'\r\n')
    slots, _ = connection.ask(wire.GET_KEY_SLOTS, pb.GetKeySlots(), pb.GetKeySlotsDone)
    tried = None
    for slot in slots.slots:
        try:
            key = keys.open_slot(slot.slot, kind, secret, vault)
        except keys.BadKey as bad:
            tried = bad
            continue
        if key is not None:
            return Opener(key, vault)
    raise SystemExit(f'no key slot opens with this: {tried or "none of this kind"}')


def main():
    parser = argparse.ArgumentParser()
    for name in ('token', 'server', 'ca', 'certificate', 'certificate-key', 'vault', 'key-file', 'passphrase-file', 'recovery-key'):
        parser.add_argument(f'--{name}')
    parser.add_argument('--out', required=True)
    args = parser.parse_args()

    pb, tree_pb = wire.load_messages()
    vault = None
    if args.token:
        host, port, ca, certificate, key, vault = enroll(pb, args.token, args.out.rstrip('/') + '.identity')
    else:
        host, _, port = args.server.rpartition(':')
        ca, certificate, key = args.ca, args.certificate, args.certificate_key

    def connect(vault_id):
        connection = wire.Connection(pb, host, int(port), wire.mutual(ca, certificate, key))
        done, _ = connection.ask(wire.HELLO, pb.Hello(version_min=1, version_max=1, vault=vault_id, program='reader.py'), pb.HelloDone)
        return connection, done

    if vault is None:
        connection, done = connect(b'')
        connection.close()
        named = [v for v in done.vaults if args.vault in (None, v.name)]
        if len(named) != 1:
            raise SystemExit('name one of these with --vault: ' + ', '.join(v.name for v in done.vaults))
        vault = named[0].id
    connection, done = connect(vault)
    head = [v for v in done.vaults if v.id == vault][0]
    opener = open_vault(connection, pb, args, vault)

    tree = Tree()
    for bound, payload in read_commits(connection, pb, vault, head.head_seq, done.receipt_key):
        tree.apply(tree_pb.TreeOps.FromString(opener.payload(payload, bound)))

    def chunk(chunk_id):
        _, sealed = connection.ask(wire.GET_CHUNK, pb.GetChunk(id=chunk_id), pb.GetChunkDone)
        if hashlib.sha256(sealed).digest() != chunk_id:
            raise SystemExit(f'chunk {chunk_id.hex()} came back damaged')
        return opener.chunk(sealed)

    files, content_bytes = tree.write_out(args.out, chunk)
    print(f'{head.name}: {head.head_seq} commits, {files} files, {content_bytes} bytes')
    return 0


if __name__ == '__main__':
    sys.exit(main())

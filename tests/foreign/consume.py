"""Reads enriched.queries as somebody would who has our .avsc files and nothing else of ours.

Arguments: bootstrap servers, schema file, number of records to wait for, registry URL or "-".
Prints one JSON line per record: its partition and the whole row, bytes in hex and times in microseconds since the epoch.
"""

import io
import json
import struct
import sys
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import fastavro
from confluent_kafka import Consumer

bootstrap, schema_file, wanted, registry = sys.argv[1:]
schema = fastavro.parse_schema(json.load(open(schema_file)))
canonical = fastavro.schema.to_parsing_canonical_form(schema)
fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
by_id = {}


def writer_schema(schema_id):
    if schema_id not in by_id:
        with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}", timeout=10) as answer:
            by_id[schema_id] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
    return by_id[schema_id]


def decode(value):
    if value[:2] == b"\xc3\x01":
        assert registry == "-", "a value without the registry's frame"
        assert value[2:10] in (fingerprint, fingerprint[::-1]), "a schema that is not in the file"
        datum, writer = io.BytesIO(value[10:]), schema
    else:
        assert value[0] == 0 and registry != "-", "a frame that is not known"
        (schema_id,) = struct.unpack(">I", value[1:5])
        datum, writer = io.BytesIO(value[5:]), writer_schema(schema_id)
    row = fastavro.schemaless_reader(datum, writer, schema)
    assert not datum.read(), "bytes after the value"
    return row


def plain(value):
    """What JSON has no word for."""
    return value.hex() if isinstance(value, bytes) else (value - epoch) // timedelta(microseconds=1)


consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "somebody-else",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
)
consumer.subscribe(["dbintel.enriched.queries"])
read, deadline = 0, time.monotonic() + 60
while read < int(wanted) and time.monotonic() < deadline:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    row = decode(message.value())
    assert message.key() == row["target"].encode()
    print(json.dumps({"partition": message.partition(), "row": row}, default=plain))
    read += 1
consumer.close()
sys.exit(0 if read == int(wanted) else f"{read} of {wanted} records came")

"""Reads enriched.queries as somebody would who has our .avsc files and nothing else of ours.

Arguments: bootstrap servers, schema file, number of records to wait for, registry URL or "-".
Prints one JSON line per record: origin_offset, partition, calls of the delta.
"""

import io
import json
import struct
import sys
import time
import urllib.request

import fastavro
from confluent_kafka import Consumer

bootstrap, schema_file, wanted, registry = sys.argv[1:]
schema = fastavro.parse_schema(json.load(open(schema_file)))
canonical = fastavro.schema.to_parsing_canonical_form(schema)
fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
by_id = {}


def writer_schema(schema_id):
    if schema_id not in by_id:
        with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}") as answer:
            by_id[schema_id] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
    return by_id[schema_id]


def decode(value):
    if value[:2] == b"\xc3\x01":
        assert registry == "-", "a value without the registry's frame"
        assert value[2:10] in (fingerprint, fingerprint[::-1]), "a schema that is not in the file"
        return fastavro.schemaless_reader(io.BytesIO(value[10:]), schema)
    assert value[0] == 0 and registry != "-", "a frame that is not known"
    (schema_id,) = struct.unpack(">I", value[1:5])
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), writer_schema(schema_id), schema)


consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "somebody-else",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
)
consumer.subscribe(["dbintel.enriched.queries"])
read, deadline = 0, time.time() + 60
while read < int(wanted) and time.time() < deadline:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    row = decode(message.value())
    assert message.key() == row["target"].encode()
    line = {"partition": message.partition(), "origin_offset": row["origin_offset"], "calls": row["delta"]["calls"]}
    print(json.dumps(line))
    read += 1
consumer.close()
sys.exit(0 if read == int(wanted) else 1)

"""Puts values on a partition as somebody would who may write to the topic and knows nothing of us.

Arguments: bootstrap servers, topic, partition, timestamp in ms, files with a value each.
Prints the offset of each value.
"""

import sys

from confluent_kafka import Producer

bootstrap, topic, partition, timestamp, *files = sys.argv[1:]
producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        # The broker measures what is left after compression.
        "compression.type": "lz4",
        "message.max.bytes": 8 * 1024 * 1024,
    }
)


def delivered(error, message):
    assert error is None, error
    print(message.offset())


for name in files:
    with open(name, "rb") as file:
        value = file.read()
    producer.produce(topic, value, partition=int(partition), timestamp=int(timestamp), on_delivery=delivered)
sys.exit(producer.flush(60))

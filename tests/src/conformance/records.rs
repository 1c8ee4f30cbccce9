//! What is written is what is read.

use dbintel_bus::{CommitError, NewTopic, Outgoing, Retention, SendError, Start};

use super::client::{Client, producer, publish, read_all, settled, text, texts};
use super::{BusUnderTest, LIMIT, Names};

const MANY: usize = 5_000;
const MEBIBYTE: usize = 1 << 20;

pub(super) fn order(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "order", 2);
    let producer = producer(bus);
    for number in 0..MANY {
        let partition = u32::try_from(number % 2).unwrap_or_default();
        producer.send(text(&topic, partition, &number.to_string())).expect("a record is taken");
    }
    producer.flush(LIMIT).expect("records become durable");
    assert_eq!(producer.outstanding(), 0);
    for partition in 0..2_u32 {
        let inbox = read_all(bus, &topic, partition, Start::Beginning);
        let numbers: Vec<usize> = inbox.texts().iter().map(|text| text.parse().expect("a number")).collect();
        let expected: Vec<usize> = (partition as usize..MANY).step_by(2).collect();
        assert_eq!(numbers, expected, "partition {partition}");
        assert!(inbox.records.is_sorted_by(|a, b| a.offset < b.offset), "offsets grow");
        let middle = &inbox.records[MANY / 4];
        let again = read_all(bus, &topic, partition, Start::Offset(middle.offset));
        assert_eq!(again.records[0], *middle, "an offset names the same record again");
        let next_offset = inbox.ends[0].2;
        assert!(next_offset > inbox.records.last().expect("records").offset);
    }
}

pub(super) fn content(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "content", 1);
    let binary = [0_u8, 255, 10, 13, 0];
    type Row<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);
    let rows: [Row<'_>; 6] = [
        (1_700_000_000_000, Some(b"key"), Some(b"value")),
        (1_700_000_000_001, Some(b"key"), None),
        (1_600_000_000_000, None, Some(b"no key, and older")),
        (1_700_000_000_002, Some(b""), Some(b"")),
        (1_700_000_000_003, Some(&binary), Some(&binary)),
        (1_700_000_000_004, None, None),
    ];
    let producer = producer(bus);
    for (timestamp, key, value) in rows {
        let record = Outgoing { topic: &topic, partition: 0, timestamp, key, value, headers: &[] };
        producer.send(record).expect("a record is taken");
    }
    producer.flush(LIMIT).expect("records become durable");
    let inbox = read_all(bus, &topic, 0, Start::Beginning);
    let read: Vec<Row<'_>> =
        inbox.records.iter().map(|seen| (seen.timestamp, seen.key.as_deref(), seen.value.as_deref())).collect();
    assert_eq!(read, rows);
}

pub(super) fn headers(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "headers", 1);
    let headers: [(&str, &[u8]); 2] = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-01"), ("empty", b"")];
    let producer = producer(bus);
    producer.send(Outgoing { headers: &headers, ..text(&topic, 0, "with") }).expect("a record is taken");
    producer.send(text(&topic, 0, "without")).expect("a record is taken");
    producer.flush(LIMIT).expect("records become durable");
    assert_eq!(texts(bus, &topic, 0), ["with", "without"]);
}

pub(super) fn large_values(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 1), names.topic(bus, "output", 1));
    // Noise, so that compression does not make it small.
    let mut noise = vec![0_u8; MEBIBYTE];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in &mut noise {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = state.to_le_bytes()[7];
    }
    let record = |number: i64| Outgoing { value: Some(&noise), timestamp: number, ..text(&output, 0, "") };
    let producer = producer(bus);
    producer.send(record(1)).expect("a record is taken");
    producer.flush(LIMIT).expect("records become durable");
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&input]);
    for number in 2..6 {
        client.member.send(record(number)).expect("a record is taken");
    }
    client.member.commit(&[]).expect("a commit");
    settled(bus, &output, 0);
    let inbox = read_all(bus, &output, 0, Start::Beginning);
    assert_eq!(inbox.records.iter().map(|seen| seen.timestamp).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(inbox.records.iter().all(|seen| seen.value.as_ref() == Some(&noise)));
}

pub(super) fn too_large(bus: &dyn BusUnderTest, names: &Names) {
    let input = names.topic(bus, "input", 1);
    let output = names.name("output");
    let limited =
        NewTopic { name: output.clone(), partitions: 1, retention: Retention::Unlimited, message_bytes_max: 10_000 };
    bus.bus().create_topics(&[limited]).expect("a topic is created");
    publish(bus, &input, 0, &["one"]);
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&input]);
    client.member.send(text(&output, 0, "goes down with it")).expect("a record is taken");
    // Random enough not to be compressed below the limit.
    let large: String = (0..20_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
    match client.member.send(text(&output, 0, &large)) {
        Err(SendError::TooLarge { bytes }) => {
            assert!(bytes > 10_000);
            client.member.abort().expect("an abort");
        }
        Ok(()) => {
            let refused = client.member.commit(&[]).expect_err("the record is too large");
            assert!(matches!(&refused, CommitError::TooLarge { topic, .. } if *topic == output), "{refused}");
        }
        Err(other) => panic!("another error: {other}"),
    }
    client.member.send(text(&output, 0, "small")).expect("a record is taken");
    client.member.commit(&[]).expect("the next transaction is a good one");
    assert_eq!(texts(bus, &output, 0), ["small"]);
}

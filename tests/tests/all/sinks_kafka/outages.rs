//! The broker and the registry go away and come back; transactions that are aborted.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::registry;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::EnrichedQuery;
use dbintel_schemas::wire::{Framing, write};
use dbintel_schemas::{Record as _, Topic, partition};
use dbintel_tests::otlp_peer::Answer;
use dbintel_tests::servers::registry::Registry;
use dbintel_tests::wait;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::scene::{PARTITIONS, Scene, later, queries, wait_until_ready};
use crate::engine::send_raw;
use crate::sinks_rig::{LIMIT, query, stop};

#[test]
fn a_broker_that_is_restarted_in_the_middle_of_a_delivery_is_waited_for() {
    let mut scene = Scene::new("otlp/restarted");
    let sink = scene.start("a");
    scene.rig.publish(0..50);
    scene.delivered(50);
    scene.peer.answer_always(later());
    scene.rig.publish(50..100);
    wait::blocking(LIMIT, "open rows", || (sink.metrics().open.get() > 0).then_some(()));
    scene.kafka.restart();
    scene.peer.answer_always(Answer::Ok);
    scene.rig.publish(100..150);
    scene.delivered(150);
    scene.assert_all_accepted(150);
    wait_until_ready(&sink);
    stop(sink);
}

#[test]
fn while_the_registry_is_away_no_row_is_called_undecodable() {
    let (mut server, mut scene) = (Registry::start(), Scene::new("otlp/registry"));
    let id = server.register("dbintel.enriched.queries-value", EnrichedQuery::SCHEMA);
    let config = registry::Config {
        url: server.url.clone(),
        username: String::new(),
        password: String::new(),
        ca_file: None,
        timeout: Duration::from_secs(1),
    };
    scene.rig.schema_registry = Some(Arc::new(registry::Registry::new(&config).unwrap()));
    server.process.sigstop();
    let sink = scene.start("a");
    let producer = scene.rig.bus.producer().unwrap();
    for number in 0..20 {
        let (target, query_id) = (format!("t{}", number % 8), number.to_string());
        let mut value = Vec::new();
        write(&query(&target, &query_id, 1, 10), Framing::Confluent { schema_id: id }, &mut value);
        send_raw(&*producer, Topic::EnrichedQueries, partition::partition_of(&target, PARTITIONS), &value);
    }
    wait::blocking(LIMIT, "the end of readiness", || (!sink.ready()).then_some(()));
    assert!(sink.metrics().lag.get() > 0.0);
    assert_eq!((scene.passed().len(), sink.metrics().undecodable.get()), (0, 0));
    server.process.sigcont();
    scene.delivered(20);
    scene.assert_all_accepted(20);
    assert_eq!(sink.metrics().undecodable.get(), 0);
    wait_until_ready(&sink);
    stop(sink);
}

#[test]
fn rows_of_an_aborted_transaction_are_never_delivered_and_positions_pass_them() {
    let scene = Scene::new("otlp/aborted");
    let sink = scene.start("a");
    scene.rig.publish(0..20);
    let begun = scene.ends();
    let aborted = abort_rows(&scene, 1000..1020);
    scene.rig.publish(20..40);
    scene.delivered(40);
    scene.assert_all_accepted(40);
    let aborted_rows: i64 = aborted.iter().zip(&begun).map(|(end, begun)| end - begun).sum();
    assert_eq!(aborted_rows, 20);
    assert!(scene.positions().iter().all(|(partition, next)| *next >= aborted[*partition as usize]), "{aborted:?}");
    stop(sink);
}

/// Writes rows and takes them back; gives the ends of the partitions after the rows.
fn abort_rows(scene: &Scene, numbers: std::ops::Range<usize>) -> Vec<i64> {
    let mut config = scene.kafka.client();
    config.set("transactional.id", format!("test-{:x?}", hash128(&[scene.id.as_bytes()])));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    for number in numbers {
        let (target, query_id) = (format!("t{}", number % 8), number.to_string());
        let mut value = Vec::new();
        write(&query(&target, &query_id, 1, 10), Framing::SingleObject, &mut value);
        let partition = i32::try_from(partition::partition_of(&target, PARTITIONS)).unwrap();
        let topic = queries();
        let record = BaseRecord::to(&topic).partition(partition).key(target.as_str()).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let end = |partition| scene.rig.bus.offsets(&queries(), partition).unwrap().end;
    let ends = (0..PARTITIONS).map(end).collect();
    producer.abort_transaction(LIMIT).unwrap();
    ends
}

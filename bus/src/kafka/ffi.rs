//! What the `rdkafka` crate has no call for, straight from librdkafka. All unsafe code of dbintel is in this file.
//!
//! - The events of a client's queue, one by one. The crate's own polls lose the topic of an end-of-partition event, wait
//!   for the whole time-out on a producer, and leave the queues of admin clients unserved.
//! - The generation of a consumer: the crate hides it, and a commit without one is not fenced.
//! - `send_offsets_to_transaction` with that generation, and a flush that overrides the linger time.
//! - Whether a client has a broker, and naming brokers to one that has none.
//!
//! What makes it sound: a [`Pump`] owns its client and drops its queue before it; what an [`Event`] borrows lives as long as
//! the event, which is destroyed after the handler returns; librdkafka's handles may be used from any thread.
#![allow(unsafe_code, reason = "calls into librdkafka")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, OAuthToken};
use rdkafka::types::{
    RDKafka, RDKafkaConsumerGroupMetadata, RDKafkaErrorCode as Code, RDKafkaEvent, RDKafkaMessage, RDKafkaQueue,
    RDKafkaRespErr,
};
use rdkafka_sys as sys;

use super::client::Context;
use super::failure::Failure;

/// A kind of client: consumer, producer, admin.
pub trait Handle {
    /// The client inside.
    fn client(&self) -> &Client<Context>;
}

/// What a queue brings.
pub enum Event<'e> {
    /// A record.
    Record(Fetched<'e>),
    /// There is no further record for now.
    End { topic: String, partition: i32, next_offset: i64 },
    /// The group gave these partitions; fetching waits for `assign`.
    Assigned(Vec<(String, i32)>),
    /// The group takes all partitions back; it waits for `unassign`.
    Revoked,
    /// Records that were acknowledged or refused.
    Delivered(Deliveries<'e>),
    /// Something went wrong; librdkafka goes on unless `fatal`.
    Failed { code: Code, fatal: bool, place: Option<(String, i32)>, reason: String },
    /// A log line.
    Log { level: i32, facility: String, text: String },
    /// The client needs a bearer token.
    TokenWanted,
    /// Nothing for us.
    Other,
}

/// A record from a consumer's queue.
pub struct Fetched<'e> {
    /// Name of the topic.
    pub topic: &'e [u8],
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp in ms since the epoch.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'e [u8]>,
    /// Value.
    pub value: Option<&'e [u8]>,
}

/// A record that was acknowledged or refused.
pub struct Delivery<'e> {
    /// The record; its offset is negative if it is not known.
    pub record: Fetched<'e>,
    /// Why it was refused.
    pub error: Option<Code>,
    message: &'e RDKafkaMessage,
}

/// The records of one delivery report.
pub struct Deliveries<'e> {
    event: *mut RDKafkaEvent,
    lifetime: PhantomData<&'e RDKafkaEvent>,
}

impl<'e> Iterator for Deliveries<'e> {
    type Item = Delivery<'e>;

    fn next(&mut self) -> Option<Delivery<'e>> {
        // SAFETY: the event is alive during 'e; the messages belong to it.
        let message: &'e RDKafkaMessage = unsafe { sys::rd_kafka_event_message_next(self.event).as_ref()? };
        let error = (message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| message.err.into());
        // SAFETY: as above.
        Some(Delivery { record: unsafe { fetched(message) }, error, message })
    }
}

impl Delivery<'_> {
    /// Copies of its headers.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; what is returned belongs to it.
        let status = unsafe { sys::rd_kafka_message_headers(self.message, &mut headers) };
        if status != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Vec::new();
        }
        let mut copies = Vec::new();
        loop {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: out pointers of the right types; an index past the end is answered with an error.
            let status =
                unsafe { sys::rd_kafka_header_get_all(headers, copies.len(), &mut name, &mut value, &mut size) };
            if status != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return copies;
            }
            // SAFETY: a NUL-terminated name and `size` bytes of value, owned by the message.
            copies.push(unsafe { (text(name), bytes(value.cast(), size).unwrap_or_default().to_vec()) });
        }
    }
}

/// A client with the queue that brings its events.
pub struct Pump<T> {
    // INVARIANT: stands before the client, so that it is dropped first.
    queue: Queue,
    client: T,
}

struct Queue(NonNull<RDKafkaQueue>);

// SAFETY: queues are locked inside librdkafka and may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference that rd_kafka_queue_get_… gave us, given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

impl<T: Handle> Pump<T> {
    /// With the queue of a consumer that has a group, else with the client's main queue.
    pub fn new(client: T) -> Option<Pump<T>> {
        // SAFETY: the client is alive; what is returned is ours to destroy.
        let queue = unsafe {
            let native = client.client().native_ptr();
            NonNull::new(sys::rd_kafka_queue_get_consumer(native))
                .or_else(|| NonNull::new(sys::rd_kafka_queue_get_main(native)))
        };
        Some(Pump { queue: Queue(queue?), client })
    }

    /// The client.
    pub fn client(&self) -> &T {
        &self.client
    }

    /// Waits for an event and gives it to `handle`; false if none came.
    pub fn next(&self, wait: Duration, handle: impl FnOnce(Event<'_>)) -> bool {
        // SAFETY: the queue is alive.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue.0.as_ptr(), milliseconds(wait)) };
        let Some(event) = NonNull::new(event).map(OwnedEvent) else {
            self.look_for_brokers();
            return false;
        };
        // SAFETY: the event lives until the end of this function, the handler's borrow does not.
        handle(unsafe { read(event.0.as_ptr()) });
        true
    }

    /// Waits until nothing is outstanding, sending at once what lingers. The deliveries have to be pumped besides.
    pub fn flush(&self, wait: Duration) {
        // SAFETY: the client is alive. The result says whether something is outstanding, which callers ask for anyway.
        let _ = unsafe { sys::rd_kafka_flush(self.native(), milliseconds(wait)) };
    }

    /// The consumer's place in its group; none if it has none right now.
    pub fn membership(&self) -> Option<Membership> {
        // SAFETY: the client is alive; the result is ours to destroy.
        let metadata = NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(self.native()) })?;
        let membership = Membership(metadata);
        let nameless = {
            // SAFETY: a NUL-terminated string that belongs to the metadata.
            let member = unsafe { CStr::from_ptr(sys::rd_kafka_consumer_group_metadata_member_id(metadata.as_ptr())) };
            member.is_empty()
        };
        (membership.generation() >= 0 && !nameless).then_some(membership)
    }

    /// Adds positions to the open transaction. librdkafka may ignore the time-out.
    pub fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        membership: &Membership,
        wait: Duration,
    ) -> Result<(), Failure> {
        // SAFETY: all pointers are alive during the call, which copies what it keeps.
        let error = unsafe {
            sys::rd_kafka_send_offsets_to_transaction(
                self.native(),
                offsets.ptr(),
                membership.0.as_ptr(),
                milliseconds(wait),
            )
        };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: an error that is ours, read and then destroyed.
        Err(unsafe {
            let failure = Failure {
                code: sys::rd_kafka_error_code(error).into(),
                message: text(sys::rd_kafka_error_string(error)),
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            failure
        })
    }

    /// Whether some broker is connected, or will be within the wait.
    pub fn has_broker(&self, wait: Duration) -> bool {
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; no topic is named; what is returned is ours to destroy.
        let status = unsafe {
            let status = sys::rd_kafka_metadata(self.native(), 0, ptr::null_mut(), &mut metadata, milliseconds(wait));
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            status
        };
        status != RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT
    }

    /// Names brokers, as bootstrap servers are named.
    pub fn add_brokers(&self, servers: &CStr) {
        // SAFETY: the client is alive, and the string during the call, which copies it.
        unsafe { sys::rd_kafka_brokers_add(self.native(), servers.as_ptr()) };
    }

    /// Answers [`Event::TokenWanted`].
    pub fn set_token(&self, token: Result<OAuthToken, String>) -> Result<(), String> {
        let set = token.and_then(|token| self.try_set_token(&token));
        if let Err(reason) = &set {
            let reason = CString::new(reason.replace('\0', " ")).unwrap_or_default();
            // SAFETY: the string is alive during the call, which copies it.
            unsafe { sys::rd_kafka_oauthbearer_set_token_failure(self.native(), reason.as_ptr()) };
        }
        set
    }

    fn try_set_token(&self, token: &OAuthToken) -> Result<(), String> {
        let value = CString::new(token.token.as_str()).map_err(|_| "the token holds a NUL".to_owned())?;
        let principal = CString::new(token.principal_name.as_str()).map_err(|_| "the name holds a NUL".to_owned())?;
        let mut reason = [0; 512];
        // SAFETY: all pointers are alive during the call, which copies what it keeps; the reason's size is given.
        let status = unsafe {
            sys::rd_kafka_oauthbearer_set_token(
                self.native(),
                value.as_ptr(),
                token.lifetime_ms,
                principal.as_ptr(),
                ptr::null_mut(),
                0,
                reason.as_mut_ptr(),
                reason.len(),
            )
        };
        if status == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        // SAFETY: librdkafka ends the reason with a NUL inside the buffer.
        Err(unsafe { text(reason.as_ptr()) })
    }

    fn native(&self) -> *mut RDKafka {
        self.client.client().native_ptr()
    }
}

/// A consumer's place in its group at some moment: what a commit is fenced by.
pub struct Membership(NonNull<RDKafkaConsumerGroupMetadata>);

// SAFETY: an owned value that librdkafka does not touch any more.
unsafe impl Send for Membership {}
// SAFETY: it is only read.
unsafe impl Sync for Membership {}

impl Membership {
    /// Generation of the group.
    pub fn generation(&self) -> i32 {
        // SAFETY: alive as long as self.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

struct OwnedEvent(NonNull<RDKafkaEvent>);

impl Drop for OwnedEvent {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// SAFETY: the event has to be alive during 'e.
unsafe fn read<'e>(event: *mut RDKafkaEvent) -> Event<'e> {
    // SAFETY: by the caller; each reader below is called for the type of event that it is made for.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_FETCH => match sys::rd_kafka_event_message_next(event).as_ref() {
                Some(message) => Event::Record(fetched(message)),
                None => Event::Other,
            },
            sys::RD_KAFKA_EVENT_DR => Event::Delivered(Deliveries { event, lifetime: PhantomData }),
            sys::RD_KAFKA_EVENT_ERROR => failed(event),
            sys::RD_KAFKA_EVENT_REBALANCE => rebalance(event),
            sys::RD_KAFKA_EVENT_LOG => log(event),
            sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH => Event::TokenWanted,
            _ => Event::Other,
        }
    }
}

/// SAFETY: the message and its event have to be alive during 'e.
unsafe fn fetched<'e>(message: &'e RDKafkaMessage) -> Fetched<'e> {
    // SAFETY: by the caller; key and payload have the lengths that stand beside them, the topic is alive with the message.
    unsafe {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        Fetched {
            topic: CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt)).to_bytes(),
            partition: message.partition,
            offset: message.offset,
            timestamp: sys::rd_kafka_message_timestamp(message, &mut kind),
            key: bytes(message.key.cast(), message.key_len),
            value: bytes(message.payload.cast(), message.len),
        }
    }
}

/// SAFETY: an error event that is alive.
unsafe fn failed<'e>(event: *mut RDKafkaEvent) -> Event<'e> {
    // SAFETY: by the caller; the partition is a copy that is ours to destroy.
    unsafe {
        let code = Code::from(sys::rd_kafka_event_error(event));
        let place = NonNull::new(sys::rd_kafka_event_topic_partition(event)).map(|place| {
            let copy = place.as_ref();
            let found = (text(copy.topic), copy.partition, copy.offset);
            sys::rd_kafka_topic_partition_destroy(place.as_ptr());
            found
        });
        match (code, place) {
            (Code::PartitionEOF, Some((topic, partition, next_offset))) => Event::End { topic, partition, next_offset },
            (code, place) => Event::Failed {
                code,
                fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                place: place.map(|(topic, partition, _)| (topic, partition)),
                reason: text(sys::rd_kafka_event_error_string(event)),
            },
        }
    }
}

/// SAFETY: a rebalance event that is alive.
unsafe fn rebalance<'e>(event: *mut RDKafkaEvent) -> Event<'e> {
    // SAFETY: by the caller; the list belongs to the event and holds `cnt` elements.
    unsafe {
        if sys::rd_kafka_event_error(event) != RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            return Event::Revoked;
        }
        let mut partitions = Vec::new();
        if let Some(list) = sys::rd_kafka_event_topic_partition_list(event).as_ref() {
            for index in 0..usize::try_from(list.cnt).unwrap_or(0) {
                let element = &*list.elems.add(index);
                partitions.push((text(element.topic), element.partition));
            }
        }
        Event::Assigned(partitions)
    }
}

/// SAFETY: a log event that is alive.
unsafe fn log<'e>(event: *mut RDKafkaEvent) -> Event<'e> {
    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: by the caller; out pointers of the right types.
    unsafe {
        if sys::rd_kafka_event_log(event, &mut facility, &mut line, &mut level) != 0 {
            return Event::Other;
        }
        Event::Log { level, facility: text(facility), text: text(line) }
    }
}

/// SAFETY: null, or a NUL-terminated string that is alive.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// SAFETY: null, or `length` bytes that are alive during 'e.
unsafe fn bytes<'e>(start: *const u8, length: usize) -> Option<&'e [u8]> {
    // SAFETY: by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}

/// Whole milliseconds, rounded up, so that a short wait does not become none.
fn milliseconds(wait: Duration) -> c_int {
    c_int::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
}

//! The transactional producer of a member.
//!
//! A transaction begins with its first record. A commit waits until every record is acknowledged, adds the input positions
//! under the member's generation, and ends the transaction. What librdkafka says about an error decides what follows: the
//! same call again, an abort, or a new producer with the same transactional id, which completes or aborts what the old one
//! left. When the answer to the end itself is lost, the caller has to look at the log: see [`Stopped::Unknown`].

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{self, Context};
use super::clock::Deadline;
use super::failure::{Failure, fenced, producer_fenced, way_out};
use super::ffi::{Delivery, Event, Membership, Pump};
use super::partitions::{committed_list, native, number};
use super::producer::{headers, size};
use super::retire::Retiring;
use super::settings::Settings;
use crate::{BusError, CommitError, Committed, Outgoing, Receipt, SendError};

/// How long a new producer may take to complete or abort what its predecessor left.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long positions may take to be added to the transaction.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// librdkafka may ignore a time-out (its issues 5456 and 5511): the call is given up this much later.
const GIVE_UP_SLACK: Duration = Duration::from_secs(3);
/// How long an abort may take before the producer is given up.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at what has been delivered while a transaction is aborted: a call that ends sooner than librdkafka's
/// own threads can answer spoils the producer.
const ABORT_STEP: Duration = Duration::from_millis(20);
/// Between two looks at what has been delivered.
const STEP: Duration = Duration::from_millis(1);

type Client = Arc<Retiring<Pump<BaseProducer<Context>>>>;

/// The producer of one transactional id.
pub struct Transactions {
    settings: Arc<Settings>,
    id: String,
    changelog: Option<String>,
    client: Option<Client>,
    open: bool,
    tally: Tally,
}

/// A commit that did not succeed, or may have.
#[derive(Debug)]
pub enum Stopped {
    /// Nothing is visible.
    Refused(CommitError),
    /// The end of the transaction was sent and not answered.
    Unknown {
        /// What librdkafka says.
        reason: String,
        /// Somebody else uses the transactional id; whatever was open has ended.
        taken_over: bool,
        /// A record of the transaction: if readers see it, the commit succeeded.
        witness: Option<Witness>,
        /// What the commit made visible, if it did.
        receipt: Receipt,
    },
}

/// A record of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Full name of the topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: i64,
}

/// What became of the records of the open transaction.
#[derive(Debug, Default)]
struct Tally {
    refused: Option<(String, Code)>,
    ends: BTreeMap<u32, i64>,
    witness: Option<Witness>,
}

impl Tally {
    fn note(&mut self, delivery: &Delivery<'_>, changelog: Option<&[u8]>) {
        let record = &delivery.record;
        let error = match delivery.error {
            None if record.offset < 0 => Some(Code::NoOffset),
            error => error,
        };
        match (error, number(record.partition)) {
            (Some(Code::PurgeQueue | Code::PurgeInflight), _) => {}
            (Some(code), _) => self.refuse(&String::from_utf8_lossy(record.topic), code),
            (None, Some(partition)) => {
                if changelog == Some(record.topic) {
                    let end = self.ends.entry(partition).or_default();
                    *end = record.offset.saturating_add(1).max(*end);
                }
                if self.witness.is_none() {
                    let topic = String::from_utf8_lossy(record.topic).into_owned();
                    self.witness = Some(Witness { topic, partition, offset: record.offset });
                }
            }
            (None, None) => {}
        }
    }

    fn refuse(&mut self, topic: &str, code: Code) {
        if self.refused.is_none() {
            self.refused = Some((topic.to_owned(), code));
        }
    }

    fn receipt(&self) -> Receipt {
        Receipt { changelog_ends: self.ends.iter().map(|(&partition, &end)| (partition, end)).collect() }
    }
}

impl Transactions {
    /// Takes over the transactional id: an open transaction of its last holder is aborted at once.
    pub fn new(settings: Arc<Settings>, id: String, changelog: Option<String>) -> Result<Transactions, BusError> {
        let mut transactions =
            Transactions { settings, id, changelog, client: None, open: false, tally: Tally::default() };
        transactions.client()?;
        Ok(transactions)
    }

    /// Whether a transaction is open.
    pub fn open(&self) -> bool {
        self.open
    }

    /// Takes in what has been delivered.
    pub fn serve(&mut self) {
        if let Some(client) = self.client.clone() {
            self.serve_for(&client, Duration::ZERO);
        }
    }

    /// Adds a record. If the transaction has failed already the record goes nowhere: the commit will say so.
    pub fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendError> {
        let bytes = size(&record);
        if bytes > self.settings.config().message_bytes_max {
            return Err(SendError::TooLarge { bytes });
        }
        self.begin()?;
        let mut outgoing = base_record(&record);
        let mut deadline = None;
        while self.tally.refused.is_none() {
            let client = self.client()?;
            let (error, again) = match client.client().send(outgoing) {
                Ok(()) => break,
                Err(refused) => refused,
            };
            let deadline = deadline.get_or_insert_with(|| Deadline::after(self.settings.message_timeout()));
            match error {
                KafkaError::MessageProduction(Code::QueueFull) if deadline.passed() => return Err(SendError::Full),
                KafkaError::MessageProduction(Code::QueueFull) => self.serve_for(&client, STEP),
                KafkaError::MessageProduction(Code::MessageSizeTooLarge) => return Err(SendError::TooLarge { bytes }),
                error => self.tally.refuse(record.topic, Failure::from(error).code),
            }
            outgoing = again;
        }
        Ok(())
    }

    /// Commits what was sent together with the positions.
    pub fn commit(&mut self, positions: &[Committed], membership: &Arc<Membership>) -> Result<Receipt, Stopped> {
        if !self.open && positions.is_empty() {
            return Ok(Receipt::default());
        }
        self.begin().map_err(|error| Stopped::Refused(error.into()))?;
        let result = self.try_commit(positions, membership);
        match &result {
            Ok(_) => self.open = false,
            Err(Stopped::Refused(_)) => self.abort(),
            Err(Stopped::Unknown { .. }) => self.discard(),
        }
        result
    }

    /// Drops the open transaction, if there is one. If that is not possible the producer is given up: the next one aborts
    /// the transaction when it starts.
    pub fn abort(&mut self) {
        if !self.open {
            return;
        }
        self.open = false;
        let Some(client) = self.client.clone() else {
            return;
        };
        let deadline = Deadline::after(ABORT_TIMEOUT);
        loop {
            self.serve_for(&client, Duration::ZERO);
            let Err(error) = client.client().abort_transaction(ABORT_STEP) else {
                break;
            };
            let failure = Failure::from(error);
            if !failure.retriable || deadline.passed() {
                tracing::debug!(id = self.id, reason = failure.message, "transaction not aborted, producer given up");
                self.discard();
                break;
            }
        }
        if std::mem::take(&mut self.tally).refused.is_some() {
            // librdkafka counts a refused record as sent: the next transaction would have a gap in its sequence.
            self.discard();
        }
    }

    /// Replaces the producer by a new one, which completes or aborts the last transaction.
    pub fn rebuild(&mut self) -> Result<(), BusError> {
        self.discard();
        self.client().map(|_| ())
    }

    fn begin(&mut self) -> Result<(), BusError> {
        if self.open {
            return Ok(());
        }
        self.serve();
        if self.client.as_ref().is_some_and(|client| client.context().coordinator_troubled()) {
            tracing::debug!(id = self.id, "the transaction coordinator was troubled, producer renewed");
            self.discard();
        }
        if self.client()?.client().begin_transaction().is_err() {
            self.rebuild()?;
            let begun = self.client()?.client().begin_transaction();
            begun.map_err(|error| Failure::from(error).into_bus("begin a transaction"))?;
        }
        self.tally = Tally::default();
        self.open = true;
        Ok(())
    }

    fn try_commit(&mut self, positions: &[Committed], membership: &Arc<Membership>) -> Result<Receipt, Stopped> {
        let client = self.client().map_err(|error| Stopped::Refused(error.into()))?;
        self.deliver_all(&client).map_err(Stopped::Refused)?;
        if !positions.is_empty() {
            self.send_offsets(&client, positions, membership).map_err(Stopped::Refused)?;
        }
        self.end(&client)
    }

    /// Waits until every record is acknowledged.
    fn deliver_all(&mut self, client: &Client) -> Result<(), CommitError> {
        let deadline = Deadline::after(self.settings.message_timeout() + GIVE_UP_SLACK);
        loop {
            self.serve_for(client, Duration::ZERO);
            if let Some((topic, code)) = &self.tally.refused {
                return Err(refused(topic, *code));
            }
            if client.client().in_flight_count() == 0 {
                return Ok(());
            }
            if deadline.passed() {
                return Err(CommitError::Aborted("timed out waiting for the records to be acknowledged".to_owned()));
            }
            client.flush(STEP);
        }
    }

    fn send_offsets(
        &mut self,
        client: &Client,
        positions: &[Committed],
        membership: &Arc<Membership>,
    ) -> Result<(), CommitError> {
        let deadline = Deadline::after(OFFSETS_TIMEOUT);
        loop {
            let list = committed_list(positions)?;
            let Some(result) = watched_send_offsets(client, list, membership) else {
                self.discard();
                return Err(CommitError::Aborted("the group coordinator does not answer".to_owned()));
            };
            let Err(failure) = result else {
                return Ok(());
            };
            if failure.retriable && !deadline.passed() {
                continue;
            }
            if !failure.abortable {
                self.discard();
            }
            return Err(refused("the positions of the group", failure.code));
        }
    }

    fn end(&mut self, client: &Client) -> Result<Receipt, Stopped> {
        let timeout = self.settings.config().transaction_timeout;
        // librdkafka sends the end again after its own time-out, which is a little longer: a second one could end the next
        // transaction (KAFKA-17754).
        let deadline = Deadline::after(timeout);
        loop {
            let Err(error) = client.client().commit_transaction(deadline.left()) else {
                return Ok(self.tally.receipt());
            };
            let failure = Failure::from(error);
            if failure.retriable && !deadline.passed() {
                self.serve_for(client, STEP);
                continue;
            }
            return Err(Stopped::Unknown {
                taken_over: fenced(failure.code),
                reason: failure.message,
                witness: self.tally.witness.clone(),
                receipt: self.tally.receipt(),
            });
        }
    }

    /// The producer; a new one if there is none.
    fn client(&mut self) -> Result<Client, BusError> {
        if let Some(client) = &self.client {
            return Ok(Arc::clone(client));
        }
        let client = self.start()?;
        self.client = Some(Arc::clone(&client));
        Ok(client)
    }

    fn start(&self) -> Result<Client, BusError> {
        let properties = self.settings.transactions(&self.id);
        let purpose = format!("transactions of {}", self.id);
        let producer: Pump<BaseProducer<Context>> = client::create(&purpose, &self.settings, &properties)?;
        let deadline = Deadline::after(INIT_TIMEOUT);
        while let Err(error) = producer.client().init_transactions(deadline.left()) {
            producer.serve();
            let retriable = Failure::from(error.clone()).retriable;
            if !retriable || deadline.passed() {
                return Err(producer.explain(format!("take over the transactions of {}", self.id), error));
            }
        }
        Ok(Arc::new(Retiring::new(producer)))
    }

    /// Gives the producer up. It ends by itself, and the next one fences it.
    fn discard(&mut self) {
        self.open = false;
        if let Some(client) = self.client.take().and_then(Arc::into_inner) {
            client.abandon();
        }
    }

    fn serve_for(&mut self, client: &Client, wait: Duration) {
        let Transactions { tally, changelog, .. } = self;
        let changelog = changelog.as_deref().map(str::as_bytes);
        let mut wait = wait;
        let mut note = |event: Event<'_>| {
            if let Some(Event::Delivered(deliveries)) = client.common(event) {
                deliveries.for_each(|delivery| tally.note(&delivery, changelog));
            }
        };
        while client.next(wait, &mut note) {
            wait = Duration::ZERO;
        }
    }
}

/// Sends the positions on a thread of its own; none if it does not come back in time.
fn watched_send_offsets(
    client: &Client,
    list: TopicPartitionList,
    membership: &Arc<Membership>,
) -> Option<Result<(), Failure>> {
    let (answer, answered) = mpsc::channel();
    let (client, membership) = (Arc::clone(client), Arc::clone(membership));
    let send = move || {
        let _ = answer.send(client.send_offsets(&list, &membership, OFFSETS_TIMEOUT));
    };
    let started = thread::Builder::new().name("kafka-offsets".to_owned()).spawn(send);
    if started.is_err() {
        return None;
    }
    answered.recv_timeout(OFFSETS_TIMEOUT + GIVE_UP_SLACK).ok()
}

/// What a refusal means for the transaction.
fn refused(what: &str, code: Code) -> CommitError {
    let message = format!("{what}: {code}");
    if code == Code::MessageSizeTooLarge {
        CommitError::TooLarge { topic: what.to_owned(), message: code.to_string() }
    } else if producer_fenced(code) {
        CommitError::Bus(replaced(message))
    } else if fenced(code) {
        CommitError::Fenced(message)
    } else if let Some(way_out) = way_out(code) {
        CommitError::Bus(BusError::Fatal { operation: "commit".to_owned(), message: format!("{message}: {way_out}") })
    } else {
        CommitError::Aborted(message)
    }
}

/// A producer that was fenced while its member may keep its place in the group: no revocation follows, and only a new member
/// helps.
pub fn replaced(reason: String) -> BusError {
    let message = format!(
        "{reason}: another process uses the same slot, or the transaction was open for longer than transaction_timeout"
    );
    BusError::Fenced { operation: "commit".to_owned(), message }
}

fn base_record<'a>(record: &Outgoing<'a>) -> BaseRecord<'a, [u8], [u8]> {
    let mut base = BaseRecord::to(record.topic).partition(native(record.partition)).timestamp(record.timestamp);
    base.key = record.key;
    base.payload = record.value;
    base.headers = headers(record.headers);
    base
}

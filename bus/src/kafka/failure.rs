//! What librdkafka's error codes mean to a caller of the bus.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::BusError;

/// Something that librdkafka refused, with what it says about the way out.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Code.
    pub code: Code,
    /// Text.
    pub message: String,
    /// The same call may be repeated.
    pub retriable: bool,
    /// The transaction has to be aborted, and the client is good afterwards.
    pub abortable: bool,
}

impl Failure {
    /// A failure of which only the code is known.
    pub fn of_code(code: Code) -> Failure {
        Failure { code, message: code.to_string(), retriable: false, abortable: false }
    }

    /// As a bus error.
    pub fn into_bus(self, operation: impl Into<String>) -> BusError {
        by_code(self.code, operation.into(), self.message)
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Failure {
        match error {
            KafkaError::Transaction(error) => Failure {
                code: error.code(),
                message: error.string(),
                retriable: error.is_retriable(),
                abortable: error.txn_requires_abort(),
            },
            error => {
                let code = code_of(&error);
                Failure { message: text(&error), ..Failure::of_code(code) }
            }
        }
    }
}

/// As a bus error.
pub fn bus_error(operation: impl Into<String>, error: KafkaError) -> BusError {
    let operation = operation.into();
    match &error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => {
            BusError::Fatal { operation, message: text(&error) }
        }
        _ => by_code(code_of(&error), operation, text(&error)),
    }
}

/// As a bus error that keeps nothing but the code.
pub fn code_error(operation: impl Into<String>, code: Code) -> BusError {
    by_code(code, operation.into(), code.to_string())
}

/// A time-out of our own.
pub fn timed_out(operation: impl Into<String>, waited_for: &str) -> BusError {
    BusError::Unavailable { operation: operation.into(), message: format!("timed out waiting for {waited_for}") }
}

/// As a bus error, with a text of its own.
pub fn by_code(code: Code, operation: String, message: String) -> BusError {
    if fenced(code) {
        BusError::Fenced { operation, message }
    } else if let Some(way_out) = way_out(code) {
        BusError::Fatal { operation, message: format!("{message}: {way_out}") }
    } else {
        BusError::Unavailable { operation, message }
    }
}

/// The text of an error without the value of a setting, which may be a password.
fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => format!("property {key}: {description}"),
        KafkaError::ClientCreation(message) => message.clone(),
        KafkaError::AdminOp(code) => code.to_string(),
        error => error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
    }
}

fn code_of(error: &KafkaError) -> Code {
    match error {
        KafkaError::AdminOp(code) => *code,
        error => error.rdkafka_error_code().unwrap_or(Code::Fail),
    }
}

/// Whether somebody else has taken over.
pub fn fenced(code: Code) -> bool {
    let member_fenced = matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::RebalanceInProgress
            | Code::StaleMemberEpoch
            | Code::FencedMemberEpoch
    );
    member_fenced || producer_fenced(code)
}

/// Whether somebody else has taken over the transactional id.
pub fn producer_fenced(code: Code) -> bool {
    matches!(code, Code::InvalidProducerEpoch | Code::ProducerFenced | Code::Fenced)
}

/// What a person has to do, for errors that do not pass by themselves.
pub fn way_out(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::TopicAuthorizationFailed => "give this user the right to the topic",
        Code::GroupAuthorizationFailed => "give this user the right to the group",
        Code::TransactionalIdAuthorizationFailed => "give this user the right to the transactional id",
        Code::ClusterAuthorizationFailed => "give this user the right to the cluster",
        Code::SaslAuthenticationFailed | Code::Authentication => "check the user name, password or token of the bus",
        Code::SSL => "check the files and the protocol of the bus",
        Code::UnsupportedSASLMechanism => "choose a SASL mechanism that the broker offers",
        Code::UnknownTopic | Code::UnknownTopicOrPartition => "create the topics first",
        Code::UnknownPartition => "the topic has fewer partitions than its companions",
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            "the position is not in the log any more; look at the topic's retention before choosing another"
        }
        Code::InvalidReplicationFactor => "choose a replication factor that the cluster has brokers for",
        Code::InvalidConfig | Code::PolicyViolation | Code::InvalidPartitions | Code::InvalidTopic => {
            "the brokers do not allow this topic"
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature => "use Apache Kafka 2.5 or later",
        Code::UnsupportedForMessageFormat => "use Apache Kafka 2.5 or later",
        Code::InvalidTransactionTimeout => "lower transaction_timeout or raise the brokers' transaction.max.timeout.ms",
        Code::InvalidSessionTimeout => "choose a session_timeout between the brokers' limits",
        Code::InvalidGroupId => "choose another name for the group",
        Code::InvalidTimestamp => "correct the clock of the writer",
        _ => return None,
    })
}

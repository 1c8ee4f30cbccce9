//! What can go wrong with the log, sorted by what the caller has to do about it.

/// The bus did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// It may work later: the broker is away, a time-out passed, the disk is full. Keep the place and try again.
    #[error("{operation}: {message}")]
    Unavailable {
        /// What was asked for, such as "fetch from dbintel.raw.queries".
        operation: String,
        /// What the implementation says.
        message: String,
    },
    /// The member was dropped from its group, or can commit nothing more; join again.
    #[error("{operation}: no longer a member of the group: {message}")]
    Fenced {
        /// What was asked for.
        operation: String,
        /// What the implementation says.
        message: String,
    },
    /// It will not work until a person changes something.
    #[error("{operation}: {message}")]
    Fatal {
        /// What was asked for.
        operation: String,
        /// What is wrong, and the way out.
        message: String,
    },
}

/// A transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of it is visible. Go back to the committed positions and process again.
    #[error("the transaction was aborted: {0}")]
    Aborted(String),
    /// Nothing of it is visible, and the partitions belong to somebody else now.
    #[error("the transaction was fenced: {0}")]
    Fenced(String),
    /// Nothing of it is visible: a record is larger than its topic allows.
    #[error("a record for {topic} is larger than the topic allows: {message}")]
    TooLarge {
        /// Topic that refused the record.
        topic: String,
        /// What the implementation says.
        message: String,
    },
    /// [`BusError::Unavailable`]: nothing of it is visible, and it may work later, from the committed positions. Else the
    /// member is of no use any more: what became of the transaction is for a new member to find out.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// A record was not taken for sending.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The bounded buffer is full: wait, or thin what is sent.
    #[error("the send buffer is full")]
    Full,
    /// Larger than the topic allows.
    #[error("a record of {bytes} bytes is larger than the bus allows")]
    TooLarge {
        /// Size of the record.
        bytes: usize,
    },
    /// The bus cannot take it.
    #[error(transparent)]
    Bus(#[from] BusError),
}

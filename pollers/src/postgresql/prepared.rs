//! Statements that are prepared once they come again, so that the server plans them once for each connection and not at
//! each poll.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::{Client, Statement};

use super::transaction::Parameter;
use crate::failure::Failure;

/// Most statements that are remembered. There are fewer; should their texts ever vary, they are not piled up.
const STATEMENTS_MAX: usize = 200;

/// What a connection has sent, by its text; a statement that came once is not prepared yet.
#[derive(Default)]
pub struct Prepared(Mutex<HashMap<String, Option<Statement>>>);

impl Prepared {
    /// The prepared statement; none at the first time.
    pub async fn statement(
        &self,
        client: &Client,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Statement>, Failure> {
        let known = self.statements().get(sql).cloned();
        match known {
            None => {
                self.remember(sql, None);
                Ok(None)
            }
            Some(Some(statement)) => Ok(Some(statement)),
            Some(None) => {
                let types: Vec<_> = parameters.iter().map(|(_, of_type)| of_type.clone()).collect();
                let statement = client.prepare_typed(sql, &types).await?;
                self.remember(sql, Some(statement.clone()));
                Ok(Some(statement))
            }
        }
    }

    /// A statement failed: what it reads may have changed, or the server may have none of them any more.
    pub fn forget(&self) {
        self.statements().clear();
    }

    fn remember(&self, sql: &str, statement: Option<Statement>) {
        let mut statements = self.statements();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement);
    }

    fn statements(&self) -> MutexGuard<'_, HashMap<String, Option<Statement>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

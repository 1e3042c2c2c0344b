//! A batch: statements that run as one transaction in one round trip. Each statement whose rows are read
//! gives a handle of their type, and the rows are taken by handle, so that no reader counts positions.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::platform::{Rows, Statement, Store, StoreError};

/// Statements for one shard, in their order.
pub struct Batch {
    id: u32,
    shard: u8,
    statements: Vec<Statement>,
}

/// A handle of one statement's rows in one batch. It is consumed when the rows are taken.
#[must_use = "a statement whose rows are not read is added by `also`"]
pub struct Handle<T> {
    batch: u32,
    at: usize,
    row: PhantomData<fn() -> T>,
}

/// A handle of the number of rows that a statement returned.
pub type CountHandle = Handle<IgnoredAny>;

/// The result of a batch.
pub struct BatchRows<R> {
    batch: u32,
    rows: Vec<R>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new(shard: u8) -> Self {
        // An id of the batch, to detect handles of another batch.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), shard, statements: Vec::new() }
    }

    /// Adds a statement whose rows are read as `T`.
    pub fn add<T: DeserializeOwned>(&mut self, statement: Statement) -> Handle<T> {
        let at = self.statements.len();
        self.statements.push(statement);
        Handle { batch: self.id, at, row: PhantomData }
    }

    /// Adds a statement that returns a row for each one it changed, of which only the number counts.
    pub fn add_counted(&mut self, statement: Statement) -> CountHandle {
        self.add(statement)
    }

    /// Adds a statement that returns no rows, or whose rows are not read.
    pub fn also(&mut self, statement: Statement) {
        self.statements.push(statement);
    }

    /// Runs the batch as one transaction.
    ///
    /// # Errors
    /// As [`Store::batch`]; [`StoreError::Unreachable`] also if not every statement has a result.
    pub async fn run<S: Store>(self, store: &S) -> Result<BatchRows<S::Rows>, StoreError> {
        let asked = self.statements.len();
        let rows = store.batch(self.shard, self.statements).await?;
        if rows.len() != asked {
            return Err(StoreError::Unreachable);
        }
        Ok(BatchRows { batch: self.id, rows })
    }
}

impl<R: Rows> BatchRows<R> {
    /// The rows of a statement.
    ///
    /// # Errors
    /// [`StoreError::OtherBatch`] for a handle of another batch; [`StoreError::Unreachable`] where a row is
    /// not of this form.
    pub fn take<T: DeserializeOwned>(&self, handle: Handle<T>) -> Result<Vec<T>, StoreError> {
        if handle.batch != self.batch {
            return Err(StoreError::OtherBatch);
        }
        self.rows.get(handle.at).ok_or(StoreError::OtherBatch)?.read()
    }

    /// The only row of a statement, if it found one.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_one<T: DeserializeOwned>(&self, handle: Handle<T>) -> Result<Option<T>, StoreError> {
        Ok(self.take(handle)?.pop())
    }

    /// How many rows a statement returned.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn count(&self, handle: CountHandle) -> Result<usize, StoreError> {
        Ok(self.take(handle)?.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Echo;

    struct Row(Value);

    impl Rows for Row {
        fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
            serde_json::from_value(json!([self.0])).map_err(|_| StoreError::Unreachable)
        }
    }

    impl Store for Echo {
        type Rows = Row;
        /// Each statement's row is its text; the last result can be left out.
        async fn batch(&self, _: u8, statements: Vec<Statement>) -> Result<Vec<Row>, StoreError> {
            let answered = statements.into_iter().filter(|statement| statement.sql != "lost");
            Ok(answered.map(|statement| Row(json!(statement.sql))).collect())
        }
    }

    fn statement(sql: &'static str) -> Statement {
        Statement { sql, params: vec![] }
    }

    fn run(batch: Batch) -> Result<BatchRows<Row>, StoreError> {
        futures::executor::block_on(batch.run(&Echo))
    }

    #[test]
    fn rows_are_found_by_handle_in_any_order() {
        let mut batch = Batch::new(0);
        let first = batch.add::<String>(statement("first"));
        batch.also(statement("unread"));
        let counted = batch.add_counted(statement("counted"));
        let last = batch.add::<String>(statement("last"));
        let rows = run(batch).unwrap();
        assert_eq!(rows.take_one(last).unwrap().as_deref(), Some("last"));
        assert_eq!(rows.count(counted), Ok(1));
        assert_eq!(rows.take(first).unwrap(), ["first"]);
    }

    #[test]
    fn a_handle_of_another_batch_is_an_error() {
        let (mut one, mut other) = (Batch::new(0), Batch::new(0));
        let handle = one.add::<String>(statement("same"));
        let own = other.add::<String>(statement("same"));
        let rows = run(other).unwrap();
        assert_eq!(rows.take(handle), Err(StoreError::OtherBatch));
        assert!(rows.take(own).is_ok());
    }

    #[test]
    fn a_statement_without_an_answer_fails_the_batch() {
        let mut batch = Batch::new(0);
        batch.also(statement("said"));
        batch.also(statement("lost"));
        assert!(run(batch).is_err());
    }
}

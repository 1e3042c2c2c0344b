//! D1.

use serde::de::DeserializeOwned;
use worker::D1Result;
use worker::wasm_bindgen::JsValue;

use super::{Cloudflare, log};
use crate::platform::{Param, Rows, Statement, Store, StoreError};

impl Rows for D1Result {
    fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        self.results().map_err(|error| {
            log::error("a row of the database was not understood", &error.to_string());
            StoreError::Unreachable
        })
    }
}

impl Store for Cloudflare {
    type Rows = D1Result;

    async fn batch(&self, shard: u8, statements: Vec<Statement>) -> Result<Vec<D1Result>, StoreError> {
        let Some(database) = self.shards.get(usize::from(shard)) else {
            log::error("no such database binding", &format!("DB_{shard}"));
            return Err(StoreError::Unreachable);
        };
        let mut prepared = Vec::with_capacity(statements.len());
        for Statement { sql, params } in statements {
            let params: Vec<JsValue> = params.into_iter().map(to_js).collect();
            prepared.push(database.prepare(sql).bind(&params).map_err(|error| meaning(&error))?);
        }
        let results = database.batch(prepared).await.map_err(|error| meaning(&error))?;
        #[cfg(feature = "test-entry")]
        super::test_hooks::answered(&results);
        Ok(results)
    }
}

/// D1 takes JavaScript numbers; the ports promise integers that are exact in that type.
fn to_js(param: Param) -> JsValue {
    match param {
        Param::Null => JsValue::NULL,
        Param::Int(number) => JsValue::from_f64(number as f64),
        Param::Text(text) => JsValue::from_str(&text),
    }
}

/// The two errors that triggers in migrations/edge raise, recognised by their text; any other error means that the
/// database is unreachable.
fn meaning(error: &worker::Error) -> StoreError {
    let text = error.to_string();
    if text.contains("revision_gap") {
        StoreError::RevisionGap
    } else if text.contains("stale_history") {
        StoreError::StaleHistory
    } else {
        log::error("the database did not answer", &text);
        StoreError::Unreachable
    }
}

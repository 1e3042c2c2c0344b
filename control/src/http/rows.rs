//! Rows of a list in SQL: which of them, in which order, and how many there are.
//!
//! Filters and orderings combine freely, so these statements are put together when they are asked for, from
//! constants of the code and bound values; whatever was not asked for is not in them. The tests of lists run
//! each part.

use serde_json::Value;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::cursor::Position;
use crate::failure::Failure;

/// The most rows that are counted unasked.
pub const COUNTED: i64 = 10_000;

/// An order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<K> {
    /// The value.
    pub by: K,
    /// Greatest first.
    pub descending: bool,
}

/// A value that rows can be ordered by, in SQL.
pub trait Column: Copy {
    /// An expression that is never null, and its type.
    fn column(self) -> (&'static str, &'static str);
}

/// A row of a list that is ordered by `K`.
pub trait Placed<K> {
    /// Its id.
    fn id(&self) -> Uuid;
    /// The value that [`Column`] has of it, as text.
    fn key(&self, by: K) -> String;
}

/// The position of a row in an order.
#[must_use]
pub fn position<K: Copy, R: Placed<K>>(row: &R, order: &[Order<K>]) -> Position {
    Position { keys: order.iter().map(|order| row.key(order.by)).collect(), id: row.id() }
}

/// Which rows: those that come after one in this order, `limit` of them.
#[derive(Clone, Debug)]
pub struct Rows<K> {
    /// The order fields by precedence, reversed for a cursor that goes back. Ties are ordered by id, in the direction
    /// of the last field.
    pub order: Vec<Order<K>>,
    /// The row to continue after.
    pub after: Option<Position>,
    /// Most rows.
    pub limit: i64,
    /// Rows to pass over.
    pub offset: i64,
}

impl<K: Copy> Rows<K> {
    /// The same with other order keys, if each can be converted.
    #[must_use]
    pub fn by<L>(&self, other: impl Fn(K) -> Option<L>) -> Option<Rows<L>> {
        let order = self.order.iter().map(|order| {
            let descending = order.descending;
            other(order.by).map(|by| Order { by, descending })
        });
        let (after, limit, offset) = (self.after.clone(), self.limit, self.offset);
        Some(Rows { order: order.collect::<Option<_>>()?, after, limit, offset })
    }
}

/// A column that rows are ordered by.
#[derive(Clone, Copy)]
struct Ordered {
    expression: &'static str,
    /// Its type.
    kind: &'static str,
    descending: bool,
}

impl<K: Column> Rows<K> {
    /// Ends a statement that has its conditions. `id` is the column of the rows' ids.
    pub fn end(&self, sql: &mut QueryBuilder<Postgres>, id: &'static str) {
        let columns = self.columns(id);
        if let Some(after) = &self.after {
            let values = after.keys.iter().cloned().chain([after.id.to_string()]);
            let columns: Vec<_> = columns.iter().copied().zip(values).collect();
            sql.push("\nand ");
            come_after(sql, &columns);
        }
        for (at, Ordered { expression, descending, .. }) in columns.into_iter().enumerate() {
            sql.push(if at == 0 { "\norder by " } else { ", " }).push(expression);
            sql.push(if descending { " desc" } else { "" });
        }
        sql.push("\nlimit ").push_bind(self.limit).push(" offset ").push_bind(self.offset);
    }

    fn columns(&self, id: &'static str) -> Vec<Ordered> {
        let column = |order: &Order<K>| {
            let (expression, kind) = order.by.column();
            Ordered { expression, kind, descending: order.descending }
        };
        let descending = self.order.last().is_some_and(|order| order.descending);
        let last = Ordered { expression: id, kind: "uuid", descending };
        self.order.iter().map(column).chain([last]).collect()
    }
}

/// The condition that a row comes after these values. In one direction rows are compared whole, which an
/// index can follow; else column by column, of which an index can follow the first.
fn come_after(sql: &mut QueryBuilder<Postgres>, columns: &[(Ordered, String)]) {
    let Some(((first, value), rest)) = columns.split_first() else { return };
    let beyond = if first.descending { "<" } else { ">" };
    if rest.iter().all(|(other, _)| other.descending == first.descending) {
        for (at, (column, _)) in columns.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", " }).push(column.expression);
        }
        sql.push(") ").push(beyond).push(" ");
        for (at, (column, value)) in columns.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", " });
            sql.push_bind(value.clone()).push("::text::").push(column.kind);
        }
        sql.push(")");
        return;
    }
    let compare = |sql: &mut QueryBuilder<Postgres>, operator: &str| {
        sql.push(first.expression).push(" ").push(operator).push(" ");
        sql.push_bind(value.clone()).push("::text::").push(first.kind);
    };
    sql.push("(");
    compare(sql, if first.descending { "<=" } else { ">=" });
    sql.push(" and (");
    compare(sql, beyond);
    sql.push(" or ");
    come_after(sql, rest);
    sql.push("))");
}

/// How many rows a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exact(i64),
    /// More than are counted: about so many.
    Estimate(i64),
    /// The number of candidates that can be checked only after decryption. Pages are cut from all candidates, and
    /// show the matching ones.
    Opened {
        /// Those that count.
        count: i64,
        /// All of them.
        rows: i64,
    },
}

impl Count {
    /// The number.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Exact(number) | Self::Estimate(number) | Self::Opened { count: number, .. } => number,
        }
    }

    /// How many rows pages are cut of.
    #[must_use]
    pub fn rows(self) -> i64 {
        match self {
            Self::Exact(number) | Self::Estimate(number) | Self::Opened { rows: number, .. } => number,
        }
    }
}

/// Counts rows: up to [`COUNTED`], unless all are asked for; beyond, PostgreSQL's planner estimates. `from`
/// adds ` from ...` with the conditions.
///
/// # Errors
/// Errors of the database.
pub async fn count(
    connection: &mut PgConnection,
    all: bool,
    from: impl Fn(&mut QueryBuilder<Postgres>),
) -> Result<Count, Failure> {
    let of = |begin: &str, end: &str| {
        let mut sql = QueryBuilder::<Postgres>::new(begin);
        from(&mut sql);
        sql.push(end);
        sql
    };
    if all {
        let mut sql = of("select count(*)", "");
        return Ok(Count::Exact(sql.build_query_scalar().fetch_one(connection).await?));
    }
    let mut sql = of("select count(*) from (select", "");
    sql.push("\nlimit ").push_bind(COUNTED + 1).push(") counted");
    let counted: i64 = sql.build_query_scalar().fetch_one(&mut *connection).await?;
    if counted <= COUNTED {
        return Ok(Count::Exact(counted));
    }
    estimate(connection, counted, from).await
}

/// Counts rows up to [`COUNTED`]; beyond, that many stand for all: for callers who must not learn from statistics about
/// rows that they do not see.
///
/// # Errors
/// Errors of the database.
pub async fn count_to_the_limit(
    connection: &mut PgConnection,
    from: impl Fn(&mut QueryBuilder<Postgres>),
) -> Result<Count, Failure> {
    let mut sql = QueryBuilder::<Postgres>::new("select count(*) from (select");
    from(&mut sql);
    sql.push("\nlimit ").push_bind(COUNTED + 1).push(") counted");
    let counted: i64 = sql.build_query_scalar().fetch_one(connection).await?;
    Ok(if counted <= COUNTED { Count::Exact(counted) } else { Count::Estimate(counted) })
}

/// The planner's estimate of the number of rows, at least `least`.
///
/// # Errors
/// Errors of the database.
pub async fn estimate(
    connection: &mut PgConnection,
    least: i64,
    from: impl Fn(&mut QueryBuilder<Postgres>),
) -> Result<Count, Failure> {
    let mut sql = QueryBuilder::<Postgres>::new("explain (format json) select");
    from(&mut sql);
    let plan: Value = sql.build_query_scalar().fetch_one(connection).await?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_i64).unwrap_or_default();
    Ok(Count::Estimate(rows.max(least)))
}

/// A plan that fits every filter fits none of them: each of these statements is planned for its values.
///
/// # Errors
/// Errors of the database.
pub async fn plan_by_values(connection: &mut PgConnection) -> Result<(), Failure> {
    sqlx::raw_sql("set local plan_cache_mode = force_custom_plan").execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Column for &'static str {
        fn column(self) -> (&'static str, &'static str) {
            (self, "text")
        }
    }

    fn ended(order: &[(&'static str, bool)], from: bool) -> String {
        let order: Vec<_> =
            order.iter().map(|(by, descending)| Order { by: *by, descending: *descending }).collect();
        let keys = order.iter().map(|order| order.by.to_owned()).collect();
        let after = from.then(|| Position { keys, id: Uuid::nil() });
        let mut sql = QueryBuilder::new("");
        Rows { order, after, limit: 2, offset: 3 }.end(&mut sql, "id");
        sql.into_string()
    }

    #[test]
    fn rows_go_on_where_others_ended() {
        assert_eq!(ended(&[("a", false)], false), "\norder by a, id\nlimit $1 offset $2");
        assert_eq!(
            ended(&[("a", true), ("b", true)], true),
            "\nand (a, b, id) < ($1::text::text, $2::text::text, $3::text::uuid)\
             \norder by a desc, b desc, id desc\nlimit $4 offset $5"
        );
        assert_eq!(
            ended(&[("a", false), ("b", true)], true),
            "\nand (a >= $1::text::text and (a > $2::text::text or (b, id) < ($3::text::text, $4::text::uuid)))\
             \norder by a, b desc, id desc\nlimit $5 offset $6"
        );
    }
}

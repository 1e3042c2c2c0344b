//! How much mail waits, and whether there is a server for it.

use super::sender;
use crate::control::Control;
use crate::failure::Failure;

/// Sets the gauges.
///
/// # Errors
/// Errors of the database.
pub async fn measure(control: &Control) -> Result<(), Failure> {
    let row = sqlx::query!(
        r#"select
            count(*) filter (where state <> 'dead') as "waiting!",
            count(*) filter (where state = 'dead') as "dead!"
        from platform.queue
        where kind = 'send_mail'"#
    )
    .fetch_one(control.db.relay())
    .await?;
    // Exact up to 2^53 rows.
    #[allow(clippy::cast_precision_loss)]
    let set = |name: &'static str, value: i64| metrics::gauge!(name).set(value as f64);
    set("wardgate_mail_waiting", row.waiting);
    set("wardgate_mail_dead", row.dead);
    set("wardgate_mail_on", i64::from(sender::of_settings(control).is_some()));
    Ok(())
}

/// Says at the start what it means that no server is set.
pub fn warn(control: &Control) {
    if sender::of_settings(control).is_none() {
        tracing::warn!(
            "WARDGATE_MAIL_HOST names no server: mail of tenants without a sender of their own waits"
        );
    }
}

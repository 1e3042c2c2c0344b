//! Turns notifications of the database into wake-ups. A lost connection is made anew; what was
//! missed meanwhile is found by everybody's own slow poll.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::db::changes;
use crate::failure::{Failure, chain};
use crate::tenants::provision;

pub(super) async fn run(control: Control, edges: Arc<Notify>, cells: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            lost = listen(&control, &edges, &cells) => {
                if let Err(error) = lost {
                    tracing::warn!(error = %chain(&error), "notifications are lost; polling goes on");
                }
            }
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn listen(control: &Control, edges: &Notify, cells: &Notify) -> Result<(), Failure> {
    let mut listener = PgListener::connect_with(control.db.relay()).await?;
    listener.listen_all([changes::CHANNEL, provision::CHANNEL]).await?;
    loop {
        // `try_recv` gives `None` when the connection was lost.
        let Some(notification) = listener.try_recv().await? else { return Ok(()) };
        match notification.channel() {
            provision::CHANNEL => cells.notify_one(),
            _ => edges.notify_one(),
        }
    }
}

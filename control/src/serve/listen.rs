//! Turns notifications of the database into wake-ups. A lost connection is opened again; notifications that were
//! missed meanwhile do no harm, because each waiting task also polls slowly.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::db::changes;
use crate::failure::{Failure, chain};

pub(super) async fn run(control: Control, edges: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            lost = listen(&control, &edges) => {
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

async fn listen(control: &Control, edges: &Notify) -> Result<(), Failure> {
    let mut listener = PgListener::connect_with(control.db.relay()).await?;
    listener.listen(changes::CHANNEL).await?;
    loop {
        // `try_recv` gives `None` when the connection was lost.
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
        edges.notify_one();
    }
}

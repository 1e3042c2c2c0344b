//! Log lines: JSON for machines, text for terminals. Secrets have no `Debug`, so no line can hold one.

use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

/// What becomes of each job is told by [`crate::jobs::runner`], so the library of the queue is heard
/// only where its own work fails. Directives of the settings come later and win.
const DEFAULTS: &str = "graphile_worker=warn,graphile_worker::runner=off";

fn with_defaults(level: &str) -> String {
    format!("{DEFAULTS},{level}")
}

pub(super) fn init(settings: &Log) {
    let filter =
        EnvFilter::try_new(with_defaults(&settings.level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    // A second start in one process, as in tests, keeps the first.
    let _ = match settings.format {
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
        LogFormat::Text => builder.try_init(),
    };
}

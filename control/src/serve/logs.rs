//! Log lines: JSON for machines, text for terminals. Secrets have no `Debug`, so no line can hold one.

use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

pub(super) fn init(settings: &Log) {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
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

//! Log lines: JSON for machines, text for terminals. Secrets have no `Debug`, so no line of ours can hold one.

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::{Log, LogFormat};

/// [`crate::jobs::runner`] logs the outcome of each job, so the library of the queue logs only its own failures.
/// Directives of the settings come later and win.
const DEFAULTS: &str = "graphile_worker=warn,graphile_worker::runner=off";

fn with_defaults(level: &str) -> String {
    format!("{DEFAULTS},{level}")
}

/// The AWS SDK shows requests at its lower levels, and with them what is to be wrapped. No directive opens those.
fn shows_no_request(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("aws_") || *line.level() <= LevelFilter::INFO
}

pub(super) fn init(settings: &Log) {
    // A second start in one process, as in tests, keeps the first.
    let _ = match settings.format {
        LogFormat::Json => json(&settings.level, std::io::stderr).try_init(),
        LogFormat::Text => text(&settings.level, std::io::stderr).try_init(),
    };
}

fn json<W>(level: &str, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines =
        tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_span_list(false);
    lines
        .with_env_filter(filter(level))
        .with_target(false)
        .with_writer(writer)
        .finish()
        .with(filter_fn(shows_no_request))
}

fn text<W>(level: &str, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter(level)).with_target(false);
    lines.with_writer(writer).finish().with(filter_fn(shows_no_request))
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(with_defaults(level)).unwrap_or_else(|_| EnvFilter::new("info"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_directive_shows_the_requests_of_the_aws_sdk() {
        let say = || {
            tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "the body: s3cret");
            tracing::warn!(target: "aws_smithy_http_client", "no certificates");
            tracing::trace!("ours");
        };
        for level in ["trace", "aws_smithy_runtime::client::orchestrator=trace,trace"] {
            let written = Written::default();
            let (first, second) = (written.clone(), written.clone());
            tracing::subscriber::with_default(json(level, move || first.clone()), say);
            tracing::subscriber::with_default(text(level, move || second.clone()), say);
            let lines = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert!(!lines.contains("s3cret"), "{lines}");
            assert_eq!(
                (lines.matches("no certificates").count(), lines.matches("ours").count()),
                (2, 2),
                "{lines}"
            );
        }
    }
}

//! `wardgate`: the control plane's binary. Everything it does is in the library and in [`control::cli`].

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    control::cli::run().await
}

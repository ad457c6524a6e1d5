//! `idp`: see `idp help`.

use std::process::ExitCode;

use idp::integrations::http;
use idp::terminal::{self, arguments::Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    // Before any task: a TLS client made without it would panic where nobody sees it.
    http::install_tls();
    terminal::run(Arguments::read()).await
}

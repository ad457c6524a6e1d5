//! `idp`: see `idp help`.

use std::process::ExitCode;

use idp::integrations::http;
use idp::terminal::{self, arguments::Arguments};
use tokio::runtime::Runtime;

/// An answer is hundreds of small texts; the system's own allocator took a third of the time it takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any task: a TLS client made without it would panic where nobody sees it.
    http::install_tls();
    let arguments = Arguments::read();
    let runtime = Runtime::new().expect("a process may start threads");
    let code = runtime.block_on(terminal::run(arguments));
    // Who still waits for a slow `git` or a silent name server does not hold up the end.
    runtime.shutdown_background();
    code
}

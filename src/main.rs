//! Arguments -> telemetry -> command (which reads the configuration, if it needs one) -> exit code.
#![expect(
    clippy::disallowed_methods,
    reason = "hash tables get another seed in every process, and no figure depends on it"
)]

use std::process::ExitCode;
use tailburn::command::{self, Cli};
use tailburn::pipeline::intern;
use tailburn::telemetry;

/// Keys and steps come and go in many sizes. With glibc's allocator 20,000 failing tenants cost twice the CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    telemetry::abort_on_panic();
    intern::seed_tables(uuid::Uuid::new_v4().as_u64_pair().0);
    match Cli::from_process() {
        Ok(cli) => {
            telemetry::init_logging(cli.log_options());
            command::run(cli)
        }
        Err(exit) => exit.into(),
    }
}

//! Arguments -> telemetry -> command (which reads the configuration, if it needs one) -> exit code.

use std::process::ExitCode;
use tailburn::command::{self, Cli};
use tailburn::telemetry;

fn main() -> ExitCode {
    telemetry::abort_on_panic();
    match Cli::from_process() {
        Ok(cli) => {
            telemetry::init_logging(cli.log_options());
            command::run(cli)
        }
        Err(exit) => exit.into(),
    }
}

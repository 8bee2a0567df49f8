//! A real broker that runs as long as a test holds it.
//!
//! The tests of one process share it: the first one starts it through `ops/kafka`, the last one stops it by its pid. If
//! no broker can be started, the tests say so and pass, unless `TAILBURN_REQUIRE_BROKER=1` makes that a failure.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Broker {
    dir: TempDir,
    bootstrap: String,
}

static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());

impl Broker {
    /// The broker that the tests share; `None`: the test must be skipped.
    pub fn shared() -> Option<Arc<Broker>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broker) = shared.upgrade() {
            return Some(broker);
        }
        let broker = Arc::new(Broker::start()?);
        *shared = Arc::downgrade(&broker);
        Some(broker)
    }

    pub fn start() -> Option<Broker> {
        Broker::start_with(&[])
    }

    /// A broker for this caller alone, which may be killed and started again. Its controller is a separate process,
    /// because a broker that is its own controller forgets the ends of transactions when it is killed
    /// (ops/decisions/0004).
    pub fn start_apart() -> Option<Broker> {
        Broker::start_with(&["--apart"])
    }

    /// A broker for this caller alone, with these properties.
    #[allow(dead_code, reason = "tests/faults shares this file")]
    pub fn start_with_properties(properties: &[&str]) -> Option<Broker> {
        let options: Vec<&str> = properties.iter().flat_map(|property| ["--property", *property]).collect();
        Broker::start_with(&options)
    }

    /// A broker with an authorizer, and with listeners at which clients log in.
    #[allow(dead_code, reason = "tests/faults shares this file")]
    pub fn start_secured() -> Option<Broker> {
        Broker::start_with(&["--secured"])
    }

    /// The address of one of those listeners, by its name in `ops/kafka`.
    #[allow(dead_code, reason = "tests/faults shares this file")]
    pub fn listener(&self, name: &str) -> String {
        let port = std::fs::read_to_string(self.dir.path().join(format!("{name}.port"))).expect("a listener's port");
        format!("127.0.0.1:{}", port.trim())
    }

    /// A certificate or a key for these listeners.
    #[allow(dead_code, reason = "tests/faults shares this file")]
    pub fn tls(&self, file: &str) -> String {
        self.dir.path().join("tls").join(file).display().to_string()
    }

    fn start_with(options: &[&str]) -> Option<Broker> {
        let dir = TempDir::new().expect("a temporary directory");
        match run(&dir, "start", options) {
            Ok(bootstrap) => Some(Broker { dir, bootstrap }),
            Err(why) if std::env::var_os("TAILBURN_REQUIRE_BROKER").is_some_and(|value| value == "1") => {
                panic!("TAILBURN_REQUIRE_BROKER=1, and no broker could be started: {why}")
            }
            Err(why) => {
                eprintln!("SKIP: no Kafka broker could be started: {why}");
                None
            }
        }
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Only if it runs on this machine's Java.
    pub fn pid(&self) -> String {
        let pid = std::fs::read_to_string(self.dir.path().join("broker.pid")).expect("the broker's pid");
        pid.trim().to_owned()
    }

    /// Ends the broker as a power cut would.
    pub fn kill(&self) {
        self.end("-KILL");
    }

    /// Stops the broker gracefully, so that it signs off from its controller.
    #[allow(dead_code, reason = "for tests/faults, which shares this file")]
    pub fn terminate(&self) {
        self.end("-TERM");
    }

    fn end(&self, signal: &str) {
        let pid = self.pid();
        let killed = Command::new("kill").args([signal, &pid]).status().expect("kill");
        assert!(killed.success(), "the broker (pid {pid}) could not be sent {signal}");
        // A graceful stop takes a while, and the system frees the port a moment later. (A process that has ended but is
        // not reaped yet has no command line any more.)
        let deadline = Instant::now() + Duration::from_secs(60);
        let runs = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
        while runs() || TcpStream::connect(&self.bootstrap).is_ok() {
            assert!(Instant::now() < deadline, "the broker (pid {pid}) was sent {signal}, and still runs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again on the same port with the same data, after its controller has noticed its death.
    pub fn restart(&self) {
        std::thread::sleep(Duration::from_secs(7));
        let bootstrap = run(&self.dir, "start", &[]).expect("the broker starts again");
        assert_eq!(bootstrap, self.bootstrap);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Err(why) = run(&self.dir, "stop", &[]) {
            eprintln!("the broker could not be stopped: {why}");
        }
    }
}

/// Runs `ops/kafka`; returns the value of its line `bootstrap.servers=`.
fn run(dir: &TempDir, action: &str, more: &[&str]) -> Result<String, String> {
    let script = PathBuf::from("ops/kafka");
    let output = Command::new(&script)
        .arg(action)
        .arg("--dir")
        .arg(dir.path())
        .args(more)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{}: {e}", script.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(printed.strip_prefix("bootstrap.servers=").unwrap_or_default().to_owned())
}

//! Instances of the program as processes, each with its own state directory.

use crate::stage::{Stage, program};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a stopping instance may take if brokers answer.
const STOP: Duration = Duration::from_secs(60);

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At the place where it was armed to die.
    AtPlace(String),
    /// By itself, with this code.
    Code(i32),
    /// By a signal that this harness did not send.
    Signal(i32),
}

pub struct Instance {
    pub name: String,
    dir: PathBuf,
    pub state: PathBuf,
    configuration: PathBuf,
    /// Environment variables, besides the one that names the place to die.
    pub env: Vec<(String, String)>,
    child: Option<Child>,
    armed: Option<String>,
}

impl Instance {
    pub fn new(stage: &Stage, application: &str, name: &str) -> Instance {
        Instance {
            name: name.to_owned(),
            dir: stage.path().to_owned(),
            state: stage.path().join(format!("state-{application}-{name}")),
            configuration: stage.configuration(application),
            env: Vec::new(),
            child: None,
            armed: None,
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n      ")
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    pub fn start(&mut self) {
        self.start_armed(None);
    }

    /// `armed`: a place and a passage, as `TAILBURN_CRASH_AT` takes them.
    pub fn start_armed(&mut self, armed: Option<String>) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = fs::File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = Command::new(program());
        command.args(["run", "-v", "--config"]).arg(&self.configuration).arg("--set").arg(self.state_setting());
        command.current_dir(&self.dir).env_clear().envs(self.env.iter().cloned());
        if let Some(armed) = &armed {
            command.env("TAILBURN_CRASH_AT", armed);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        note_pid(child.id());
        (self.child, self.armed) = (Some(child), armed);
    }

    fn state_setting(&self) -> String {
        format!("state.dir={}", self.state.display())
    }

    /// Checks whether it ended. Reports each process once.
    pub fn ended(&mut self) -> Option<End> {
        let status = self.child.as_mut()?.try_wait().expect("its status")?;
        self.child = None;
        Some(self.end(status))
    }

    fn end(&mut self, status: ExitStatus) -> End {
        match (self.armed.take(), status.signal()) {
            (Some(place), Some(9)) => End::AtPlace(place),
            (_, Some(signal)) => End::Signal(signal),
            (_, None) => End::Code(status.code().unwrap_or_default()),
        }
    }

    /// Waits for its end.
    pub fn await_end(&mut self, within: Duration) -> Option<End> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(end) = self.ended() {
                return Some(end);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), signal).expect("a signal to a child");
        }
    }

    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("it ended");
        }
        self.armed = None;
    }

    /// Asks it to stop, and does not wait.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to stop and returns how it ended. If it does not stop it is killed, which is reported.
    pub fn stop(&mut self) -> Result<End, String> {
        self.terminate();
        if let Some(end) = self.await_end(STOP) {
            return Ok(end);
        }
        self.kill();
        Err(format!("{} did not stop within {} s of SIGTERM", self.name, STOP.as_secs()))
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    pub fn forget_state(&self) {
        if self.state.exists() {
            fs::remove_dir_all(&self.state).expect("the state is gone");
        }
    }

    /// Memory in use, in MiB.
    pub fn rss_mib(&self) -> Option<u64> {
        let pid = self.child.as_ref()?.id();
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib / 1_024)
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // This also kills a paused process.
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// So that `ops/faults` can end leftover processes if this process is killed.
fn note_pid(pid: u32) {
    let Ok(path) = std::env::var("TAILBURN_FAULTS_PIDS") else { return };
    let note = || writeln!(fs::File::options().create(true).append(true).open(Path::new(&path))?, "{pid}");
    if let Err(e) = note() {
        eprintln!("{path}: {e}");
    }
}

//! Tells what the files of a backtest say, as if the backtest ended now: time runs from record to record.

use super::courier::Courier;
use crate::command::{Failure, Voice, records};
use crate::model::time::{HOUR_MS, Ms};
use crate::notify::{Action, Core, Event, News, Outcome, Plan, Position, Silence, Source};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The silences among the files of a directory.
pub const SILENCES: &str = "silences.jsonl";
/// How long, in the time of the replay, a receiver is tried that cannot be told.
const PATIENCE_MS: Ms = HOUR_MS;
/// Between two tries, where time is not waited for.
const PAUSE: Duration = Duration::from_millis(500);

pub fn run(dir: &Path, plan: Arc<Plan>, courier: Courier, voice: Voice) -> Result<(), Failure> {
    let mut all = read(dir)?;
    all.sort_by_key(|(at, news)| (news.at, at.source.topic, at.offset));
    let last_ms = all.last().map_or(0, |(_, news)| news.at.0);
    let shift_ms = now_ms() - last_ms;
    let mut replay = Replay { core: Core::new(plan, 0), courier, now_ms: Ms::MIN, sent: BTreeMap::new() };
    for silence in silences(dir)? {
        replay.step(Event::Silence(silence))?;
    }
    let records = all.len();
    for (at, news) in all {
        let news = news.shifted(shift_ms);
        let written_ms = news.at.0;
        replay.until(written_ms)?;
        replay.step(Event::News { news: Box::new(news), at, written_ms })?;
    }
    replay.finish()?;
    let sent: Vec<String> = replay.sent.iter().map(|(receiver, count)| format!("{count} to {receiver}")).collect();
    let sent = if sent.is_empty() { "nothing".to_owned() } else { sent.join(", ") };
    let verb = if replay.courier.is_dry() { "would send" } else { "sent" };
    voice.say(&format!("{records} records of {}: {verb} {sent}", dir.display()));
    if replay.core.has_to_tell() {
        return Err(anyhow::anyhow!("not everybody could be told: see above").into());
    }
    Ok(())
}

struct Replay {
    core: Core,
    courier: Courier,
    now_ms: Ms,
    /// Requests that were taken, by receiver.
    sent: BTreeMap<String, u64>,
}

impl Replay {
    /// Time passes up to `to_ms`, with all that is due on the way.
    fn until(&mut self, to_ms: Ms) -> Result<(), Failure> {
        if self.now_ms < to_ms && self.now_ms != Ms::MIN {
            self.step(Event::Tick)?;
        }
        while let Some(wake_ms) = self.core.wake_ms().filter(|wake_ms| *wake_ms < to_ms) {
            self.now_ms = self.now_ms.max(wake_ms);
            self.step(Event::Tick)?;
        }
        self.now_ms = self.now_ms.max(to_ms);
        Ok(())
    }

    /// Until everybody was told, or for an hour.
    fn finish(&mut self) -> Result<(), Failure> {
        self.step(Event::Tick)?;
        let end_ms = self.now_ms.saturating_add(PATIENCE_MS);
        while self.core.has_to_tell()
            && let Some(wake_ms) = self.core.wake_ms().filter(|wake_ms| *wake_ms <= end_ms)
        {
            self.now_ms = self.now_ms.max(wake_ms);
            self.step(Event::Tick)?;
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), Failure> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.core.decide(event, self.now_ms) {
                match action {
                    Action::Say(notice) => self.courier.say(&notice)?,
                    Action::Send { delivery, receiver, content } => {
                        let outcome = self.courier.send(receiver, &content)?;
                        if outcome == Outcome::Delivered {
                            let name = self.courier.name(receiver).to_owned();
                            *self.sent.entry(name).or_default() += 1;
                        } else if matches!(outcome, Outcome::TryAgain { .. }) {
                            #[expect(
                                clippy::disallowed_methods,
                                reason = "a receiver that cannot be reached gets a moment"
                            )]
                            std::thread::sleep(PAUSE);
                        }
                        events.push(Event::Answer { delivery, outcome });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The news in a directory, each with a place of its own.
fn read(dir: &Path) -> Result<Vec<(Position, News)>, Failure> {
    if !dir.is_dir() {
        let dir = dir.display();
        return Err(Failure::Usage(format!("{dir}: no such directory; `tailburn backtest --out {dir}` writes it")));
    }
    let mut found = Vec::new();
    records::each(dir, &News::TOPICS, &mut |topic, _, json| {
        let offset = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let at = Position { source: Source { topic, partition: 0 }, offset };
        found.extend(News::of(topic, json)?.map(|news| (at, news)));
        Ok(())
    })?;
    Ok(found)
}

/// The latest of each silence in a directory's file, if it has one.
pub fn silences(dir: &Path) -> Result<Vec<Silence>, Failure> {
    let path = dir.join(SILENCES);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(anyhow::Error::from(error).context(path.display().to_string()).into()),
    };
    let mut latest: BTreeMap<String, Silence> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let silence: Silence = serde_json::from_str(line).with_context(|| format!("{}:{number}", path.display()))?;
        latest.insert(silence.id.clone(), silence);
    }
    Ok(latest.into_values().collect())
}

#[expect(clippy::disallowed_methods, reason = "files of the past are told as if they ended now")]
pub fn now_ms() -> Ms {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| Ms::try_from(since.as_millis()).unwrap_or(Ms::MAX))
}

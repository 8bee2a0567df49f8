//! What holds for any traffic, any failures and any kill.

use super::story::{SOURCE, written_ms};
use super::{Story, alert, plan};
use crate::notify::{Content, Outcome, Plan, What};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    /// An alert of this key goes on: it fires, or ends if it fires.
    Next {
        key: usize,
        severity: bool,
    },
    Wait {
        seconds: i64,
    },
    /// The receiver is away, or back.
    Away(bool),
    /// kill -9 and a successor.
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..6usize, any::<bool>()).prop_map(|(key, severity)| Step::Next { key, severity }),
        4 => (1..120i64).prop_map(|seconds| Step::Wait { seconds }),
        1 => any::<bool>().prop_map(Step::Away),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..60)
}

fn the_plan(cap: usize, group_by: &str) -> Arc<Plan> {
    let receivers = json!({"hook": {"type": "webhook", "url": "http://x/", "at_most": format!("{cap} per 1m")}});
    plan(receivers, json!([{"receiver": "hook", "group_by": [group_by]}]))
}

/// What happened to the alerts, by id: seconds of firing and end.
type Lives = BTreeMap<String, (i64, Option<i64>)>;

struct Run {
    /// Every message that was taken, of all processes.
    told: Vec<Arc<Content>>,
    lives: Lives,
    log: Vec<Json>,
    /// Something was said to be lost: the receiver was away for longer than news is worth telling.
    has_losses: bool,
}

/// Plays the steps; at the end the receiver is back and everything is told.
fn play(plan: &Arc<Plan>, steps: &[Step]) -> Run {
    let mut story = Story::new(plan);
    let (mut log, mut lives, mut told) = (Vec::new(), Lives::new(), Vec::new());
    let mut has_losses = false;
    let mut open: BTreeMap<(usize, bool), (u64, bool)> = BTreeMap::new();
    let mut now_s = 0;
    for step in steps {
        match step {
            Step::Next { key, severity } => {
                let (episode, fires) = open.entry((*key, *severity)).or_default();
                let name = if *severity { "page" } else { "ticket" };
                let of = format!("s{key}|aggregate");
                let (state, seq) = if *fires { ("resolved", 2) } else { ("firing", 1) };
                *episode += u64::from(!*fires);
                *fires = !*fires;
                let record = alert(&of, name, state, *episode, seq, now_s);
                let life = lives.entry(record["id"].as_str().expect("an id").to_owned()).or_insert((now_s, None));
                if !*fires {
                    life.1 = Some(now_s);
                }
                log.push(record.clone());
                story.record(&record);
            }
            Step::Wait { seconds } => {
                now_s += seconds;
                story.until(now_s);
            }
            Step::Away(true) => {
                story.answers.insert(0, Outcome::TryAgain { why: "away".to_owned(), after_ms: None });
            }
            Step::Away(false) => story.answers.clear(),
            Step::Kill => {
                let answers = std::mem::take(&mut story.answers);
                has_losses |= story.notices.iter().any(|notice| notice.is_loss());
                told.extend(story.told.drain(..).map(|(_, content)| content));
                let resume = story.core.resume().into_iter().find(|(source, _)| *source == SOURCE).expect("ours").1;
                let (now_ms, read) = (story.now_ms, story.next);
                story = Story::resumed(plan, resume, now_ms);
                story.answers = answers;
                let from = usize::try_from(resume.state_from).expect("an offset");
                let upto = usize::try_from(read).expect("an offset");
                for record in &log[from..upto] {
                    let at = written_ms(record);
                    story.record_of(crate::model::record::Topic::BurnAlerts, record, at);
                }
            }
        }
    }
    story.answers.clear();
    story.until(now_s + 3_000);
    assert_eq!(story.core.open(), (0, 0), "somebody still waits");
    told.extend(story.told.drain(..).map(|(_, content)| content));
    has_losses |= story.notices.iter().any(|notice| notice.is_loss());
    Run { told, lives, log, has_losses }
}

fn changes(run: &Run) -> Vec<(What, String, String, i64)> {
    let messages = run.told.iter().filter_map(|content| match &**content {
        Content::Message(message) => Some(message),
        Content::Standing(_) => None,
    });
    let of = |m: &crate::notify::Message| -> Vec<_> {
        m.changes.iter().map(|c| (c.what, c.news.id.clone(), c.news.item.clone(), m.at_ms)).collect()
    };
    messages.flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// A page that fired long enough to be told, while the receiver was not away for too long, is told; and so is its end.
    #[test]
    fn no_page_is_lost(steps in steps(), cap in 2..6usize, alone in any::<bool>()) {
        let never_away: Vec<Step> = steps.into_iter().filter(|step| !matches!(step, Step::Away(true))).collect();
        let plan = the_plan(cap, if alone { "dedup_key" } else { "service" });
        let run = play(&plan, &never_away);
        let told = changes(&run);
        for (id, (_, ended)) in run.lives.iter().filter(|(id, _)| id.contains("-page-")) {
            let was_told = told.iter().any(|(_, of, ..)| of == id);
            // One that was followed by the next of its kind before the group's turn came is told as that.
            let (item, episode) = id.rsplit_once('-').expect("an episode");
            let next = format!("{item}-{}", episode.parse::<u64>().expect("a number") + 1);
            prop_assert!(was_told || run.lives.contains_key(&next), "{id} was never told: {told:?}");
            if ended.is_none() {
                prop_assert!(told.iter().any(|(what, of, ..)| of == id && *what != What::Ended), "{id} fires, untold");
            }
        }
    }

    /// The last that is said of an item is how it is, except where the log says that it was not told.
    #[test]
    fn the_last_word_is_true(steps in steps(), alone in any::<bool>()) {
        let plan = the_plan(5, if alone { "dedup_key" } else { "service" });
        let run = play(&plan, &steps);
        let mut last: BTreeMap<String, What> = BTreeMap::new();
        for (what, _, item, _) in changes(&run) {
            last.insert(item, what);
        }
        for (item, what) in last {
            let page_fires = |item: &str| {
                let page = item.replace("-ticket", "-page");
                let last = run.log.iter().rfind(|record| record["dedup_key"] == page.as_str());
                last.is_some_and(|record| record["state"] == "firing")
            };
            if item.ends_with("-ticket") && page_fires(&item) {
                continue;
            }
            let record = run.log.iter().rfind(|record| record["dedup_key"] == item.as_str()).expect("a record");
            if run.has_losses && record["state"] == "firing" {
                continue;
            }
            prop_assert_eq!(what == What::Ended, record["state"] == "resolved", "{}", item);
        }
    }

    /// A ticket that fires and that no page hides is told, however often the receiver was away and the process killed.
    #[test]
    fn no_ticket_is_lost_under_its_page(steps in steps(), alone in any::<bool>()) {
        let plan = the_plan(5, if alone { "dedup_key" } else { "service" });
        let run = play(&plan, &steps);
        let told = changes(&run);
        let page_fires = |id: &str| {
            let (item, _) = id.rsplit_once("-ticket-").expect("a ticket");
            run.lives.iter().any(|(page, (_, ended))| page.starts_with(&format!("{item}-page-")) && ended.is_none())
        };
        let goes_on = run.lives.iter().filter(|(id, (_, ended))| id.contains("-ticket-") && ended.is_none());
        for (id, _) in goes_on.filter(|(id, _)| !run.has_losses && !page_fires(id)) {
            prop_assert!(told.iter().any(|(what, of, ..)| of == id && *what != What::Ended), "{id} fires, untold");
        }
    }

    /// One id, one content; one key, one group.
    #[test]
    fn an_id_has_one_content_and_a_key_one_group(steps in steps(), alone in any::<bool>()) {
        let plan = the_plan(3, if alone { "dedup_key" } else { "slo" });
        let run = play(&plan, &steps);
        let (mut by_id, mut by_key) = (BTreeMap::new(), BTreeMap::new());
        for content in &run.told {
            let Content::Message(message) = &**content else { continue };
            prop_assert_eq!(by_id.entry(message.id.clone()).or_insert(message), &message);
            prop_assert_eq!(by_key.entry(message.dedup_key.clone()).or_insert(&message.group), &&message.group);
        }
    }

    /// The order in which partitions are read does not decide who is told of what.
    #[test]
    fn order_between_keys_does_not_matter(keys in prop::collection::vec(0..40usize, 1..40), seed in any::<u64>()) {
        let plan = the_plan(50, "service");
        let told = |order: &[usize]| -> BTreeSet<String> {
            let mut story = Story::new(&plan);
            let mut seen = BTreeSet::new();
            for key in order.iter().filter(|key| seen.insert(**key)) {
                story.record(&alert(&format!("s{key}|aggregate"), "page", "firing", 1, 1, 0));
                if key % 2 == 0 {
                    story.record(&alert(&format!("s{key}|aggregate"), "ticket", "firing", 1, 1, 0));
                }
            }
            story.until(60);
            story.said(0).iter().flat_map(|said| said.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect()
        };
        let mut other = keys.clone();
        let len = other.len() as u64;
        (0..other.len()).for_each(|i| other.swap(i, ((seed >> (i % 48)) % len) as usize));
        prop_assert_eq!(told(&keys), told(&other));
    }
}

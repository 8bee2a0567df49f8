//! Brokers that go away and come back.

use crate::fleet::End;
use crate::play::Play;
use std::time::{Duration, Instant};

/// How much longer a restart takes than a kill.
const KILLS_PER_ROUND: u64 = 10;
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Alternates between graceful stop and SIGKILL.
pub fn restarted(play: &mut Play<'_>) {
    let rounds = play.options.kills.div_ceil(KILLS_PER_ROUND);
    play.pace.end_in(Duration::from_secs(50 * rounds));
    for _ in 0..rounds {
        works(play);
        at_any_moment(play);
        play.stage.broker.terminate();
        play.count("broker stopped gracefully");
        back(play);
        works(play);
        at_any_moment(play);
        play.stage.broker.kill();
        play.count("broker killed");
        back(play);
    }
    works(play);
}

/// Not always right after a commit.
fn at_any_moment(play: &mut Play<'_>) {
    let time = play.dice.millis(0, 700);
    play.wait(time);
}

fn back(play: &mut Play<'_>) {
    play.stage.broker.restart();
    play.say("the broker is back");
}

fn works(play: &mut Play<'_>) {
    if !play.until_it_works(BACK_WITHIN) {
        play.complain(format!("nothing was published for {} s", BACK_WITHIN.as_secs()));
    }
}

/// How much memory may grow during an outage: records in flight when the broker died, and the clients' queues.
const GROWTH_MIB: u64 = 96;

pub fn down(play: &mut Play<'_>) {
    let outage = play.options.lasting(Duration::from_secs(60));
    play.pace.end_in(outage + Duration::from_secs(60));
    works(play);
    let before: Vec<u64> = rss(play);
    play.stage.broker.kill();
    play.count("broker killed");
    let (until, mut most) = (Instant::now() + outage, before.clone());
    while Instant::now() < until {
        play.wait(Duration::from_secs(1));
        most = rss(play).into_iter().zip(most).map(|(now, most)| now.max(most)).collect();
    }
    play.note(format!("memory before the outage of {} s {before:?} MiB, at most {most:?} MiB", outage.as_secs()));
    if before.iter().zip(&most).any(|(before, most)| *most > before + GROWTH_MIB) {
        play.complain(format!("memory grew from {before:?} to {most:?} MiB while the broker was away"));
    }
    back(play);
    works(play);
}

fn rss(play: &Play<'_>) -> Vec<u64> {
    play.fleet.iter().map(|instance| instance.rss_mib().unwrap_or_default()).collect()
}

/// This does not test timing: it is the time after which a service manager gives up.
const STOPPED_WITHIN: Duration = Duration::from_secs(90);

pub fn stopped_while_down(play: &mut Play<'_>) {
    play.pace.end_in(Duration::from_secs(60));
    works(play);
    play.stage.broker.kill();
    play.count("broker killed");
    play.wait(Duration::from_secs(5));
    for n in 0..play.fleet.len() {
        let began = Instant::now();
        play.fleet[n].terminate();
        play.count("SIGTERM without a broker");
        match play.fleet[n].await_end(STOPPED_WITHIN) {
            None => play.complain(format!("{} still ran {} s after SIGTERM", n, STOPPED_WITHIN.as_secs())),
            Some(End::Code(code)) => {
                play.note(format!(
                    "instance {n} exited {:.1} s after SIGTERM, code {code}",
                    began.elapsed().as_secs_f64()
                ));
            }
            Some(end) => play.complain(format!("instance {n} ended with {end:?} after SIGTERM")),
        }
        play.fleet[n].kill();
    }
    back(play);
    play.fleet.iter_mut().for_each(crate::fleet::Instance::start);
    works(play);
}

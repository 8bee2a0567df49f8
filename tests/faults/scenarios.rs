//! All scenarios: their rows of the fault matrix, what they need, and their faults.

use crate::options::Options;
use crate::play::Play;
use crate::stage::Settings;
use crate::strikes::{brokers, changelog, clocks, disks, inputs, kills, members, named, pauses};
use crate::traffic::Kind;
use std::time::Duration;

/// Which broker a scenario may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    AnyBroker,
    /// Its own broker with a separate controller, because it will be killed.
    BrokerApart,
}

pub struct Scenario {
    pub name: &'static str,
    /// Row of the fault matrix.
    pub row: &'static str,
    pub about: &'static str,
    pub needs: Needs,
    pub traffic: Kind,
    pub settings: Settings,
    /// Whether all instances run before the first fault.
    pub starts_all: bool,
    /// Hours of event time.
    pub hours: fn(&Options) -> u64,
    /// The length of the traffic unless the faults determine it.
    pub pace: fn(&Options) -> Duration,
    /// Why it cannot be played on this machine.
    pub can_be_played: fn() -> Result<(), String>,
    pub strike: fn(&mut Play<'_>),
}

const USUAL: Scenario = Scenario {
    name: "",
    row: "",
    about: "",
    needs: Needs::AnyBroker,
    traffic: Kind::Usual,
    settings: Settings::USUAL,
    starts_all: true,
    hours: |_| 3,
    pace: |_| Duration::from_secs(60),
    can_be_played: || Ok(()),
    strike: |_| {},
};

/// Enough hours of traffic for this many kills, but less than a day, so that 1d windows contain everything.
fn hours_for_kills(options: &Options) -> u64 {
    (3 + options.kills / 10).min(20)
}

pub static ALL: [Scenario; 25] = [
    Scenario {
        name: "undisturbed",
        row: "-",
        about: "nothing strikes: the comparison itself",
        pace: |_| Duration::from_secs(5),
        strike: |play| play.wait(Duration::from_secs(5)),
        ..USUAL
    },
    Scenario {
        name: "named-points",
        row: "1",
        about: "an instance dies at each of the places of `fault::Place`, again and again",
        hours: hours_for_kills,
        starts_all: false,
        strike: named::everywhere,
        ..USUAL
    },
    Scenario {
        name: "random-kills",
        row: "2",
        about: "SIGKILL at random times to a random instance",
        hours: hours_for_kills,
        strike: kills::at_random,
        ..USUAL
    },
    Scenario {
        name: "empty-disk",
        row: "2",
        about: "killed, and started without its state directory",
        strike: disks::emptied,
        ..USUAL
    },
    Scenario {
        name: "pause-session",
        row: "3",
        about: "SIGSTOP for longer than session.timeout.ms",
        settings: Settings { session_timeout_ms: 6_000, ..Settings::USUAL },
        strike: pauses::beyond_the_session,
        ..USUAL
    },
    Scenario {
        name: "pause-transaction",
        row: "4",
        about: "SIGSTOP for longer than a transaction may stay open, while the group waits",
        settings: Settings { session_timeout_ms: 60_000, ..Settings::USUAL },
        strike: pauses::beyond_the_transaction,
        ..USUAL
    },
    Scenario {
        name: "duplicate-id",
        row: "5",
        about: "two processes with one transactional id: one exits with an error",
        strike: members::one_id_twice,
        ..USUAL
    },
    Scenario {
        name: "rebalance-storm",
        row: "6",
        about: "an instance joins or leaves every 2 s, up to 1, 2 and 4 of them",
        hours: |_| 6,
        strike: members::storm,
        ..USUAL
    },
    Scenario {
        name: "slow-handler",
        row: "7",
        about: "only the worker's thread stands still for longer than max.poll.interval.ms: heartbeats go on",
        settings: Settings { session_timeout_ms: 6_000, max_poll_interval_ms: 8_000, ..Settings::USUAL },
        can_be_played: pauses::can_hold_a_thread,
        strike: pauses::beyond_the_poll_interval,
        ..USUAL
    },
    Scenario {
        name: "broker-restart",
        row: "8",
        about: "the broker is restarted, gracefully and by SIGKILL",
        needs: Needs::BrokerApart,
        strike: brokers::restarted,
        ..USUAL
    },
    Scenario {
        name: "broker-down",
        row: "9",
        about: "the broker is away for a minute (or as long as --minutes says); memory stays bounded",
        needs: Needs::BrokerApart,
        strike: brokers::down,
        ..USUAL
    },
    Scenario {
        name: "stop-while-down",
        row: "10",
        about: "SIGTERM while the broker is away: the process exits by a deadline",
        needs: Needs::BrokerApart,
        strike: brokers::stopped_while_down,
        ..USUAL
    },
    Scenario {
        name: "full-disk",
        row: "17",
        about: "the state's file system is full for a while",
        starts_all: false,
        can_be_played: disks::can_mount,
        strike: disks::full,
        ..USUAL
    },
    Scenario {
        name: "state-cut",
        row: "19, 20",
        about: "the tails of RocksDB's WAL, SST and MANIFEST files are cut off between restarts",
        strike: disks::cut,
        ..USUAL
    },
    Scenario {
        name: "clock",
        row: "23",
        about: "the wall clock of an instance is an hour ahead, an hour behind",
        can_be_played: clocks::can_be_faked,
        starts_all: false,
        strike: clocks::off_by_an_hour,
        ..USUAL
    },
    Scenario {
        name: "all-kinds",
        row: "24, 25, 27, 29, 30",
        about: "disorder, lateness, duplicates, poison, impossible times, unknown tenants, under random kills",
        traffic: Kind::Hostile,
        strike: inputs::all_kinds,
        ..USUAL
    },
    Scenario {
        name: "huge-message",
        row: "31",
        about: "records of 2 and 9 MB on a topic that takes them",
        traffic: Kind::Huge,
        pace: |_| Duration::from_secs(10),
        strike: |play| play.wait(Duration::from_secs(10)),
        ..USUAL
    },
    Scenario {
        name: "idle-partition",
        row: "26",
        about: "a partition on which nothing ever comes is passed over; killed there too",
        traffic: Kind::OneSilent,
        settings: Settings { idle_timeout: "2s", ..Settings::USUAL },
        // Traffic that is sent at once cannot become idle halfway.
        pace: |_| Duration::ZERO,
        starts_all: false,
        strike: inputs::silent,
        ..USUAL
    },
    Scenario {
        name: "replay",
        row: "27",
        about: "another application id reads the same input from its beginning: the same records",
        pace: |_| Duration::from_secs(5),
        strike: inputs::replayed,
        ..USUAL
    },
    Scenario {
        name: "offsets-reset",
        row: "27",
        about: "the group's offsets are set to the beginning under a state that is further: refused",
        pace: |_| Duration::from_secs(5),
        strike: inputs::rewound,
        ..USUAL
    },
    Scenario {
        name: "changelog-cut",
        row: "37",
        about: "all records of the changelog are deleted while the state is warm",
        strike: changelog::cut,
        ..USUAL
    },
    Scenario {
        name: "changelog-new",
        row: "37",
        about: "the changelog is deleted and made again while the state is warm",
        strike: changelog::made_again,
        ..USUAL
    },
    Scenario {
        name: "changelog-and-state-gone",
        row: "37",
        about: "the changelog is cut and the state directory is gone: refused with a remedy",
        strike: changelog::gone_with_the_state,
        ..USUAL
    },
    Scenario {
        name: "kills-and-pauses",
        row: "1, 2, 3",
        about: "named places, random kills and pauses in turns",
        hours: hours_for_kills,
        settings: Settings { session_timeout_ms: 6_000, ..Settings::USUAL },
        strike: kills::of_all_kinds,
        ..USUAL
    },
    Scenario {
        name: "short",
        row: "1, 2",
        about: "about ten kills, named and random: the one that every run of the tests plays",
        settings: Settings { session_timeout_ms: 2_000, ..Settings::USUAL },
        starts_all: false,
        strike: kills::a_few,
        ..USUAL
    },
];

/// Not one of [`ALL`]: it shows that the comparison finds a mistake.
pub static FORGED: Scenario = Scenario {
    name: "forged",
    row: "-",
    about: "somebody publishes a record of ours a second time",
    pace: |_| Duration::from_secs(5),
    strike: inputs::forged,
    ..USUAL
};

pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

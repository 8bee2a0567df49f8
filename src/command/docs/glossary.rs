//! What the terms of statuses and alerts mean, for those who read them and do not run tailburn.

/// By topic, then as a reader meets them.
pub const TERMS: [(&str, &str); 26] = [
    ("SLO", "An objective for a service: which share of what its users ask for must be good, over a window of time."),
    ("good, bad", "What counts for the objective and was served well, or was not. Each event counts with its weight."),
    ("excluded", "An event that does not count here: another operation, a health check, maintenance."),
    ("unclassified", "An event that counts but lacks a field that decides: neither good nor bad, and counted apart."),
    ("SLI", "Good / (good + bad) in a window. Empty where nothing happened: then it is neither 1 nor 0."),
    ("compliance window", "The time that the objective is about: the last 28 days, say, or a calendar month."),
    ("error budget", "What may be bad: 1 - objective. At 99.9 % it is 1 of 1,000."),
    ("burn", "How fast the budget is spent: at 1 it lasts for exactly the window, at 10 for a tenth of it."),
    ("budget remaining", "The part of the budget that is left; below 0 it is overdrawn."),
    ("coverage", "The part of a window for which there are records. Below 1 the SLO is younger than its window."),
    ("ok", "State: no alert fires, and less than 75 % of the budget is spent."),
    ("at_risk", "State: an alert fires, or at least 75 % of the budget is spent."),
    ("breached", "State: the budget of the window is spent."),
    ("no_data", "State: no event for an hour (or what the SLO says). Not the same as good."),
    ("warming_up", "Flag: the records do not cover the compliance window yet."),
    ("degraded_data", "Flag: over 1 % of the events of the last hour are unclassified."),
    ("incomplete", "Flag: a part of the input is late, and the figures may lack it."),
    ("page, ticket, info", "How urgent an alert is: wake somebody, look at it by day, know of it."),
    (
        "rule 1h/5m",
        "Fires while the budget burns too fast in both windows: the long one says that it matters, the short one that it goes on.",
    ),
    ("rule budget", "Fires when a good part of the budget is gone too fast, and chance does not explain it."),
    ("rule tail-1h, tail-1d", "Fires when the aggregate is fine and the worst-served users are not."),
    ("rule sla", "Fires when an agreement is missed, or will be at the rates of the last week."),
    (
        "held back",
        "A rule whose condition holds but that does not fire: too few events (min_events, low_traffic), or too young (not_warm).",
    ),
    ("single_user", "An alert that would be a page is a ticket, since one user has most of the failures."),
    (
        "cohort",
        "Attributes that the worst-served users or the failures have in common, such as one region and one release.",
    ),
    (
        "definition hash",
        "The fingerprint of a definition. Records with the same hash were computed by the same definition.",
    ),
];

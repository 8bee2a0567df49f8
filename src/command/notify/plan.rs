//! The plan of a configuration; its mistakes are those of the configuration.

use crate::config::{self, ConfigErrors, Loaded, Problem};
use crate::notify::{Plan, PlanError};

/// A reference to this process's environment, resolved.
#[expect(clippy::disallowed_methods, reason = "a secret is read where it is used, so that no other command needs it")]
fn resolved(text: &str) -> Result<String, String> {
    config::expand(text, |name| std::env::var(name).ok())
        .map_err(|config::UnknownVariable(name)| format!("refers to ${{{name}}}, which is not in the environment"))
}

/// The plan, with its secrets.
pub fn of(loaded: &Loaded) -> Result<Plan, ConfigErrors> {
    plan(loaded, &resolved)
}

/// Checks the form alone: other commands need no secrets.
pub fn check(loaded: &Loaded) -> Result<(), ConfigErrors> {
    plan(loaded, &|text| config::expand(text, |_| Some("https://x".to_owned())).map_err(|_| String::new())).map(drop)
}

fn plan(loaded: &Loaded, resolve: &dyn Fn(&str) -> Result<String, String>) -> Result<Plan, ConfigErrors> {
    let notify = &loaded.settings.notify;
    Plan::of(&notify.receivers, &notify.routes, notify.max_age_ms, resolve).map_err(|errors| {
        let of_error = |PlanError { key, message, remedy }| loaded.place(Problem::new(key, message, remedy));
        ConfigErrors { file: loaded.file.clone(), problems: errors.into_iter().map(of_error).collect() }
    })
}

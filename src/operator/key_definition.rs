//! What does not change about a key while its events do: its definition, and the boundary it is at.

use super::burn_rate::{RuleSpec, UsersKept, severity_cap};
use super::distribution::Limits;
use super::signal::budget::BudgetUnits;
use super::window::{Layout, Starts};
use crate::model::key::{OTHER, Scope, key_text};
use crate::model::output::Labels;
use crate::model::ratio::Ratio;
use crate::model::slo::{Severity, Slo};
use crate::model::time::{Ms, PANE_MS};

/// What stays the same about a key as long as its definition does.
#[derive(Debug)]
pub struct KeyDefinition<'a> {
    pub slo: &'a Slo,
    pub layout: &'a Layout,
    pub scope: &'a Scope,
    pub key_text: &'a str,
    pub objective: Ratio,
    /// The objective of the agreement, where one holds for the key.
    pub sla: Option<Ratio>,
    pub specs: &'a [RuleSpec],
    /// `None`: without the rule `budget`.
    pub budget: Option<&'a BudgetUnits>,
    pub cap: Option<Severity>,
}

/// The owned part of [`KeyDefinition`].
#[derive(Clone, Debug)]
pub struct KeyIdentity {
    pub scope: Scope,
    pub key_text: String,
    pub objective: Ratio,
    pub sla: Option<Ratio>,
    pub specs: Vec<RuleSpec>,
    pub budget: Option<BudgetUnits>,
    pub cap: Option<Severity>,
}

impl KeyIdentity {
    pub fn of(slo: &Slo, layout: &Layout, scope: Scope) -> KeyIdentity {
        let objective = slo.objective_of(&scope);
        KeyIdentity {
            key_text: key_text(&slo.name, &scope),
            objective,
            sla: slo.sla_of(&scope),
            specs: RuleSpec::all_of(slo, &scope, objective, layout),
            budget: slo.has_budget_rule().then(|| BudgetUnits::of(objective, slo.period.nominal_ms())),
            cap: severity_cap(slo, matches!(scope, Scope::Tenant(_))),
            scope,
        }
    }

    pub fn definition<'a>(&'a self, slo: &'a Slo, layout: &'a Layout) -> KeyDefinition<'a> {
        KeyDefinition {
            slo,
            layout,
            scope: &self.scope,
            key_text: &self.key_text,
            objective: self.objective,
            sla: self.sla,
            specs: &self.specs,
            budget: self.budget.as_ref(),
            cap: self.cap,
        }
    }
}

/// The boundary a key is at.
#[derive(Clone, Copy, Debug)]
pub struct Boundary<'a> {
    pub at_ms: Ms,
    pub starts: &'a Starts,
    pub status_interval_ms: Ms,
    pub is_incomplete: bool,
    /// The last T of a bounded input.
    pub is_last: bool,
    /// The SLO has more groups than its limit.
    pub groups_overflow: bool,
    /// Of a group: the cohorts that the SLO's aggregate has open at this boundary.
    pub of_aggregate: &'a [OpenCohort],
}

/// An open cohort of the aggregate, as its groups see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCohort {
    /// Ascending by name.
    pub attributes: Vec<(String, String)>,
    pub id: String,
}

impl<'a> Boundary<'a> {
    /// A boundary of complete input at which no status is due because time went on.
    pub const fn without_statuses(at_ms: Ms, starts: &'a Starts) -> Boundary<'a> {
        Boundary {
            at_ms,
            starts,
            status_interval_ms: Ms::MAX,
            is_incomplete: false,
            is_last: false,
            groups_overflow: false,
            of_aggregate: &[],
        }
    }
}

impl KeyDefinition<'_> {
    pub fn is_tenant(&self) -> bool {
        matches!(self.scope, Scope::Tenant(_))
    }

    /// How far back the rules ask who was seen, at a boundary at which users are forgotten: one in a minute.
    pub fn users_kept(&self, boundary: &Boundary<'_>) -> Option<UsersKept> {
        if boundary.at_ms % (6 * PANE_MS) != 0 {
            return None;
        }
        let start_of = |spec: &RuleSpec| boundary.starts.windows_ms[spec.long];
        let pages = self.specs.iter().filter(|spec| spec.severity == Severity::Page);
        Some(UsersKept {
            seen_from_ms: self.specs.iter().map(start_of).min(),
            bad_from_ms: pages.map(start_of).min().unwrap_or(boundary.at_ms),
            // How far back an event can lie that may still become visible, plus a pane.
            named_from_ms: boundary.at_ms - PANE_MS * 2 - self.slo.allowed_lateness_ms,
        })
    }

    pub fn user_limits(&self) -> Limits {
        Limits { min_events: self.slo.min_user_events, objective: self.objective }
    }

    /// Tenant and group as in every record.
    pub fn scope_fields(&self) -> (Option<String>, Labels) {
        match self.scope {
            Scope::Aggregate => (None, Labels::new()),
            Scope::Tenant(tenant) => (Some(tenant.clone()), Labels::new()),
            Scope::Group(pairs) => (None, pairs.iter().cloned().collect()),
            Scope::OtherGroups => {
                (None, self.slo.group_by.iter().map(|name| (name.clone(), OTHER.to_owned())).collect())
            }
        }
    }

    /// The SLO and its scope in words.
    pub fn name_in_words(&self) -> String {
        let display_name = &self.slo.display_name;
        let name = match &self.slo.objective_name {
            // Objectives of one document share its name.
            Some(objective) => format!("{display_name} ({objective})"),
            None => display_name.clone(),
        };
        match self.scope {
            Scope::Aggregate => name,
            Scope::Tenant(tenant) => format!("{name} for {tenant}"),
            Scope::OtherGroups => format!("{name} for all other groups"),
            Scope::Group(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{name} for {}", pairs.join(","))
            }
        }
    }
}

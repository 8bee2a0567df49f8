//! Definitions that hold no more: what is kept of them, and how keys go over to the next one or end
//! (contract, section 2).
//!
//! A checkpoint holds the definitions that its keys were evaluated by. Where a build starts with others,
//! each key takes its first boundary twice: once by the former definition, up to the figures with which
//! its alerts end, and then by the present one. A key without a present one ends there.

use super::rollup::{At, Definition, Key, RollupSettings, Said, Writer};
use crate::codec::output::EncodeError;
use crate::model::expr::{Condition, Filter};
use crate::model::key::Scope;
use crate::model::period::{Method, Period};
use crate::model::ratio::Ratio;
use crate::model::record::RecordOut;
use crate::model::slo::{Criterion, Documentation, Indicator, Rule, Slo, TenantAlerts};
use crate::model::time::Ms;
use crate::operator::episode::Resolved;
use crate::operator::key_definition::KeyIdentity;
use crate::operator::key_state::KeyOutput;
use crate::operator::window::{Layout, Starts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A definition as checkpoints hold it: all that evaluates a key. The filters are not in it, for what they
/// decided has been counted; their hash says which counts are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredDefinition {
    name: String,
    display_name: String,
    objective_name: Option<String>,
    service: String,
    labels: BTreeMap<String, String>,
    documentation: Documentation,
    objective: Ratio,
    tenant_objectives: BTreeMap<String, Ratio>,
    period: Period,
    method: Method,
    group_by: Vec<String>,
    tenant_alerts: TenantAlerts,
    user_windows_ms: Vec<Ms>,
    rules: Vec<Rule>,
    min_events: u64,
    /// The guards low traffic and single user, the budget rule, cohorts.
    switches: [bool; 4],
    resolve_after_ms: Option<Ms>,
    no_data_after_ms: Ms,
    min_user_events: u64,
    allowed_lateness_ms: Ms,
    definition_hash: String,
    filters_hash: String,
}

impl StoredDefinition {
    pub fn of(slo: &Slo) -> StoredDefinition {
        StoredDefinition {
            name: slo.name.clone(),
            display_name: slo.display_name.clone(),
            objective_name: slo.objective_name.clone(),
            service: slo.service.clone(),
            labels: slo.labels.clone(),
            documentation: slo.documentation.clone(),
            objective: slo.objective,
            tenant_objectives: slo.tenant_objectives.clone(),
            period: slo.period,
            method: slo.method,
            group_by: slo.group_by.clone(),
            tenant_alerts: slo.tenant_alerts,
            user_windows_ms: slo.user_windows_ms.clone(),
            rules: slo.rules.clone(),
            min_events: slo.min_events,
            switches: [slo.low_traffic_guard, slo.single_user_guard, slo.budget_rule, slo.cohorts],
            resolve_after_ms: slo.resolve_after_ms,
            no_data_after_ms: slo.no_data_after_ms,
            min_user_events: slo.min_user_events,
            allowed_lateness_ms: slo.allowed_lateness_ms,
            definition_hash: slo.definition_hash.clone(),
            filters_hash: slo.filters_hash.clone(),
        }
    }

    pub fn is(&self, name: &str, definition_hash: &str) -> bool {
        self.name == name && self.definition_hash == definition_hash
    }

    /// The definition, to end its keys with. No event is classified by it.
    pub fn into_slo(self) -> Slo {
        let nothing_is_asked = Criterion::Good(Filter::new("", Condition::Literal(true)));
        let [low_traffic_guard, single_user_guard, budget_rule, cohorts] = self.switches;
        Slo {
            name: self.name,
            display_name: self.display_name,
            objective_name: self.objective_name,
            service: self.service,
            labels: self.labels,
            documentation: self.documentation,
            indicator: Indicator { name: String::new(), total: None, criterion: nothing_is_asked },
            objective: self.objective,
            tenant_objectives: self.tenant_objectives,
            period: self.period,
            method: self.method,
            group_by: self.group_by,
            tenant_alerts: self.tenant_alerts,
            user_windows_ms: self.user_windows_ms,
            rules: self.rules,
            min_events: self.min_events,
            low_traffic_guard,
            single_user_guard,
            budget_rule,
            cohorts,
            resolve_after_ms: self.resolve_after_ms,
            no_data_after_ms: self.no_data_after_ms,
            min_user_events: self.min_user_events,
            allowed_lateness_ms: self.allowed_lateness_ms,
            definition_hash: self.definition_hash,
            filters_hash: self.filters_hash,
        }
    }
}

impl Definition {
    /// One that holds no more.
    pub fn former(slo: Slo) -> Definition {
        // No partial names it.
        Definition { id: 0, layout: Layout::of(&slo), starts: Starts::default(), groups_overflow: false, slo }
    }

    /// Whether a key of the former definition is one of this: the same events, in the same way.
    pub fn goes_on_from(&self, former: &Slo, scope: &Scope) -> bool {
        let is_group = matches!(scope, Scope::Group(_) | Scope::OtherGroups);
        self.slo.name == former.name
            && self.slo.filters_hash == former.filters_hash
            && (!is_group || self.slo.group_by == former.group_by)
    }

    /// Whether it can have a key with this scope: what is said by others may be of another `group-by`.
    pub fn has_scope(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Aggregate | Scope::Tenant(_) => true,
            Scope::Group(pairs) => pairs.iter().map(|(name, _)| name).eq(&self.slo.group_by),
            Scope::OtherGroups => !self.slo.group_by.is_empty(),
        }
    }
}

impl Key {
    /// The key's first boundary under its present definition, up to where it takes its step: what is said
    /// is added by the former one, whose alerts end with the figures of this boundary.
    pub fn go_over(
        &mut self,
        former: &Definition,
        present: &Definition,
        at: At,
        settings: &RollupSettings,
        said: &Said,
        out: &mut KeyOutput,
    ) {
        let identity = KeyIdentity::of(&former.slo, &former.layout, self.identity.scope.clone());
        let facts = identity.definition(&former.slo, &former.layout);
        let now = at.moments(&self.identity.scope, former, settings);
        self.state.advance(&facts, &now);
        self.state.apply(&facts, &now, &said.deltas.iter().collect::<Vec<_>>());
        self.state.end(&facts, &now, Resolved::DefinitionChanged, Some(&present.slo), out);
        self.state.redefine(&facts, &self.identity.definition(&present.slo, &present.layout), at.at_ms);
    }

    /// The last boundary of a key whose definition has gone, or which the present one does not have.
    pub fn end(
        mut self,
        definition: &Definition,
        why: Resolved,
        at: At,
        settings: &RollupSettings,
        out: &mut Vec<RecordOut>,
    ) -> Result<(), EncodeError> {
        let facts = self.identity.definition(&definition.slo, &definition.layout);
        let now = at.moments(&self.identity.scope, definition, settings);
        self.state.advance(&facts, &now);
        let mut output = KeyOutput { is_gone: self.state.exists(), ..KeyOutput::default() };
        self.state.end(&facts, &now, why, None, &mut output);
        let writer = Writer { settings, at_ms: at.at_ms, key: &self.identity.key_text };
        writer.write(&output, out)?;
        writer.forget_users(&mut self.listed_users, out);
        Ok(())
    }
}

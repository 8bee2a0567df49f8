//! Former definitions: how keys move on to the next definition, or end (contract, section 2).
//!
//! A checkpoint contains the definitions that its keys were evaluated by. If a program starts with others, each key takes
//! its first boundary twice: first by the former definition, whose alerts end with the figures of this boundary, and then
//! by the present one. A key without a present definition ends there.

use super::rollup_key::{At, Definition, RollupKey, RollupSettings, Said};
use super::rollup_writer::Writer;
use crate::codec::output::EncodeError;
use crate::model::key::Scope;
use crate::model::record::RecordOut;
use crate::model::slo::Slo;
use crate::operator::episode::Resolved;
use crate::operator::key_definition::KeyIdentity;
use crate::operator::key_state::KeyOutput;
use crate::operator::window::{Layout, Starts};

impl Definition {
    /// A former definition.
    pub fn former(slo: Slo) -> Definition {
        // No partial names it.
        Definition { id: 0, layout: Layout::of(&slo), starts: Starts::default(), groups_overflow: false, slo }
    }

    /// Whether a key of the former definition continues under this one: the same events, counted in the same way.
    pub fn goes_on_from(&self, former: &Slo, scope: &Scope) -> bool {
        let is_group = matches!(scope, Scope::Group(_) | Scope::OtherGroups);
        self.slo.name == former.name
            && self.slo.filters_hash == former.filters_hash
            && (!is_group || self.slo.group_by == former.group_by)
    }

    /// Whether it can have a key with this scope: partials of others may be by another `group-by`.
    pub fn has_scope(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Aggregate | Scope::Tenant(_) => true,
            Scope::Group(pairs) => pairs.iter().map(|(name, _)| name).eq(&self.slo.group_by),
            Scope::OtherGroups => !self.slo.group_by.is_empty(),
        }
    }
}

impl RollupKey {
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
        let key_definition = identity.definition(&former.slo, &former.layout);
        let now = at.moments(&self.identity.scope, former, settings);
        self.state.advance(&key_definition, &now);
        self.state.apply(&key_definition, &now, &said.deltas.iter().collect::<Vec<_>>());
        self.state.end(&key_definition, &now, Resolved::DefinitionChanged, Some(&present.slo), out);
        self.state.redefine(&key_definition, &self.identity.definition(&present.slo, &present.layout), at.at_ms);
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
        let key_definition = self.identity.definition(&definition.slo, &definition.layout);
        let now = at.moments(&self.identity.scope, definition, settings);
        self.state.advance(&key_definition, &now);
        let mut output = KeyOutput { is_gone: self.state.exists(), ..KeyOutput::default() };
        self.state.end(&key_definition, &now, why, None, &mut output);
        let writer = Writer { settings, at_ms: at.at_ms, key: &self.identity.key_text };
        writer.write(&output, out)?;
        writer.forget_users(&mut self.listed_users, out);
        Ok(())
    }
}

//! Reads the keys that a preset fills where the user does not.

use super::error::Origin;
use super::preset::{Preset, PresetContent};
use super::reader::Reader;
use serde_json::{Value, json};

impl Reader<'_> {
    /// A text that a preset may have; null means none, also with a preset.
    pub fn preset_text(
        &mut self,
        key: &str,
        preset: Option<Preset>,
        text: impl Fn(&PresetContent) -> Option<String>,
    ) -> Option<String> {
        let content = preset.map(Preset::content);
        let default = content.as_ref().and_then(&text);
        let read = self.nullable_text(key, default.as_deref());
        if let (Some(preset), Some(content), Some(entry)) = (preset, content, self.last_entry())
            && entry.origin == Origin::Default
            && default.is_some()
        {
            entry.origin = Origin::Preset { name: preset.name(), version: content.version };
        }
        read
    }

    /// A mapping on top of a preset's: the user's entries win, and one that is null takes the preset's away.
    pub fn preset_map(&mut self, key: &str, preset: Option<Preset>) -> Value {
        let own = self.json_map(key);
        let (Some(preset), Value::Object(mut all)) = (preset, own.clone()) else { return own };
        let content = preset.content();
        let origin = Origin::Preset { name: preset.name(), version: content.version };
        let is_alone = all.is_empty();
        let mut added = Vec::new();
        for (name, value) in content.mapping {
            match all.get(&name) {
                None => {
                    added.push((name.clone(), origin.clone()));
                    all.insert(name, value);
                }
                Some(Value::Null) => drop(all.shift_remove(&name)),
                Some(_) => {}
            }
        }
        if let Some(entry) = self.last_entry() {
            entry.value = json!(all);
            entry.items.extend(added);
            entry.origin = if is_alone { origin } else { entry.origin.clone() };
        }
        Value::Object(all)
    }
}

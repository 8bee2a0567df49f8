//! Presets: whole mappings for records that many people have. Each is a file of the repository with a version.

use super::convert::json_of_node;
use super::yaml::{self, Node, Placed};
use serde_json::{Map, Value};

/// The presets by name, with their files.
const FILES: [(&str, &str); 1] = [("litellm", include_str!("presets/litellm.yaml"))];

/// A preset by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset(usize);

/// What a preset sets where a user does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresetContent {
    pub version: i64,
    /// The software that it was tried with.
    pub of: String,
    pub default_tenant: Option<String>,
    pub mapping: Map<String, Value>,
}

impl Preset {
    pub const ALL: [(&'static str, Preset); FILES.len()] = [(FILES[0].0, Preset(0))];

    pub const fn name(self) -> &'static str {
        FILES[self.0].0
    }

    /// The text of its file.
    pub const fn text(self) -> &'static str {
        FILES[self.0].1
    }

    /// Its file, read. The files are part of the program, and a test reads each; a broken one would set nothing.
    pub fn content(self) -> PresetContent {
        let Ok(Placed { node: Node::Map(pairs), .. }) = yaml::parse(self.text()) else {
            return PresetContent::default();
        };
        let of = |key: &str| pairs.iter().find(|(name, ..)| name == key).map(|(_, _, placed)| &placed.node);
        let text = |key: &str| match of(key) {
            Some(Node::Text(text)) => Some(text.clone()),
            _ => None,
        };
        PresetContent {
            version: if let Some(Node::Int(version)) = of("version") { *version } else { 0 },
            of: text("of").unwrap_or_default(),
            default_tenant: text("default_tenant"),
            mapping: of("mapping").map(json_of_node).and_then(|json| json.as_object().cloned()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_says_what_it_is_for() {
        for (name, preset) in Preset::ALL {
            let content = preset.content();
            assert!(
                content.version >= 1 && !content.of.is_empty() && !content.mapping.is_empty(),
                "{name}: {content:?}"
            );
            assert!(preset.text().contains(&format!("\npreset: {name}\n")), "{name}");
        }
    }
}

//! The two shapes of an access log.

use serde::Deserialize;

/// The fields before the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClfShape {
    /// Host, ident and user.
    #[default]
    Combined,
    /// The virtual host, then host, ident and user.
    VhostCombined,
}

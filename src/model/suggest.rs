//! "Did you mean": finds the known name closest to a misspelt one.
//!
//! Used by configuration, definitions and the command line. It only compares texts; the caller decides whether a name
//! is wrong.

/// The closest known name, if it is close enough: at most one edit per three characters, and at most three edits.
pub fn closest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let near_enough = (written.chars().count() / 3).clamp(1, 3);
    let written = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&written, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= near_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The known names, as a list for a remedy.
pub fn one_of<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    Vec::from_iter(known).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_that_was_meant() {
        let known = ["status", "latency_ms", "alert-rules", "state.memory_limit"];
        assert_eq!(closest("statsu", known), Some("status"));
        assert_eq!(closest("latencyms", known), Some("latency_ms"));
        assert_eq!(closest("alertrules", known), Some("alert-rules"));
        assert_eq!(closest("Status", known), Some("status"));
        assert_eq!(closest("state.memroy_limit", known), Some("state.memory_limit"));
    }

    #[test]
    fn finds_nothing_where_nothing_is_alike() {
        let known = ["status", "latency_ms", "input.format"];
        assert_eq!(closest("region", known), None);
        assert_eq!(closest("", known), None);
    }
}

//! "Did you mean": the known name that is closest to what was written.
//!
//! Configuration, definitions and the command line suggest alike. It only compares texts; whether a
//! name is wrong is for the caller to say.

/// The closest of the known names, where it is close enough to be meant: at most one edit in three
/// characters, and at most three.
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

/// The known names, as they stand in a remedy.
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

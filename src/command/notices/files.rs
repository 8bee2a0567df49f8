//! Problems of input files, besides their records.

use super::Facts;

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let joined = facts.files.iter().filter_map(|file| file.notice()).map(|notice| format!("{notice}."));
    joined.chain(lost(facts.route.records_lost)).collect()
}

/// Records of damaged blocks: one dead letter stands for all of a block.
fn lost(records: u64) -> Option<String> {
    (records > 0).then(|| {
        format!(
            "{records} more records are lost in damaged blocks: the dead letter of each block says in its headers which \
             block it is (`tailburn.block`), how many records it stands for (`tailburn.records`) and what is wrong \
             (`tailburn.detail`). Write the file again, or copy it again from its source."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::lost;

    #[test]
    fn what_is_lost_is_said_and_nothing_else() {
        assert_eq!(lost(0), None);
        assert!(lost(907).is_some_and(|notice| notice.starts_with("907 more records are lost in damaged blocks")));
    }
}

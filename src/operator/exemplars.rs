//! Bad events as examples: of all of them, those with the smallest hashes, so that the choice depends on nothing else.

use crate::model::output::Exemplar;
use crate::model::time::Ms;

/// How many bad events are kept as examples.
pub const EXEMPLARS: usize = 5;

/// Orders exemplars with equal hashes by their whole content, so that the choice depends on nothing else.
fn in_bytes(exemplar: &Exemplar) -> (Ms, Option<i64>, [Option<&str>; 3]) {
    let texts = [&exemplar.trace_id, &exemplar.operation, &exemplar.dependency];
    (exemplar.at.0, exemplar.status, texts.map(|text| text.as_deref()))
}

/// Keeps an exemplar if its hash is among the smallest. Of two with the same hash the one with the smaller content stays,
/// because partitions are read in any order.
pub fn keep(kept: &mut Vec<(u64, Exemplar)>, hash: u64, exemplar: impl FnOnce() -> Exemplar) {
    let at = kept.partition_point(|(known, _)| *known < hash);
    if at >= EXEMPLARS {
        return;
    }
    let exemplar = exemplar();
    match kept.get_mut(at).filter(|(known, _)| *known == hash) {
        Some((_, same)) if in_bytes(&exemplar) < in_bytes(same) => *same = exemplar,
        Some(_) => {}
        None => {
            kept.insert(at, (hash, exemplar));
            kept.truncate(EXEMPLARS);
        }
    }
}

/// The same for several.
pub fn keep_smallest(kept: &mut Vec<(u64, Exemplar)>, more: &[(u64, Exemplar)]) {
    more.iter().for_each(|(hash, exemplar)| keep(kept, *hash, || exemplar.clone()));
}

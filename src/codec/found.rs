//! Which rules of a mapping found a value in a record.

/// Which rules found a value in a record, one bit each in the order of [`super::mapping::Mapping::sources`]. Rules past the 128th
/// always count as found.
pub type Found = u128;

/// The bit of a rule in [`Found`].
pub const fn bit(index: usize) -> Found {
    if index < Found::BITS as usize { 1 << index } else { 0 }
}

//! What a mapping found in one record.

use super::field::Field;

/// Which paths of a mapping were asked and had a value in a record, and which unmapped fields were read by their own
/// names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// One bit for each path that was looked up ([`super::mapping::Mapping::places`]): a list stops at its first value.
    pub asked: u128,
    /// One bit for each path that led to a value other than null.
    pub seen: u128,
    /// One bit for each field ([`Field::bit`]).
    pub(super) own: u32,
}

impl Found {
    /// The unmapped fields that the record has under their own names.
    pub fn own(self) -> impl Iterator<Item = Field> {
        let own = self.own;
        Field::ALL.into_iter().filter(move |field| own & field.bit() != 0)
    }

    /// Whether any unmapped field was read.
    #[inline]
    pub const fn has_own(self) -> bool {
        self.own != 0
    }

    /// The bit of the path with this number; none past the 128th.
    pub(super) const fn bit(index: usize) -> u128 {
        if index < u128::BITS as usize { 1 << index } else { 0 }
    }
}

//! How a users task names keys, and how it divides its state.

/// Users are checkpointed in so many ranges of virtual key groups.
pub const KEY_GROUPS: u16 = 64;

/// A key as the users task names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum KeyRef {
    Aggregate,
    Tenant(u32),
    Group(u32),
}

/// The code of the group that takes what is over the limit.
pub(super) const OTHER_GROUPS: u32 = u32::MAX - 1;

/// Set in the code of a group that only the pane of its event knows.
pub(super) const LOCAL: u32 = 1 << 31;

/// Whether a code is one of the pane's own.
pub(super) const fn is_local(group: u32) -> bool {
    group & LOCAL != 0 && group < OTHER_GROUPS
}

//! The signals of the contract's section 12, one file each (that of the tail in three). They decide from sums and keep no events.

pub mod budget;
pub mod canary;
pub mod dispersion;
pub mod evidence;
pub mod failing_user;
pub mod forecast;
mod mixture;
pub mod tail;

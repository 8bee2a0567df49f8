//! The signals of the contract's section 12, one file each. They decide from sums and keep no events.

pub mod budget;
pub mod canary;
pub mod dispersion;
pub mod failing_user;
pub mod forecast;
pub mod tail;

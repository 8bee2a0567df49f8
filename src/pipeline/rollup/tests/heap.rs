//! How much memory something takes: an allocator that counts, for each thread, what is taken and given back.
#![expect(unsafe_code, reason = "an allocator is called through an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// A piece as the system's allocator cuts it: 8 bytes for itself, in steps of 16.
fn size(layout: Layout) -> i64 {
    (layout.size() as i64 + 8 + 15) / 16 * 16
}

fn note(bytes: i64) {
    // A thread that ends frees memory after its counter is gone.
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + bytes));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(size(layout));
        // SAFETY: the caller keeps the rules of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(-size(layout));
        // SAFETY: the caller keeps the rules of `GlobalAlloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

/// The bytes that are given back where something is dropped.
pub fn bytes_of<T>(value: T) -> i64 {
    let before = TAKEN.get();
    drop(value);
    before - TAKEN.get()
}

#[test]
fn all_that_hangs_on_a_value_is_counted() {
    assert_eq!(bytes_of(vec![0u8; 1_000]), 1_008);
    assert_eq!(bytes_of(vec![vec![0u8; 100]; 3]), 3 * 112 + 80);
    let mut grown = Vec::new();
    (0..1_000u64).for_each(|i| grown.push(i));
    assert_eq!(bytes_of(grown), 1_024 * 8 + 16, "with its room to grow");
}

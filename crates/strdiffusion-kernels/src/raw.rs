//! Pointers that cross threads.

/// A pointer into memory that the threads of one call share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(T);

// SAFETY: a `Shared` is only used within one `parallel_for`, whose caller holds the borrow of the
// memory, and the items of the call write disjoint parts of it.
unsafe impl Send for Shared<*mut f32> {}
// SAFETY: as above.
unsafe impl Sync for Shared<*mut f32> {}
// SAFETY: as above; only read.
unsafe impl Send for Shared<*const f32> {}
// SAFETY: as above; only read.
unsafe impl Sync for Shared<*const f32> {}

impl Shared<*mut f32> {
    pub(crate) fn of_mut(slice: &mut [f32]) -> Self {
        Self(slice.as_mut_ptr())
    }

    pub(crate) fn from_raw_mut(p: *mut f32) -> Self {
        Self(p)
    }
}

impl Shared<*const f32> {
    pub(crate) fn of(slice: &[f32]) -> Self {
        Self(slice.as_ptr())
    }

    pub(crate) fn from_raw(p: *const f32) -> Self {
        Self(p)
    }
}

impl<T: Copy> Shared<T> {
    pub(crate) fn get(&self) -> T {
        self.0
    }
}

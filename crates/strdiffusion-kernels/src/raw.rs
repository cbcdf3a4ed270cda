//! Pointers that cross threads.

/// A pointer into memory that the threads of one call share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(T);

// SAFETY: a `Shared` is only used within one `parallel_for`, whose caller holds the borrow of the
// memory, and the items of the call write disjoint parts of it.
unsafe impl<T> Send for Shared<*mut T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<*mut T> {}
// SAFETY: as above; only read.
unsafe impl<T> Send for Shared<*const T> {}
// SAFETY: as above; only read.
unsafe impl<T> Sync for Shared<*const T> {}

impl<T> Shared<*mut T> {
    pub(crate) fn of_mut(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    pub(crate) fn from_raw_mut(p: *mut T) -> Self {
        Self(p)
    }
}

impl<T> Shared<*const T> {
    pub(crate) fn of(slice: &[T]) -> Self {
        Self(slice.as_ptr())
    }

    pub(crate) fn from_raw(p: *const T) -> Self {
        Self(p)
    }
}

impl<T: Copy> Shared<T> {
    pub(crate) fn get(&self) -> T {
        self.0
    }
}

//! Memory of intermediate results, of each thread its own.
//!
//! ONNX Runtime's arena belongs to a session, and so to all threads that run it: what one has written, another gets next.
//! Where two CPUs share no cache, each run then fetches its memory from the other one's: measured on two virtual CPUs of
//! an AMD EPYC, a fifth of the throughput. Here a thread keeps the blocks that it has freed for itself.

use std::{
    alloc::{Layout, alloc, dealloc},
    cell::RefCell,
    ffi::c_void,
    ptr::{self, NonNull},
};

use ort::{AsPointer, environment::Environment, sys};

/// Vectors of any CPU are aligned, and so is what two threads write.
const ALIGNMENT: usize = 64;

/// Bytes behind each block that nobody writes and kernels may read: on arm64 those for products of symmetric int8 load whole
/// vectors, up to 30 bytes past the end (`MLAS_SYMM_QGEMM_BUF_OVERRUN` in `core/mlas/inc/mlas.h`). ONNX Runtime's own
/// allocator for the CPU adds as many (`AllocatorDefaultAlloc` in `core/framework/allocator.cc`), elsewhere 0; here they
/// are everywhere, so that there is one layout to test.
const MARGIN: usize = 32;

/// Smaller blocks aren't kept: the C library has them at hand.
const SMALL: usize = 4 * 1024;

/// A block is used for what needs at least this part of it.
const USED_AT_LEAST: usize = 4;

/// What a thread uses and keeps.
#[derive(Default)]
struct Heap {
    /// Free blocks, the one that was freed first before all others.
    kept: Vec<Block>,
    used_bytes: usize,
    /// The most that was used at once.
    peak_bytes: usize,
}

/// Memory of so many bytes behind a head of [`ALIGNMENT`] bytes, which holds that number, and before [`MARGIN`].
struct Block {
    bytes: usize,
    head: NonNull<u8>,
}

thread_local! {
    static HEAP: RefCell<Heap> = RefCell::default();
}

impl Heap {
    /// The smallest free block that is large enough and not far too large, or else a new one.
    fn take(&mut self, bytes: usize) -> Option<Block> {
        let fits = |block: &Block| block.bytes >= bytes && block.bytes / USED_AT_LEAST <= bytes;
        let fitting = self.kept.iter().enumerate().filter(|(_, block)| fits(block));
        let block = match fitting.min_by_key(|(_, block)| block.bytes).map(|(index, _)| index) {
            Some(index) => self.kept.remove(index),
            None => Block::new(bytes)?,
        };
        self.used_bytes = self.used_bytes.saturating_add(block.bytes);
        self.peak_bytes = self.peak_bytes.max(self.used_bytes);
        Some(block)
    }

    /// Keeps a block, and lets those go that were freed first when that makes too many. Runs differ in the sizes that
    /// they need, so more is kept than one run uses.
    fn keep(&mut self, block: Block) {
        // Another thread may have taken it.
        self.used_bytes = self.used_bytes.saturating_sub(block.bytes);
        if self.kept.try_reserve(1).is_err() {
            return;
        }
        self.kept.push(block);
        while self.kept_bytes() > self.peak_bytes.saturating_add(self.peak_bytes / 2) {
            drop(self.kept.remove(0));
        }
    }

    fn kept_bytes(&self) -> usize {
        self.kept.iter().map(|block| block.bytes).sum()
    }

    fn clear(&mut self) {
        *self = Self { used_bytes: self.used_bytes, peak_bytes: self.used_bytes, ..Self::default() };
    }
}

impl Block {
    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.checked_add(ALIGNMENT + MARGIN)?, ALIGNMENT).ok()
    }

    fn new(bytes: usize) -> Option<Self> {
        let layout = Self::layout(bytes)?;
        // SAFETY: the layout isn't empty, as it has the head.
        #[expect(unsafe_code, reason = "the head stands before the memory")]
        let head = NonNull::new(unsafe { alloc(layout) })?;
        Some(Self { bytes, head })
    }

    /// Gives the memory away.
    fn into_memory(self) -> *mut c_void {
        let Self { bytes, head } = self;
        std::mem::forget(self);
        // SAFETY: the head is aligned, has room for a number, and the memory is behind it in the same allocation.
        #[expect(unsafe_code, reason = "the head stands before the memory")]
        unsafe {
            head.cast::<usize>().write(bytes);
            head.add(ALIGNMENT).as_ptr().cast()
        }
    }

    /// Takes it back.
    ///
    /// # Safety
    /// The memory is of [`Self::into_memory`], and nobody else has it.
    #[expect(unsafe_code, reason = "the head stands before the memory")]
    unsafe fn of_memory(memory: NonNull<c_void>) -> Self {
        // SAFETY: by this function's own condition the head is there, and holds the number.
        unsafe {
            let head = memory.cast::<u8>().sub(ALIGNMENT);
            Self { bytes: head.cast::<usize>().read(), head }
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bytes) {
            // SAFETY: allocated in `new` with this layout, and given back once.
            #[expect(unsafe_code, reason = "the head stands before the memory")]
            unsafe {
                dealloc(self.head.as_ptr(), layout);
            }
        }
    }
}

fn take(bytes: usize) -> *mut c_void {
    let block = if bytes < SMALL {
        Block::new(bytes)
    } else {
        with_heap(|heap| heap.take(bytes)).unwrap_or_else(|| Block::new(bytes))
    };
    block.map_or(ptr::null_mut(), Block::into_memory)
}

fn give_back(block: Block) {
    if block.bytes >= SMALL {
        with_heap(|heap| heap.keep(block));
    }
}

/// `None` where there is no heap: a thread that ends has none any more. Never panics, as C++ calls this: the heap calls
/// nothing that comes back here, but if it did, this would be another `None`.
fn with_heap<T>(act: impl FnOnce(&mut Heap) -> T) -> Option<T> {
    HEAP.try_with(|heap| heap.try_borrow_mut().ok().map(|mut heap| act(&mut heap))).ok().flatten()
}

/// Gives the blocks that this thread keeps back to the system.
pub fn return_activations() {
    with_heap(Heap::clear);
}

/// Registers this memory for the sessions of an environment that are built with `with_env_allocators`.
pub fn keep_activations_apart(environment: &Environment) -> ort::Result<()> {
    let mut info = ptr::null_mut();
    // SAFETY: the API's functions are called as documented, with pointers that are valid. Allocator and description are
    // leaked, as the environment may use them for as long as the process lives.
    #[expect(unsafe_code, reason = "ort has no safe call for this")]
    unsafe {
        let (device, default) = (sys::OrtAllocatorType::OrtDeviceAllocator, sys::OrtMemType::OrtMemTypeDefault);
        ort::Error::result_from_status((ort::api().CreateCpuMemoryInfo)(device, default, &raw mut info))?;
        let allocator = Box::new(Allocator {
            functions: sys::OrtAllocator {
                Alloc: Some(allocate),
                Free: Some(free),
                Info: Some(describe),
                Reserve: Some(reserve),
                ..sys::OrtAllocator::default()
            },
            info,
        });
        let allocator = Box::into_raw(allocator).cast::<sys::OrtAllocator>();
        ort::Error::result_from_status((ort::api().RegisterAllocator)(environment.ptr().cast_mut(), allocator))
    }
}

/// What ONNX Runtime takes for an `OrtAllocator`.
#[repr(C)]
struct Allocator {
    functions: sys::OrtAllocator,
    info: *const sys::OrtMemoryInfo,
}

extern "system" fn allocate(_: *mut sys::OrtAllocator, bytes: usize) -> *mut c_void {
    take(bytes)
}

extern "system" fn reserve(_: *const sys::OrtAllocator, bytes: usize) -> *mut c_void {
    take(bytes)
}

extern "system" fn free(_: *mut sys::OrtAllocator, memory: *mut c_void) {
    if let Some(memory) = NonNull::new(memory) {
        // SAFETY: ONNX Runtime frees what it has of this allocator, once.
        #[expect(unsafe_code, reason = "the head stands before the memory")]
        give_back(unsafe { Block::of_memory(memory) });
    }
}

extern "system" fn describe(this: *const sys::OrtAllocator) -> *const sys::OrtMemoryInfo {
    // SAFETY: ONNX Runtime passes the allocator that was registered, which is one of these.
    #[expect(unsafe_code, reason = "the signature is ONNX Runtime's")]
    unsafe {
        (*this.cast::<Allocator>()).info
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn allocated(bytes: usize) -> *mut c_void {
        let memory = allocate(ptr::null_mut(), bytes);
        assert!(!memory.is_null() && memory.addr().is_multiple_of(ALIGNMENT));
        memory
    }

    fn freed(memory: *mut c_void) {
        free(ptr::null_mut(), memory);
    }

    fn kept() -> Vec<usize> {
        HEAP.with_borrow(|heap| heap.kept.iter().map(|block| block.bytes).collect())
    }

    #[test]
    fn a_thread_finds_its_own_blocks_again() {
        let (small, large) = (allocated(10_000), allocated(20_000));
        freed(large);
        freed(small);
        let other = thread::spawn(|| kept().len());
        assert_eq!((kept(), other.join().unwrap()), (vec![20_000, 10_000], 0));
        // The smallest that fits.
        assert_eq!((allocated(9_000), allocated(9_000)), (small, large));
        assert!(kept().is_empty());
        freed(small);
        freed(large);
        return_activations();
        assert!(kept().is_empty());
    }

    #[test]
    fn no_more_is_kept_than_half_as_much_again_as_was_used() {
        for bytes in [10_000, 11_000, 12_000, 1_000_000, 12_001] {
            freed(allocated(bytes));
            let (sum, most) = HEAP.with_borrow(|heap| (heap.kept_bytes(), heap.peak_bytes));
            assert_eq!(sum, kept().iter().sum());
            assert!(sum <= most + most / 2, "{sum} of {most}");
        }
        // The first ones went. A million bytes are too many for twelve thousand.
        assert_eq!(kept()[kept().len() - 2..], [1_000_000, 12_001]);
        return_activations();
        assert_eq!(HEAP.with_borrow(|heap| (heap.kept_bytes(), heap.used_bytes, heap.peak_bytes)), (0, 0, 0));
    }

    #[test]
    fn behind_every_block_there_is_room_for_a_kernel_that_reads_too_far() {
        // What arm64's kernels need, by ONNX Runtime's own header.
        const { assert!(MARGIN >= 30) }
        for bytes in [0, 1, 63, SMALL - 1, SMALL, 10_000, 1 << 20] {
            let layout = Block::layout(bytes).unwrap();
            assert_eq!((layout.size(), layout.align()), (ALIGNMENT + bytes + MARGIN, ALIGNMENT));
            let memory = allocated(bytes);
            // SAFETY: the head, the memory and the margin are one allocation, and nobody else has it.
            #[expect(unsafe_code, reason = "as a kernel does it")]
            unsafe {
                memory.cast::<u8>().write_bytes(1, bytes + MARGIN);
            }
            freed(memory);
        }
        return_activations();
        for bytes in [usize::MAX, usize::MAX - ALIGNMENT, usize::MAX - ALIGNMENT - MARGIN, isize::MAX.unsigned_abs()] {
            assert!(Block::layout(bytes).is_none() && take(bytes).is_null(), "{bytes}");
        }
    }

    #[test]
    fn small_blocks_and_those_of_other_threads_are_no_exception() {
        freed(allocated(100));
        freed(ptr::null_mut());
        assert!(kept().is_empty());
        let mine = allocated(10_000);
        let elsewhere = thread::spawn(|| allocated(10_000).expose_provenance()).join().unwrap();
        freed(ptr::with_exposed_provenance_mut(elsewhere));
        freed(mine);
        assert_eq!(kept(), [10_000], "as much as was used here, and half");
        return_activations();
        assert!(take(usize::MAX).is_null());
    }
}

//! The C library's allocator, which ONNX Runtime uses too.

/// Size in bytes from which a block is mapped by itself, and returned to the system when freed.
const LARGE: libc::c_int = 128 * 1024;

/// Tokenizer and session are loaded side by side. With one heap each keeps waiting for the other: 465 ms
/// to ready in place of 330, on two CPUs of an AMD EPYC.
const FEWEST_HEAPS: usize = 2;

/// Keeps the C library's heap small. To be called before any thread starts.
///
/// - It fixes the size from which blocks are returned to the system. By itself glibc raises it to
///   the largest block ever freed, and then a model's load leaves its temporary copies of the
///   weights in the heap for good: 24 MB of resident memory with the default model.
/// - It bounds the number of heaps to `heaps`, at least [`FEWEST_HEAPS`]. By itself glibc gives nearly
///   each thread one of its own: 3 MB more, and no faster, since runs of the model have memory of their
///   own and few threads serve HTTP.
pub fn keep_heap_small(heaps: usize) {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_ARENA_MAX, libc::c_int::try_from(heaps.max(FEWEST_HEAPS)).unwrap_or(libc::c_int::MAX)),
    ] {
        // SAFETY: mallopt takes two integers and may be called at any time. Its answer doesn't
        // matter: refused, memory use is only higher.
        #[expect(unsafe_code, reason = "the standard library has no call for this")]
        unsafe {
            libc::mallopt(parameter, value);
        }
    }
}

/// Gives free pages inside the heap back to the system. By itself glibc only returns those at its end, so that after a
/// burst of connections their buffers stay resident for good: 22 MB after 1,500 of them. Takes about a millisecond.
pub fn return_free_memory() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim may be called at any time and from any thread; it takes the heap's own locks, and no
        // block in use moves.
        #[expect(unsafe_code, reason = "the standard library has no call for this")]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

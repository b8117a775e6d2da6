//! The C library's allocator, which ONNX Runtime uses too.

/// Size in bytes from which a block is mapped by itself, and returned to the system when freed.
const LARGE: libc::c_int = 128 * 1024;

/// Fixes the size from which blocks are returned to the system. By itself glibc raises it to the
/// largest block ever freed, and then a model's load leaves its temporary copies of the weights in
/// the heap for good: 24 MB of resident memory with the default model.
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt takes two integers and may be called at any time. Its answer doesn't
        // matter: refused, memory use is only higher.
        #[expect(unsafe_code, reason = "the standard library has no call for this")]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        }
    }
}

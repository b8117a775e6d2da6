//! The end of the process.

use std::io::{Write, stderr, stdout};

/// Ends the process with success, whatever its threads are doing. A return from `main` runs the destructors of ONNX
/// Runtime's library, and a thread that loads or runs a model meanwhile crashes: a model can't be stopped from loading.
pub fn exit_beside_running_threads() -> ! {
    // Nothing is left to tell should either fail.
    let _ = (stdout().flush(), stderr().flush());
    // SAFETY: `_exit` ends the process and touches no memory of it.
    #[expect(unsafe_code, reason = "the standard library's exit runs destructors")]
    unsafe {
        libc::_exit(0)
    }
}

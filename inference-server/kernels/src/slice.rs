//! How soon the kernel runs a thread that wakes while others run.

use std::{io, time::Duration};

/// The shortest slice that the kernel takes.
const SHORTEST: Duration = Duration::from_micros(100);

/// Asks for the shortest slice for the calling thread and those that it starts: by it Linux, from 6.12
/// on, decides how soon a thread that wakes gets the CPU of one that computes, by default after up to
/// 3 ms. A thread's share of the CPU stays as it is, and an older kernel changes nothing.
pub fn run_soon_after_waking() -> io::Result<()> {
    // SAFETY: all fields are numbers, for which 0 is valid.
    #[expect(unsafe_code, reason = "the struct is the C library's")]
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = u32::try_from(size_of::<libc::sched_attr>()).map_err(io::Error::other)?;
    // SAFETY: both calls get the calling thread, a struct of the size that is given with it, and no flags.
    #[expect(unsafe_code, reason = "the C library has no call for these")]
    let result = unsafe {
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) == 0 {
            attributes.sched_runtime = u64::try_from(SHORTEST.as_nanos()).unwrap_or(u64::MAX);
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0)
        } else {
            -1
        }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_it() {
        std::thread::spawn(run_soon_after_waking).join().unwrap().unwrap();
    }
}

//! What a process uses, from `/proc`.

use std::fs;

/// Memory and CPU time of a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// User and system time in seconds.
    pub cpu_seconds: f64,
}

/// Linux reports times in `USER_HZ`, which is 100 on every architecture that we ship for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The usage of this process now; `None` where there is no `/proc`.
#[must_use]
pub fn usage() -> Option<Usage> {
    usage_of("self")
}

/// The usage of a process by its id.
#[must_use]
pub fn usage_of(id: &str) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.split_whitespace().next()?.parse().ok()?;

    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The command, second field, may itself hold spaces; it ends at the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let user: u32 = fields.get(11)?.parse().ok()?;
    let system: u32 = fields.get(12)?.parse().ok()?;
    let cpu_seconds = (f64::from(user) + f64::from(system)) / TICKS_PER_SECOND;
    Some(Usage { resident_bytes: kibibytes * 1024, cpu_seconds })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_uses_memory() {
        assert!(super::usage().unwrap().resident_bytes > 100_000);
    }
}

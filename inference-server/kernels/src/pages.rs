//! Pages of program files.

use std::fs;

/// Unmaps the pages of programs and libraries that nobody has changed. The kernel maps those that
/// are used again, from its cache or the file. Loading ONNX Runtime and a model runs much code once,
/// such as the registration of every operator: with the default model 10 MB of resident memory that
/// no later request needs.
pub fn forget_code_of_the_start() {
    let Ok(mappings) = fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for (start, length) in unchanged(&mappings) {
        // SAFETY: the range is a private mapping of a file without write permission and without one
        // page of its own, in memory or in swap, so what a page holds is what the file holds, and
        // mapping it again restores it. Where the call fails, memory use is only higher.
        #[expect(unsafe_code, reason = "the standard library has no call for this")]
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, libc::MADV_DONTNEED);
        }
    }
}

/// Start and length of the private mappings of files that can't be written to and hold no page that
/// differs from its file, by the text of `/proc/PID/smaps`.
fn unchanged(mappings: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current: Option<Mapping> = None;
    for line in mappings.lines() {
        if let Some(next) = Mapping::parse(line) {
            found.extend(current.replace(next));
        } else if let Some((name, amount)) = line.split_once(':')
            && let Some(mapping) = &mut current
        {
            mapping.note(name, amount);
        }
    }
    found.extend(current);
    found.iter().filter(|mapping| mapping.can_be_forgotten()).map(|mapping| (mapping.start, mapping.length)).collect()
}

/// One mapping: see proc(5).
struct Mapping {
    start: usize,
    length: usize,
    is_file_of_a_program: bool,
    /// Which of [`REQUIRED`] are told to be 0.
    are_none: [bool; REQUIRED.len()],
    /// Whether it holds what another line says it must not.
    holds_own: bool,
}

/// Amounts that have to be there and be 0: pages that differ from the file, in memory and in swap. The second line counts
/// what was moved out, also to zswap, and such a page is in none of the other amounts. Where the kernel doesn't tell,
/// nothing is known.
const REQUIRED: [&str; 2] = ["Anonymous", "Swap"];

/// Amounts that have to be 0 where they are told: pages of their own that `Anonymous` leaves out, and pages that somebody
/// wants to stay.
const NONE_OF: [&str; 2] = ["Private_Hugetlb", "Locked"];

impl Mapping {
    /// Of the first line of a mapping.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let permissions = fields.next()?;
        let path = fields.nth(3).unwrap_or_default();
        // A file that was deleted may be out of reach for good, as it is on some network file systems.
        let is_file = path.starts_with('/') && !line.trim_end().ends_with(" (deleted)");
        Some(Self {
            start,
            length: end.checked_sub(start)?,
            is_file_of_a_program: is_file && matches!(permissions, "r-xp" | "r--p"),
            are_none: [false; REQUIRED.len()],
            holds_own: false,
        })
    }

    /// Of one of the lines below it.
    fn note(&mut self, name: &str, amount: &str) {
        let is_none = amount.trim() == "0 kB";
        match REQUIRED.iter().position(|required| *required == name) {
            Some(index) => self.are_none[index] = is_none,
            None => self.holds_own |= NONE_OF.contains(&name) && !is_none,
        }
    }

    fn can_be_forgotten(&self) -> bool {
        self.is_file_of_a_program && self.are_none.iter().all(|is_none| *is_none) && !self.holds_own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mapping of a program's code as Linux 6.12 tells of it, but for what `changes` says: a line's name and its
    /// amount, or `None` for no such line.
    fn mapping(head: &str, changes: &[(&str, Option<&str>)]) -> String {
        const LINES: [(&str, &str); 23] = [
            ("Size", "1024 kB"),
            ("KernelPageSize", "4 kB"),
            ("MMUPageSize", "4 kB"),
            ("Rss", "1000 kB"),
            ("Pss", "1000 kB"),
            ("Pss_Dirty", "0 kB"),
            ("Shared_Clean", "0 kB"),
            ("Shared_Dirty", "0 kB"),
            ("Private_Clean", "1000 kB"),
            ("Private_Dirty", "0 kB"),
            ("Referenced", "1000 kB"),
            ("Anonymous", "0 kB"),
            ("KSM", "0 kB"),
            ("LazyFree", "0 kB"),
            ("AnonHugePages", "0 kB"),
            ("ShmemPmdMapped", "0 kB"),
            ("FilePmdMapped", "0 kB"),
            ("Shared_Hugetlb", "0 kB"),
            ("Private_Hugetlb", "0 kB"),
            ("Swap", "0 kB"),
            ("SwapPss", "0 kB"),
            ("Locked", "0 kB"),
            ("THPeligible", "0"),
        ];
        let mut lines = vec![head.to_owned()];
        for (name, amount) in LINES {
            let change = changes.iter().find(|(changed, _)| *changed == name);
            if let Some(amount) = change.map_or(Some(amount), |(_, amount)| *amount) {
                lines.push(format!("{:<16}{amount:>11}", format!("{name}:")));
            }
        }
        lines.join("\n") + "\nVmFlags: rd ex mr mw me sd\n"
    }

    const CODE: &str = "55d0c0100000-55d0c0300000 r-xp 00100000 fd:00 131                        /app/sentiment-server";
    const FOUND: (usize, usize) = (0x55d0_c010_0000, 0x20_0000);

    #[test]
    fn only_files_of_programs_are_found() {
        let constants = "55d0c0000000-55d0c0100000 r--p 00000000 fd:00 131 /app/sentiment-server";
        let mut all = mapping(constants, &[]) + &mapping(CODE, &[]);
        for other in [
            "55d0c0340000-55d0c0341000 rw-p 00340000 fd:00 131 /app/sentiment-server",
            "7f0000000000-7f0000021000 r--p 00000000 00:00 0",
            "7f0000100000-7f0000101000 r--s 00000000 fd:00 140 /app/shared",
            "7f0000200000-7f0000201000 ---p 00000000 fd:00 140 /app/guard",
            "7f0000300000-7f0000301000 r-xp 00000000 fd:00 150 /app/libold.so (deleted)",
            "7f0000400000-7f0000401000 r-xp 00000000 00:01 160 /memfd:code (deleted)",
            "7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0 [vdso]",
        ] {
            all += &mapping(other, &[]);
        }
        assert_eq!(unchanged(&all), [(0x55d0_c000_0000, 0x10_0000), FOUND]);
        assert_eq!(unchanged("no mapping at all"), []);
        assert_eq!(unchanged(""), []);
    }

    #[test]
    fn a_mapping_with_pages_of_its_own_stays_wherever_they_are() {
        for own in ["Anonymous", "Swap", "Private_Hugetlb", "Locked"] {
            for amount in ["4 kB", "1024 kB", "", "none"] {
                let text = mapping(CODE, &[(own, Some(amount))]) + &mapping(CODE, &[]);
                assert_eq!(unchanged(&text), [FOUND], "{own} {amount}");
            }
        }
        // Relocated pages that were moved to swap, and back into memory again in part.
        let relocated = [("Rss", Some("0 kB")), ("Swap", Some("180 kB")), ("SwapPss", Some("180 kB"))];
        assert_eq!(unchanged(&mapping(CODE, &relocated)), []);
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_not_guessed() {
        for name in ["Anonymous", "Swap"] {
            assert_eq!(unchanged(&mapping(CODE, &[(name, None)])), [], "{name}");
            // What is told of the next mapping isn't of this one.
            let text = mapping(CODE, &[(name, None)]) + &mapping("7f00-7f10 r--p 0 fd:00 1 /lib", &[]);
            assert_eq!(unchanged(&text), [(0x7f00, 0x10)], "{name}");
        }
        // Kernels before 4.4 tell of no huge pages of files, and some of no locks.
        let old = ["Private_Hugetlb", "Locked", "SwapPss", "KSM"].map(|name| (name, None));
        assert_eq!(unchanged(&mapping(CODE, &old)), [FOUND]);
    }

    #[test]
    fn a_process_works_on_afterwards() {
        let before = fs::read_to_string("/proc/self/smaps").unwrap();
        assert!(!unchanged(&before).is_empty());
        forget_code_of_the_start();
        let text = format!("{:?}", before.lines().map(str::len).sum::<usize>());
        assert_eq!(text.parse::<usize>().unwrap(), before.lines().map(str::len).sum::<usize>());
    }
}

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
        // page of its own, so what a page holds is what the file holds, and mapping it again
        // restores it. Where the call fails, memory use is only higher.
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
    let mut current = None;
    for line in mappings.lines() {
        if let Some(head) = Head::parse(line) {
            current = head.is_file_of_a_program().then_some((head.start, head.length));
        } else if let Some(size) = line.strip_prefix("Anonymous:") {
            found.extend(current.take().filter(|_| size.trim() == "0 kB"));
        }
    }
    found
}

/// The first line of a mapping: see proc(5).
struct Head<'a> {
    start: usize,
    length: usize,
    permissions: &'a str,
    path: &'a str,
}

impl<'a> Head<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let permissions = fields.next()?;
        Some(Self { start, length: end.checked_sub(start)?, permissions, path: fields.nth(3).unwrap_or_default() })
    }

    fn is_file_of_a_program(&self) -> bool {
        matches!(self.permissions, "r-xp" | "r--p") && self.path.starts_with('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPINGS: &str = "\
55d0c0000000-55d0c0100000 r--p 00000000 fd:00 131 /app/sentiment-server
Size:               1024 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
55d0c0100000-55d0c0300000 r-xp 00100000 fd:00 131 /app/sentiment-server
Size:               2048 kB
Anonymous:             0 kB
55d0c0300000-55d0c0340000 r--p 00300000 fd:00 131 /app/sentiment-server
Size:                256 kB
Anonymous:           256 kB
55d0c0340000-55d0c0341000 rw-p 00340000 fd:00 131 /app/sentiment-server
Anonymous:             0 kB
7f0000000000-7f0000021000 r--p 00000000 00:00 0
Anonymous:             0 kB
7f0000100000-7f0000101000 r--s 00000000 fd:00 140 /app/shared
Anonymous:             0 kB
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_unchanged_pages_of_files_are_found() {
        assert_eq!(unchanged(MAPPINGS), [(0x55d0_c000_0000, 0x10_0000), (0x55d0_c010_0000, 0x20_0000)]);
        assert_eq!(unchanged("no mapping at all"), []);
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

//! How many CPUs this process may use: its affinity and its cgroups' quota, version 1 and 2.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

/// CPUs that threads can keep busy all the time, at least one.
#[must_use]
pub fn usable() -> usize {
    let quota = quota(|file| fs::read_to_string(file).ok());
    // The standard library knows the affinity. It rounds the quota too, in its own way.
    let affinity = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    threads(affinity, quota)
}

/// A quota that isn't whole is rounded down: a thread too many uses a period's time up early, and
/// then all threads stand still until the next one. Half a CPU so gets one thread, which is
/// throttled less than two.
fn threads(affinity: usize, quota: Option<f64>) -> usize {
    let whole =
        quota.map_or(usize::MAX, |quota| (1..affinity).take_while(|cpus| to_f64(cpus + 1) <= quota).count() + 1);
    affinity.min(whole).max(1)
}

/// The smallest quota, in CPUs, of the process's cgroup and all above it. `None` without one.
/// `read` returns a file's text.
fn quota(read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
    let memberships = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    memberships
        .lines()
        .filter_map(Membership::parse)
        .flat_map(|membership| {
            let mount = mounts.iter().find(|mount| mount.version == membership.version);
            mount
                .map(|mount| mount.folders(membership.path))
                .unwrap_or_default()
                .into_iter()
                .map(move |folder| (membership.version, folder))
        })
        .filter_map(|(version, folder)| version.quota_in(&folder, &read))
        .min_by(f64::total_cmp)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// The quota that is set in one cgroup's folder.
    fn quota_in(self, folder: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
        let (quota, period) = match self {
            Self::One => (read(&folder.join("cpu.cfs_quota_us"))?, read(&folder.join("cpu.cfs_period_us"))?),
            Self::Two => {
                let text = read(&folder.join("cpu.max"))?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
        };
        // No quota is -1 in version 1 and `max` in version 2.
        let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    }
}

/// A line of `/proc/self/cgroup`, of the hierarchy that limits CPU time.
struct Membership<'a> {
    version: Version,
    path: &'a str,
}

impl<'a> Membership<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let version = match controllers {
            "" => Version::Two,
            _ if controllers.split(',').any(|name| name == "cpu") => Version::One,
            _ => return None,
        };
        Some(Self { version, path })
    }
}

/// Where such a hierarchy is mounted.
struct Mount {
    version: Version,
    /// The cgroup that is seen at the mount point.
    root: String,
    point: PathBuf,
}

impl Mount {
    /// Reads a line of `/proc/self/mountinfo`: see proc(5).
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let version = match after.next()? {
            "cgroup2" => Version::Two,
            "cgroup" if after.nth(1)?.split(',').any(|option| option == "cpu") => Version::One,
            _ => return None,
        };
        Some(Self { version, root: root.to_owned(), point: point.into() })
    }

    /// The folders of a cgroup and of those above it, as far as they can be seen.
    fn folders(&self, cgroup: &str) -> Vec<PathBuf> {
        // In a container the mount shows its own cgroup as the top, and the path may be the host's.
        let below = Path::new(cgroup).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let below = below.strip_prefix("/").unwrap_or(below);
        let folder = self.point.join(below);
        folder.ancestors().take_while(|folder| folder.starts_with(&self.point)).map(Path::to_owned).collect()
    }
}

fn to_f64(cpus: usize) -> f64 {
    u32::try_from(cpus).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests;

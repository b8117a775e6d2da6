use std::collections::HashMap;

use super::*;

/// A process's files, by path.
fn quota_with(files: &[(&str, &str)]) -> Option<f64> {
    let files: HashMap<&Path, &str> = files.iter().map(|(path, text)| (Path::new(path), *text)).collect();
    quota(|file| files.get(file).map(|text| (*text).to_owned()))
}

// Recorded on a host with version 1 of a process in a cgroup below one with a quota.
const HOST_1: [(&str, &str); 2] = [
    (
        "/proc/self/cgroup",
        "9:name=systemd:/\n5:devices:/\n4:memory:/other\n3:cpuset:/\n2:cpuacct:/\n1:cpu:/service/inner\n0::/\n",
    ),
    (
        "/proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
         32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
         33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n\
         34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n\
         41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
    ),
];

#[test]
fn version_1_on_a_host() {
    let inner = [
        ("/sys/fs/cgroup/cpu/service/inner/cpu.cfs_quota_us", "100000\n"),
        ("/sys/fs/cgroup/cpu/service/inner/cpu.cfs_period_us", "100000\n"),
    ];
    assert_eq!(quota_with(&[&HOST_1[..], &inner].concat()), Some(1.0));
    // The quota of a cgroup above holds too.
    let above = [
        ("/sys/fs/cgroup/cpu/service/cpu.cfs_quota_us", "25000\n"),
        ("/sys/fs/cgroup/cpu/service/cpu.cfs_period_us", "50000\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ];
    assert_eq!(quota_with(&[&HOST_1[..], &inner, &above].concat()), Some(0.5));
    assert_eq!(quota_with(&[&HOST_1[..], &above[2..]].concat()), None);
    assert_eq!(quota_with(&HOST_1), None);
}

#[test]
fn version_1_in_a_pod() {
    // The path is the host's, and the mount shows the container's cgroup as its top.
    let pod = [
        ("/proc/self/cgroup", "3:cpu,cpuacct:/kubepods/burstable/pod1/c2\n0::/kubepods/burstable/pod1/c2\n"),
        (
            "/proc/self/mountinfo",
            "700 690 0:33 /kubepods/burstable/pod1/c2 /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:16 - \
             cgroup cgroup rw,cpu,cpuacct\n",
        ),
        ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
        ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
    ];
    assert_eq!(quota_with(&pod), Some(0.5));
}

#[test]
fn version_2_in_a_pod() {
    let pod = |limit| {
        quota_with(&[
            ("/proc/self/cgroup", "0::/\n"),
            (
                "/proc/self/mountinfo",
                "612 600 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n",
            ),
            ("/sys/fs/cgroup/cpu.max", limit),
        ])
    };
    assert_eq!(pod("150000 100000\n"), Some(1.5));
    assert_eq!(pod("max 100000\n"), None);
    assert_eq!(pod("nonsense\n"), None);
}

#[test]
fn version_2_on_a_host() {
    let files = [
        ("/proc/self/cgroup", "0::/system.slice/sentiment.service\n"),
        ("/proc/self/mountinfo", "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"),
        ("/sys/fs/cgroup/system.slice/sentiment.service/cpu.max", "max 100000\n"),
        ("/sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n"),
    ];
    assert_eq!(quota_with(&files), Some(3.0));
}

#[test]
fn no_cgroups() {
    assert_eq!(quota_with(&[]), None);
    assert_eq!(quota_with(&[("/proc/self/cgroup", ""), ("/proc/self/mountinfo", "not a mount\n")]), None);
}

#[test]
fn a_quota_is_rounded_down_to_at_least_one_thread() {
    for (affinity, quota, expected) in [
        (8, None, 8),
        (8, Some(0.1), 1),
        (8, Some(0.5), 1),
        (8, Some(1.0), 1),
        (8, Some(1.9), 1),
        (8, Some(2.0), 2),
        (8, Some(7.99), 7),
        (8, Some(8.0), 8),
        (8, Some(64.0), 8),
        (1, None, 1),
    ] {
        assert_eq!(threads(affinity, quota), expected, "{affinity} CPUs, a quota of {quota:?}");
    }
}

#[test]
fn this_process_has_a_cpu() {
    assert!(usable() >= 1);
}

//! What the system knows about processes.

use std::fs::read_to_string;

/// The memory that a process holds, in MB of a million bytes. Source: `man 5 proc`, `VmRSS`.
pub fn memory_mb(pid: u32) -> f64 {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024.0 / 1e6
}

/// How many processes wanted a core in the last minute.
pub fn load_average() -> f64 {
    let text = read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

//! A server as a process of its own, and what the system knows about processes.

use std::fs::read_to_string;
use std::process::{Child, Command, Stdio};

/// `idp serve`, until it is dropped.
pub struct Server(Child);

impl Server {
    /// Starts `idp`, which is given its words and what it is connected to.
    pub fn start(mut idp: Command) -> Server {
        Server(idp.env("IDP_LOG", "warn").stdout(Stdio::null()).spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

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

/// The most that this process ever had in memory.
pub fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1e3
}

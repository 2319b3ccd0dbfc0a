//! What the process uses, under the names that every exporter has for it. Read from `/proc` when it is
//! asked for; what cannot be read there is left out.

use std::fmt::Write as _;

use crate::domain::time::Timestamp;

/// Ticks of a CPU second in `/proc`: the kernel's interface has 100 on every architecture we build for
/// (`USER_HZ`, proc(5)).
const TICKS: f64 = 100.0;

/// Appends the families of the process, which began at `started`.
pub(super) fn append(text: &mut String, started: Timestamp) {
    let stat = read("stat");
    let status = read("status");
    let kilobytes = |name| field(&status, name).and_then(|value| value.parse::<u64>().ok());
    let all = [
        (
            "process_cpu_seconds_total",
            "counter",
            "CPU time used, in user and kernel mode, in seconds.",
            cpu_ticks(&stat).map(|ticks| format!("{:.2}", ticks / TICKS)),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory in bytes.",
            kilobytes("VmRSS:").map(|kb| (kb * 1024).to_string()),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory in bytes.",
            kilobytes("VmSize:").map(|kb| (kb * 1024).to_string()),
        ),
        (
            "process_threads",
            "gauge",
            "Threads of the process.",
            field(&status, "Threads:").map(str::to_owned),
        ),
        (
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            open_descriptors().map(|count| count.to_string()),
        ),
        (
            "process_max_fds",
            "gauge",
            "File descriptors that may be open.",
            most_descriptors(&read("limits")).map(str::to_owned),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process began, in seconds since 1970.",
            Some(started.unix().to_string()),
        ),
    ];
    for (name, kind, help, value) in all {
        let Some(value) = value.filter(|value| value.parse::<f64>().is_ok()) else {
            continue;
        };
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default()
}

/// The first word behind `name` at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line?.split_ascii_whitespace().next()
}

/// `utime` and `stime`, the 14th and 15th field; the second, in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

/// Less the one that counting opens.
fn open_descriptors() -> Option<usize> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1))
}

/// The soft limit.
fn most_descriptors(limits: &str) -> Option<&str> {
    field(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_proc_are_read_whatever_the_program_is_called() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
        let status = "Name:\tx\nVmRSS:\t    1024 kB\nThreads:\t5\n";
        assert_eq!(field(status, "VmRSS:"), Some("1024"));
        let limits =
            "Limit  Soft Limit Hard Limit Units\nMax open files            1024     4096  files\n";
        assert_eq!(most_descriptors(limits), Some("1024"));
    }

    #[test]
    fn this_process_uses_something() {
        let mut text = String::new();
        append(&mut text, Timestamp::from_unix(7));
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")));
            let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_max_fds") > value("process_open_fds"));
        assert!((value("process_start_time_seconds") - 7.0).abs() < 0.1);
    }
}

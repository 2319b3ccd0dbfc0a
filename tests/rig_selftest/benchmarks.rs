//! The benchmarks of whole processes (`benches/*/run`), as short as they can be: that they still run, that the configurations
//! they write are taken, and that they print what `docs/performance.md` quotes. What they measured is not looked at.

use std::path::Path;
use std::process::Command;

/// The words of a benchmark's command line, and what its output must have.
struct Row {
    command: &'static str,
    says: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        command: "compare --rounds 1 --seconds 1 --only nginx,headwarden",
        says: &[
            "| requests/s |",
            "\n| direct ",
            "\n| nginx ",
            "\n| headwarden ",
        ],
    },
    Row {
        command: "growth rules --rounds 1 --seconds 1",
        says: &[" 1,000 ", "CPU µs/request"],
    },
    Row {
        command: "start --rounds 1 --requests 20",
        says: &["| start to ready: ", "| resident after 20 requests"],
    },
    Row {
        command: "storms tunnels --tunnels 20 --calm 1",
        says: &["| after the restart |", "| while they come back |"],
    },
    Row {
        command: "storms people --people 5 --within 1 --delay 20 --calm 1",
        says: &["| 5         | none   |", "| meanwhile "],
    },
    Row {
        command: "storms sign-ins --seconds 1",
        says: &["sign-ins a second"],
    },
    Row {
        command: "paper --tunnel-bytes 4000 --tunnel-us 600 --request-us 40 --sign-in-ms 5 --provider-ms 10 \
                  --session-bytes 2783 --sign-in-commands 16 --look-up-commands 5 --command-us 30",
        // 10 million devices: 20 million tunnels, 50,000 for each replica.
        says: &["| devices ", "| 400 ", "| 80,000 MB "],
    },
    Row {
        command: "flame tests/rig_selftest/sample.callgrind --requests 1 --root asks",
        says: &[
            "100 instructions a request",
            "| `headwarden::asks` | 90 | 30 |",
            "| `http::reads` | 60 | 60 |",
        ],
    },
    Row {
        command: "soak --minutes 1 --cycle 9",
        says: &[
            "| minute | MB ",
            "sign-ins that failed: ",
            "not served: none",
        ],
    },
];

#[test]
fn every_benchmark_of_whole_processes_runs_and_says_what_the_documentation_quotes() {
    let rows = std::thread::scope(|scope| {
        let rows: Vec<_> = ROWS
            .iter()
            .map(|row| scope.spawn(move || fault(row)))
            .collect();
        let faults = rows
            .into_iter()
            .filter_map(|row| row.join().expect("it ran"));
        faults.collect::<Vec<_>>()
    });
    assert!(rows.is_empty(), "{}", rows.join("\n\n"));
}

/// What is wrong with a row.
fn fault(row: &Row) -> Option<String> {
    let mut words = row.command.split(' ');
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let output = Command::new(benches.join(words.next()?).join("run"))
        .args(words)
        .env("HEADWARDEN_BIN", env!("CARGO_BIN_EXE_headwarden"))
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("python3; see tests/setup.sh");
    let [said, errors] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let missing: Vec<_> = row
        .says
        .iter()
        .filter(|text| !said.contains(**text))
        .collect();
    (!output.status.success() || !missing.is_empty()).then(|| {
        let command = row.command;
        format!(
            "benches/{command}: {}; missing {missing:?}\n{said}\n{errors}",
            output.status
        )
    })
}

//! `headwarden health`: whether the process that runs with this configuration is ready.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{BAD_CONFIG, FAILED, complain, say_json};
use crate::config::Settings;

/// Longest wait for a connection, and for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// What is known about the process.
#[derive(Debug, Serialize)]
struct Told {
    /// Whether it is ready.
    ready: bool,
    /// The status of `/readyz`; none without an answer.
    status: Option<u16>,
    /// What is missing.
    failing: Vec<Failing>,
    /// Why there is no answer.
    error: Option<String>,
}

/// A check of `/readyz` that fails.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Failing {
    check: String,
    output: String,
}

/// Asks the operator's listener.
pub(super) fn run(settings: &Settings, json: bool) -> io::Result<ExitCode> {
    let Some(address) = settings.admin.address else {
        complain("admin.address is not set, so nobody can be asked");
        return Ok(ExitCode::from(BAD_CONFIG));
    };
    let told = match ask(address) {
        Ok((status, body)) => Told {
            ready: status == 200,
            status: Some(status),
            failing: failing(&body),
            error: None,
        },
        Err(why) => Told {
            ready: false,
            status: None,
            failing: Vec::new(),
            error: Some(format!("{address} does not answer: {why}")),
        },
    };
    if json {
        say_json(&told)?;
    } else if let Some(why) = &told.error {
        complain(why);
    } else if !told.ready {
        let reasons = told.failing.iter();
        let reasons = reasons.map(|failing| format!("\n  {}: {}", failing.check, failing.output));
        complain(&format!(
            "not ready, status {}{}",
            told.status.unwrap_or_default(),
            reasons.collect::<String>()
        ));
    }
    Ok(if told.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

/// The status of the readiness at `address`, and what fails there.
///
/// # Errors
/// Those of the connection.
pub(super) fn ask_ready(address: SocketAddr) -> io::Result<(u16, Vec<String>)> {
    let (status, body) = ask(address)?;
    let failing = failing(&body).into_iter();
    let failing = failing.map(|it| format!("{}: {}", it.check, it.output));
    Ok((status, failing.collect()))
}

/// The checks that fail, of the body of `/readyz`.
fn failing(body: &str) -> Vec<Failing> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let checks = body.get("checks").and_then(Value::as_object);
    let results = checks.into_iter().flatten().flat_map(|(name, results)| {
        let results = results.as_array().into_iter().flatten();
        results.map(move |result| (name, result))
    });
    results
        .filter(|(_, result)| result.get("status").is_some_and(|status| status == "fail"))
        .map(|(name, result)| {
            let output = result.get("output").and_then(Value::as_str);
            Failing {
                check: name.clone(),
                output: output.unwrap_or("fails").to_owned(),
            }
        })
        .collect()
}

/// Status and body of its readiness.
fn ask(address: SocketAddr) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    Ok((status.unwrap_or_default(), body.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failing_checks_are_told() {
        let body = r#"{"status":"fail","checks":{"provider":[{"status":"pass"}],
            "headscale":[{"status":"fail","output":"cannot be reached"}],
            "trust":[{"status":"warn","output":"unclear"}]}}"#;
        let told = failing(body);
        let told: Vec<_> = told
            .iter()
            .map(|failing| (failing.check.as_str(), failing.output.as_str()))
            .collect();
        assert_eq!(told, [("headscale", "cannot be reached")]);
        assert_eq!(failing("not json"), []);
    }
}

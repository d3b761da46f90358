//! How fast artifacts are searched for secret values, on one core.
//!
//! `cargo bench --profile release --bench leaks` measures what the harness itself runs with.

// A bench that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    fs,
    io::Write,
    process,
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use trinity_e2e::judge::leaks::{
    scanner::{Scanner, needles},
    sentinel::unique,
};

/// Bytes of each text.
const LENGTH: usize = 256 << 20;
const ROUNDS: usize = 5;

/// Values as a world has them: two short ones, and four tokens.
fn values() -> Vec<(String, String)> {
    let tokens = (0..4).map(|_| format!("{}{}", unique(), unique()));
    [unique(), unique()].into_iter().chain(tokens).map(|value| ("value".to_owned(), value)).collect()
}

/// A text of this length.
fn repeated(line: impl Fn(u64) -> String) -> Vec<u8> {
    let mut text = Vec::with_capacity(LENGTH);
    let mut number = 0;
    while text.len() < LENGTH {
        text.extend_from_slice(line(number).as_bytes());
        number += 1;
    }
    text
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&text[..LENGTH / 4]).unwrap();
    encoder.finish().unwrap()
}

/// Processor time of this process until now, from proc_pid_stat(5).
fn processor() -> Duration {
    let text = fs::read_to_string(format!("/proc/{}/stat", process::id())).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // A tick is 10 ms on every Linux that Rust runs on.
    Duration::from_millis(ticks * 10)
}

fn main() {
    let needles = needles(values()).unwrap();
    let log = repeated(|n| {
        format!(
            "time=\"2026-01-01T00:00:{n:02}Z\" level=info msg=\"Reconciliation completed\" app=argocd/trinity-{n} took={n}ms\n"
        )
    });
    let json = repeated(|n| {
        format!(
            r#"{{"kind":"Event","metadata":{{"uid":"{}","resourceVersion":"{n}"}},"level":"RequestResponse"}}"#,
            unique()
        )
    });
    let random = repeated(|_| unique());
    let packed = gzip(&log);
    let texts = [
        ("log", &log, log.len()),
        ("JSON with random ids", &json, json.len()),
        ("random hexadecimal digits", &random, random.len()),
        ("the log in gzip (unpacked bytes)", &packed, LENGTH / 4),
    ];
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["text", "MB/s", "MB per core second"]);
    for (name, text, length) in texts {
        let mut rates: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| {
                let (before, begun) = (processor(), Instant::now());
                let mut scanner = Scanner::new(needles.clone());
                text.chunks(64 << 10).for_each(|chunk| scanner.write_all(chunk).unwrap());
                assert!(scanner.end().leaks.is_empty());
                let rate = |took: Duration| length as f64 / 1e6 / took.as_secs_f64();
                (rate(begun.elapsed()), rate(processor() - before))
            })
            .collect();
        rates.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (wall, core) = rates[ROUNDS / 2];
        table.add_row([name.to_owned(), format!("{wall:.0}"), format!("{core:.0}")]);
    }
    println!("{ROUNDS} rounds of {} MB, medians, {}", LENGTH / 1_000_000, Timestamp::now().strftime("%F"));
    println!("{table}");
}

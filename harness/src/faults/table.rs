//! The confusion table: which fault was found, as what, and how fast.

use std::time::Duration;

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::hunt::Row;

/// One line for each fault.
pub fn confusion(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["fault", "expected", "found", "right", "seconds", "restored (s)"]);
    let seconds = |took: Option<Duration>| took.map_or_else(String::new, |took| format!("{:.1}", took.as_secs_f64()));
    for row in rows {
        let found = row.found.as_deref().unwrap_or("nothing");
        let right = if row.right() { "yes" } else { "NO" };
        table.add_row([&row.title, &row.expected, found, right, &seconds(row.took), &seconds(row.restored)]);
    }
    table.to_string()
}

/// The counts, and the times to find.
pub fn summary(rows: &[Row]) -> String {
    let (rows, clean): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.is_fault());
    let found = rows.iter().filter(|row| row.found.is_some()).count();
    let right = rows.iter().filter(|row| row.right()).count();
    let quiet = clean.iter().filter(|row| row.right()).count();
    let mut times: Vec<Duration> = rows.iter().filter_map(|row| row.took).collect();
    times.sort();
    let at = |place: usize| times.get(place).map_or(0.0, Duration::as_secs_f64);
    format!(
        "{} faults: {found} found, {right} with the right cause; time to find: median {:.1} s, worst {:.1} s; clean \
         runs: {quiet} of {} without a finding",
        rows.len(),
        at(times.len() / 2),
        at(times.len().saturating_sub(1)),
        clean.len(),
    )
}

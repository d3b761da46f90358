//! How the cost grows, in tables.

use super::{row::Row, sample::Spent};
use crate::report::table::table;

/// Times until secrets are Ready, and who has spent processor time.
pub fn times(rows: &[Row]) -> String {
    let mut table = table([
        "secrets",
        "first Ready (s)",
        "half (s)",
        "all (s)",
        "this process (CPU s)",
        "helpers (CPU s)",
        "emulators (CPU s)",
        "cluster (CPU s)",
        "harness",
    ]);
    for Row { secrets, ready, spent, .. } in rows {
        let ready =
            ready.map_or_else(<[String; 3]>::default, |ready| [ready.first, ready.median, ready.last].map(tenths));
        let Spent { own, helpers, emulators, cluster } = *spent;
        let share = spent.share().map_or_else(String::new, |share| format!("{share:.1} %"));
        let spent = [own, helpers, emulators, cluster].map(tenths);
        table.add_row(std::iter::once(secrets.to_string()).chain(ready).chain(spent).chain([share]));
    }
    table.to_string()
}

/// Memory, records, and what it takes to judge them.
pub fn records(rows: &[Row]) -> String {
    let mut table = table([
        "secrets",
        "this process (peak)",
        "emulators (peak)",
        "judging (peak)",
        "journal",
        "entries",
        "audit log",
        "read (s)",
        "judge (s)",
        "tell (s)",
        "write (s)",
        "report",
    ]);
    for Row { secrets, memory, journal, audit, judging, .. } in rows {
        let peaks = [memory.own, memory.emulators, memory.judging].map(mebibytes);
        let of_records = [mebibytes(journal.bytes), journal.entries.to_string(), mebibytes(*audit)];
        let times = [judging.read, judging.judged, judging.told, judging.written].map(|time| format!("{time:.3}"));
        let cells = std::iter::once(secrets.to_string()).chain(peaks).chain(of_records).chain(times);
        table.add_row(cells.chain([mebibytes(judging.report)]));
    }
    table.to_string()
}

fn tenths(seconds: f64) -> String {
    format!("{seconds:.1}")
}

/// Rounded to a tenth.
fn mebibytes(bytes: u64) -> String {
    let tenths = (bytes * 10 + (1 << 19)) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{super::row::tests::with_peaks, *};

    #[test]
    fn bytes_are_told_in_mebibytes() {
        assert_eq!(
            [0, 100_000, 1 << 20, (3 << 20) + (1 << 19)].map(mebibytes),
            ["0.0 MiB", "0.1 MiB", "1.0 MiB", "3.5 MiB"]
        );
    }

    #[test]
    fn every_step_has_a_line() {
        let rows = with_peaks(&[1 << 20; 5]);
        let [times, records] = [times(&rows), records(&rows)];
        assert_eq!((times.lines().count(), records.lines().count()), (7, 7), "{times}\n{records}");
        assert!(times.contains("3.0 %") && records.contains("1.0 MiB"), "{times}\n{records}");
    }
}

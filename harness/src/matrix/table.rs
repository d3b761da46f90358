//! The tables of the matrix.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::{
    cover::Cover,
    record::{Change, Record},
};
use crate::judge::verdict::Conclusion;

/// The cells to run and what each is for.
pub fn cells(cover: &Cover) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["Kubernetes", "Argo CD", "external-secrets", "covers"]);
    for (cell, pairs) in &cover.cells {
        let pairs: Vec<String> = pairs.iter().map(ToString::to_string).collect();
        table.add_row([&cell.kubernetes, &cell.argocd, &cell.operator, &pairs.join("\n")]);
    }
    table.to_string()
}

/// One line for each pair of releases that no cell covers.
pub fn left_out(cover: &Cover) -> Vec<String> {
    cover.left_out.iter().map(|(pair, why)| format!(" not run  {pair}: {why}")).collect()
}

/// What the cells have concluded.
pub fn results(rows: &[(Record, Change)]) -> String {
    let mut table = Table::new();
    let header =
        ["Kubernetes", "Argo CD", "external-secrets", "verdict", "since last time", "seconds", "first finding"];
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for (record, change) in rows {
        let verdict = match record.verdict {
            Conclusion::Passed => "passed",
            Conclusion::Failed => "FAILED",
            Conclusion::Unproven => "UNPROVEN",
        };
        let change = match change {
            Change::First => "first time",
            Change::Same => "the same",
            Change::Worse => "WORSE",
            Change::Better => "better",
        };
        let finding = record.findings.first().map(|finding| format!("{}: {}", finding.claim, finding.why));
        let finding = finding.unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        let cell = &record.cell;
        let seconds = record.seconds.to_string();
        table.add_row([&cell.kubernetes, &cell.argocd, &cell.operator, verdict, change, &seconds, &finding]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{
        cell::{Axes, Cell},
        cover::cover,
        record::Finding,
    };

    #[test]
    fn a_row_has_the_first_line_of_the_first_finding() {
        let cell = Cell { kubernetes: "1.34.4".into(), argocd: "3.2.11".into(), operator: "2.4.1".into() };
        let finding = Finding { claim: "gcp waves".into(), why: "by luck\nnext: add lines".into() };
        let record = Record {
            cell,
            platform: "p".into(),
            clouds: vec!["gcp".into()],
            verdict: Conclusion::Failed,
            findings: vec![finding],
            seconds: 200,
            date: "2026-11-27T21:00:00Z".into(),
            revision: "abc".into(),
        };
        let told = results(&[(record, Change::Worse)]);
        let row = told.lines().last().unwrap().split('|').map(str::trim).collect::<Vec<_>>();
        assert_eq!(row[1..8], ["1.34.4", "3.2.11", "2.4.1", "FAILED", "WORSE", "200", "gcp waves: by luck"]);
    }

    #[test]
    fn what_is_left_out_has_its_reason() {
        let one = |version: &str| vec![version.to_owned()];
        let axes = Axes { kubernetes: one("k"), argocd: one("a"), operators: one("o") };
        let told = left_out(&cover(&axes, |_| Some("no source has it".into())));
        assert!(told.contains(&" not run  Kubernetes k with external-secrets o: no source has it".into()), "{told:?}");
    }
}

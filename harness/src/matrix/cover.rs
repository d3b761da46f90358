//! Few cells that cover all pairs of releases: what breaks with a release mostly breaks with it alone or with one other.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::{Axes, Cell, Pair};

/// The cells to run, and what no cell covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Each cell with the pairs for which it was taken.
    pub cells: Vec<(Cell, Vec<Pair>)>,
    /// Pairs of releases that meet in no possible cell, with the reason.
    pub left_out: BTreeMap<Pair, String>,
}

/// Takes, again and again, the cell that covers most of what is not covered yet, and of several such cells the first.
/// `impossible` tells why a cell cannot be run.
pub fn cover(axes: &Axes, impossible: impl Fn(&Cell) -> Option<String>) -> Cover {
    let (mut possible, mut waiting, mut left_out) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    for cell in axes.cells() {
        match impossible(&cell) {
            Some(why) => left_out.extend(cell.pairs().map(|pair| (pair, why.clone()))),
            None => {
                waiting.extend(cell.pairs());
                possible.push(cell);
            }
        }
    }
    left_out.retain(|pair, _| !waiting.contains(pair));
    let mut cells = Vec::new();
    while !waiting.is_empty() {
        let fresh = |cell: &Cell| -> Vec<Pair> { cell.pairs().into_iter().filter(|p| waiting.contains(p)).collect() };
        // Of equals, `max_by_key` takes the last.
        let Some(cell) = possible.iter().rev().max_by_key(|cell| fresh(cell).len()).cloned() else { break };
        let taken_for = fresh(&cell);
        waiting.retain(|pair| !taken_for.contains(pair));
        cells.push((cell, taken_for));
    }
    Cover { cells, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(kubernetes: &[&str], argocd: &[&str], operators: &[&str]) -> Axes {
        let own = |versions: &[&str]| versions.iter().map(|version| (*version).to_owned()).collect();
        Axes { kubernetes: own(kubernetes), argocd: own(argocd), operators: own(operators) }
    }

    fn lines(cover: &Cover) -> Vec<String> {
        let line = |(cell, _): &(Cell, Vec<Pair>)| format!("{} {} {}", cell.kubernetes, cell.argocd, cell.operator);
        cover.cells.iter().map(line).collect()
    }

    #[test]
    fn every_pair_is_covered_by_no_more_cells_than_the_two_longest_axes_need() {
        let axes = axes(&["k1", "k2", "k3"], &["a1", "a2"], &["o1", "o2", "o3"]);
        let cover = cover(&axes, |_| None);
        assert_eq!(cover.cells.len(), 9, "{:?}", lines(&cover));
        let covered: BTreeSet<Pair> = cover.cells.iter().flat_map(|(cell, _)| cell.pairs()).collect();
        assert_eq!(covered, axes.cells().flat_map(|cell| cell.pairs()).collect());
        assert_eq!(cover.left_out, BTreeMap::new());
    }

    #[test]
    fn the_first_cell_is_the_usual_one_and_the_same_question_has_the_same_answer() {
        let axes = axes(&["k1", "k2"], &["a1", "a2"], &["o1", "o2"]);
        let one = cover(&axes, |_| None);
        assert_eq!(lines(&one), ["k1 a1 o1", "k1 a2 o2", "k2 a1 o2", "k2 a2 o1"]);
        assert_eq!(one, cover(&axes, |_| None));
    }

    #[test]
    fn a_cell_says_which_pairs_it_was_taken_for() {
        let cover = cover(&axes(&["k1"], &["a1"], &["o1", "o2"]), |_| None);
        assert_eq!(cover.cells[0].1.len(), 3);
        let told: Vec<String> = cover.cells[1].1.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Kubernetes k1 with external-secrets o2", "Argo CD a1 with external-secrets o2"]);
    }

    #[test]
    fn an_impossible_release_is_left_out_with_its_reason_and_costs_nothing_else() {
        let axes = axes(&["k1", "k2"], &["a1"], &["o1", "o2"]);
        let cover = cover(&axes, |cell| (cell.operator == "o2").then(|| "no source has it".into()));
        assert_eq!(lines(&cover), ["k1 a1 o1", "k2 a1 o1"]);
        assert_eq!(cover.left_out.len(), 3);
        assert!(cover.left_out.iter().all(|(pair, why)| pair.1.ends_with("o2") && why == "no source has it"));
    }

    #[test]
    fn a_pair_that_another_cell_covers_is_not_left_out() {
        let cover = cover(&axes(&["k1"], &["a1", "a2"], &["o1"]), |cell| (cell.argocd == "a2").then(|| "why".into()));
        let left_out: Vec<String> = cover.left_out.keys().map(ToString::to_string).collect();
        assert_eq!(left_out, ["Argo CD a2 with external-secrets o1", "Kubernetes k1 with Argo CD a2"]);
    }

    #[test]
    fn when_nothing_is_possible_nothing_is_run() {
        let cover = cover(&axes(&["k1"], &["a1"], &["o1"]), |_| Some("why".into()));
        assert_eq!((cover.cells.len(), cover.left_out.len()), (0, 3));
    }
}

//! A cell of the matrix: one release of everything that is varied.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The releases that a world is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// Kubernetes.
    pub kubernetes: String,
    /// Argo CD.
    pub argocd: String,
    /// External Secrets.
    pub operator: String,
}

/// The releases to combine. The first of each is the one that is taken without being asked for.
#[derive(Clone, Debug)]
pub struct Axes {
    /// Of Kubernetes.
    pub kubernetes: Vec<String>,
    /// Of Argo CD.
    pub argocd: Vec<String>,
    /// Of External Secrets.
    pub operators: Vec<String>,
}

/// Releases of two different things that meet in a cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair(pub String, pub String);

impl Cell {
    /// The pairs of releases that meet in it.
    pub fn pairs(&self) -> [Pair; 3] {
        let [kubernetes, argocd, operator] = self.names();
        [Pair(kubernetes.clone(), argocd.clone()), Pair(kubernetes, operator.clone()), Pair(argocd, operator)]
    }

    fn names(&self) -> [String; 3] {
        [
            format!("Kubernetes {}", self.kubernetes),
            format!("Argo CD {}", self.argocd),
            format!("external-secrets {}", self.operator),
        ]
    }
}

impl Axes {
    /// Every cell that there could be.
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        self.kubernetes.iter().flat_map(move |kubernetes| {
            self.argocd.iter().flat_map(move |argocd| {
                self.operators.iter().map(move |operator| Cell {
                    kubernetes: kubernetes.clone(),
                    argocd: argocd.clone(),
                    operator: operator.clone(),
                })
            })
        })
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.0, self.1)
    }
}

//! The step from one release of a product to another, and which steps nobody can make.

use std::fmt;

use semver::Version;

use crate::{
    components::{Lock, Product},
    failure::{Attempt, Failure, Result},
};

/// A step from one release of a product to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What gets another release.
    pub product: Product,
    /// Release to begin with.
    pub from: String,
    /// Release to go to.
    pub to: String,
}

impl Step {
    /// The step between two releases in the component lock.
    ///
    /// # Errors
    /// When a release is not listed, or nobody can make such a step.
    pub fn new(lock: &Lock, product: Product, from: &str, to: &str) -> Result<Self> {
        lock.lists(product, from)?;
        lock.lists(product, to)?;
        let step = Self { product, from: from.into(), to: to.into() };
        let refused = |(seen, next): (&str, String)| Failure::new(format!("upgrade {step}"), seen).next(next).misused();
        if from == to {
            return Err(refused(("they are the same release", "name another one with --to".into())));
        }
        if product == Product::Kubernetes {
            skew(&version(from)?, &version(to)?, &lock.releases(product)).map_err(refused)?;
        }
        Ok(step)
    }

    /// The release to begin with, by its name.
    pub fn before(&self) -> String {
        format!("{} {}", self.product, self.from)
    }

    /// The release to go to, by its name.
    pub fn after(&self) -> String {
        format!("{} {}", self.product, self.to)
    }

    /// Why there is no way back; nothing where there is one.
    pub fn one_way(&self) -> Option<&'static str> {
        (self.product == Product::Kubernetes).then_some("upstream supports no downgrade of a control plane")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} to {}", self.product, self.from, self.to)
    }
}

/// A release as a version that can be compared.
pub(super) fn version(release: &str) -> Result<Version> {
    Version::parse(release).attempting(|| format!("understand the version {release}"))
}

/// What upstream's version skew policy has against a step between two releases of Kubernetes, and what to do instead.
fn skew(from: &Version, to: &Version, listed: &[&str]) -> Result<(), (&'static str, String)> {
    if to < from {
        return Err(("upstream supports no downgrade of a control plane", "name a newer release with --to".into()));
    }
    if (to.major, to.minor) == (from.major, from.minor) || (to.major, to.minor) == (from.major, from.minor + 1) {
        return Ok(());
    }
    let line = format!("{}.{}", from.major, from.minor + 1);
    let between: Vec<&str> =
        listed.iter().copied().filter(|release| release.starts_with(&format!("{line}."))).collect();
    let between = if between.is_empty() { format!("a release of {line}") } else { between.join(" or ") };
    let why = "upstream's version skew policy lets a control plane skip no minor release";
    Err((why, format!("try the step to {between} first, and the next one from there")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(product: Product, from: &str, to: &str) -> String {
        Step::new(&Lock::load().unwrap(), product, from, to).map_or_else(|e| e.to_string(), |step| step.to_string())
    }

    #[test]
    fn kubernetes_goes_one_minor_release_at_a_time_and_not_back() {
        let kubernetes = |from: &str, to: &str| refusal(Product::Kubernetes, from, to);
        assert_eq!(kubernetes("1.34.4", "1.35.4"), "Kubernetes 1.34.4 to 1.35.4");
        assert_eq!(
            kubernetes("1.34.4", "1.36.3"),
            "could not upgrade Kubernetes 1.34.4 to 1.36.3: upstream's version skew policy lets a control plane skip no minor \
             release\n  next: try the step to 1.35.4 first, and the next one from there"
        );
        assert!(kubernetes("1.35.4", "1.34.4").contains("no downgrade"));
        let skew = |from: &str, to: &str| skew(&version(from).unwrap(), &version(to).unwrap(), &[]);
        assert_eq!(skew("1.9.0", "1.9.3"), Ok(()));
        assert_eq!(skew("1.9.0", "1.10.0"), Ok(()));
        assert!(skew("1.9.0", "1.11.0").unwrap_err().1.contains("a release of 1.10 first"));
        assert!(skew("1.9.0", "2.10.0").is_err());
    }

    #[test]
    fn others_go_where_they_are_sent() {
        assert_eq!(refusal(Product::Argocd, "3.6.1", "3.2.11"), "Argo CD 3.6.1 to 3.2.11");
        assert_eq!(refusal(Product::ExternalSecrets, "2.4.1", "2.9.0"), "external-secrets 2.4.1 to 2.9.0");
        assert!(refusal(Product::Argocd, "3.6.1", "3.6.1").contains("they are the same release"));
        assert!(refusal(Product::Argocd, "3.6.1", "3.7.0").contains("find Argo CD 3.7.0"));
    }
}

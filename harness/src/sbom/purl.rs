//! Package URLs: names by which scanners know software (github.com/package-url/purl-spec).

use std::fs;

use crate::{
    components::{
        Lock,
        lock::{Component, Image},
    },
    failure::{Attempt, Failure, Result},
};

/// That of a component: of the sources that it is made from, where the lock names them, also when a release is downloaded.
///
/// # Errors
/// When its wrapper module cannot be read.
pub fn component(component: &Component) -> Result<String> {
    let Component { name, version, .. } = component;
    if let Some(module) = &component.module {
        return golang(&module.wrapper, |path| path == module.path);
    }
    if let Some(go) = &component.go {
        let inside = |path: &str| go.packages.values().all(|package| package.starts_with(path));
        return golang(name, inside);
    }
    let kind = match (&component.cargo, &component.python) {
        (Some(_), _) => "cargo",
        (_, Some(_)) => "pypi",
        _ => "generic",
    };
    Ok(format!("pkg:{kind}/{}@{}", encoded(name), encoded(version)))
}

/// That of an image; `digest` is its manifest's (`sha256:…`).
pub fn image(image: &Image, digest: Option<&str>) -> String {
    let (repository, tag) = image.reference.rsplit_once(':').unwrap_or((&image.reference, "latest"));
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let version = digest.map(|digest| format!("@{}", encoded(digest))).unwrap_or_default();
    format!("pkg:oci/{}{version}?repository_url={}&tag={}", encoded(name), encoded(repository), encoded(tag))
}

/// That of a package of this machine.
pub fn debian(name: &str, version: &str, suite: &str) -> String {
    format!("pkg:deb/debian/{}@{}?distro={}", encoded(name), encoded(version), encoded(suite))
}

/// That of a crate of crates.io.
pub fn cargo(name: &str, version: &str) -> String {
    format!("pkg:cargo/{}@{}", encoded(name), encoded(version))
}

/// That of the module which a wrapper module requires in a line of its own.
fn golang(wrapper: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let file = Lock::folder().join(wrapper).join("go.mod");
    let text = fs::read_to_string(&file).attempting(|| format!("read {}", file.display()))?;
    let required = text.lines().filter_map(|line| line.strip_prefix("require ")?.split_once(' '));
    let Some((path, version)) = required.into_iter().find(|(path, _)| wanted(path)) else {
        return Err(Failure::new(
            format!("find the module of {wrapper}"),
            format!("{} does not name it", file.display()),
        ));
    };
    let path: Vec<String> = path.to_lowercase().split('/').map(encoded).collect();
    Ok(format!("pkg:golang/{}@{}", path.join("/"), encoded(version)))
}

/// A text with everything escaped that a package URL does not take as it is.
fn encoded(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_~:".contains(c);
    let mut bytes = [0; 4];
    let mut url = String::with_capacity(text.len());
    for c in text.chars() {
        match plain(c) {
            true => url.push(c),
            false => url.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}"))),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_source_has_its_kind_of_url() {
        let lock = Lock::load().unwrap();
        let url = |name: &str| component(lock.component(name).unwrap()).unwrap();
        assert_eq!(url("argocd-3.6.1"), "pkg:golang/github.com/argoproj/argo-cd/v3@v3.6.1");
        assert_eq!(url("pause"), "pkg:golang/k8s.io/kubernetes@v1.34.4");
        assert_eq!(url("prometheus"), "pkg:golang/github.com/prometheus/prometheus@v0.55.1");
        assert_eq!(url("cargo-nextest"), "pkg:cargo/cargo-nextest@0.9.151");
        assert_eq!(url("moto"), "pkg:pypi/moto@5.2.5");
        assert_eq!(url("external-secrets-chart-2.4.1"), "pkg:generic/external-secrets-chart-2.4.1@2.4.1");
    }

    #[test]
    fn an_image_has_its_digest_and_says_where_it_belongs() {
        let lock = Lock::load().unwrap();
        let etcd = lock.image("registry.k8s.io/etcd:3.6.4-0").unwrap();
        let known = "pkg:oci/etcd@sha256:12?repository_url=registry.k8s.io%2Fetcd&tag=3.6.4-0";
        assert_eq!(image(etcd, Some("sha256:12")), known);
        assert_eq!(image(etcd, None), known.replace("@sha256:12", ""));
    }

    #[test]
    fn a_version_of_debian_is_escaped() {
        let url = debian("runc", "1:1.1.5+ds1-1~deb12", "bookworm");
        assert_eq!(url, "pkg:deb/debian/runc@1:1.1.5%2Bds1-1~deb12?distro=bookworm");
    }

    #[test]
    fn every_component_of_the_lock_has_one() {
        for each in Lock::load().unwrap().component {
            component(&each).unwrap();
        }
    }
}

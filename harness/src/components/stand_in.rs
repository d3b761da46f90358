//! Images of a program that only answers, in the place of images that nobody has.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    artifact::Artifact,
    cache::{Entry, Origin, hash_bytes},
    compose,
    lock::Compose,
    store::{Store, plain},
};
use crate::{
    failure::{Failure, Result},
    gitops::container::Container,
};

/// The component with the program; also the program's name, and its place in an image.
pub const PROGRAM: &str = "stand-in";
/// Who runs it, unless it has to take a port that is for root alone.
const NOBODY: &str = "65534:65534";
/// The first port that is for everybody.
const UNPRIVILEGED: u64 = 1024;

/// What the containers of one image expect of it.
#[derive(Clone, Debug, Default)]
pub struct Role {
    ports: BTreeSet<u64>,
    programs: BTreeSet<String>,
    stays: bool,
}

impl Role {
    /// Takes what one more container expects.
    pub fn add(&mut self, container: Container<'_>) {
        let declared = container.declared;
        let ports = declared["ports"].as_array().into_iter().flatten().map(|port| &port["containerPort"]);
        let probes = ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| &declared[probe]);
        let probed = probes.into_iter().flat_map(|probe| [&probe["httpGet"]["port"], &probe["tcpSocket"]["port"]]);
        self.ports.extend(ports.chain(probed).filter_map(serde_json::Value::as_u64));
        self.programs.extend(declared["command"][0].as_str().map(Into::into));
        self.stays |= !container.ends;
    }

    fn recipe(&self) -> Compose {
        let target = format!("/{PROGRAM}");
        let place = |program: &String| match program.starts_with('/') {
            true => program.clone(),
            false => format!("/usr/local/bin/{program}"),
        };
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let ends = (!self.stays).then(|| "STAND_IN_ENDS=1".to_owned());
        Compose {
            files: BTreeMap::from([(format!("{PROGRAM}/{PROGRAM}"), target.clone())]),
            links: self.programs.iter().map(|program| (place(program), target.clone())).collect(),
            user: self.ports.iter().all(|port| *port >= UNPRIVILEGED).then(|| NOBODY.into()),
            env: ends.into_iter().chain([format!("STAND_IN_PORTS={}", ports.join(","))]).collect(),
            entrypoint: vec![target],
            ..Compose::default()
        }
    }
}

impl Store {
    /// Composes an image for this role; returns it with its manifest's digest (`sha256:…`).
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub async fn stand_in(&self, reference: &str, role: &Role) -> Result<(Artifact, String)> {
        let recipe = role.recipe();
        let program = self.key(self.lock.component(PROGRAM)?)?;
        let key = format!("{PROGRAM}-{}", &hash_bytes(format!("{reference} {program} {recipe:?}").as_bytes())[..12]);
        let version = plain(reference.rsplit(':').next().unwrap_or_default());
        let entry = self
            .entry(&key, async |making| {
                let (files, manifest) = compose::compose(self, making, &recipe).await?;
                let (name, origin) = (reference.to_owned(), Origin::Build);
                Ok(Entry { name, version, origin, files, manifest: Some(manifest) })
            })
            .await?;
        let manifest = entry.manifest.ok_or_else(|| {
            Failure::new(format!("use the stand-in for {reference}"), "its cache entry has no manifest")
        })?;
        let Entry { name, version, origin, .. } = entry;
        Ok((Artifact { name, version, path: self.cache.blobs(), origin }, manifest))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn role(containers: &[(Value, bool)]) -> Compose {
        let mut role = Role::default();
        for (declared, ends) in containers {
            role.add(Container { declared, ends: *ends });
        }
        role.recipe()
    }

    #[test]
    fn a_stand_in_is_where_it_is_looked_for() {
        let server = json!({"command": ["/usr/bin/serve", "--fast"], "ports": [{"containerPort": 3000}],
            "readinessProbe": {"httpGet": {"path": "/healthy", "port": 3001}}, "livenessProbe": {"tcpSocket": {"port": "http"}}});
        let recipe = role(&[(server.clone(), false)]);
        assert_eq!(recipe.env, ["STAND_IN_PORTS=3000,3001"]);
        assert_eq!(recipe.links["/usr/bin/serve"], "/stand-in");
        assert_eq!((recipe.entrypoint, recipe.user.as_deref()), (vec!["/stand-in".to_owned()], Some(NOBODY)));
        let low = role(&[(json!({"ports": [{"containerPort": 80}]}), false)]);
        assert_eq!(low.user, None);
        let copies = (json!({"command": ["cp", "a", "b"]}), true);
        let recipe = role(std::slice::from_ref(&copies));
        assert_eq!(recipe.env[0], "STAND_IN_ENDS=1");
        assert_eq!(recipe.links["/usr/local/bin/cp"], "/stand-in");
        assert!(!role(&[copies, (server, false)]).env.contains(&"STAND_IN_ENDS=1".to_owned()));
    }
}

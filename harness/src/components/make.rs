//! How each source makes the files of a component.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tracing::info;

use super::{
    cache::{Making, Origin, hash},
    chart,
    lock::{Cargo, Component, Go, Lock, Module, Npm, Pinned, Python, Workspace},
    store::Store,
};
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
    workspace,
};

/// The platform of programs that are compiled for images.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Which Go compiles: the machine's, or the later one that a wrapper module asks for. The module proxy has all, and Go's checksum
/// database vouches for them as for modules.
const TOOLCHAIN: &str = "auto";

impl Store {
    /// Makes the files of a component from one source and returns them by name with their digests.
    pub(super) async fn files(
        &self,
        component: &Component,
        origin: Origin,
        key: &str,
        making: &Making,
    ) -> Result<BTreeMap<String, String>> {
        let Component { mirror, go, module, python, npm, cargo, workspace: member, .. } = component;
        if let (Origin::Npm, Some(package)) = (origin, npm) {
            return self.package(component, package, making).await;
        }
        match (origin, mirror, go, module, python, cargo, member) {
            (Origin::Mirror, Some(pinned), ..) => {
                let path = self.mirrored(pinned)?;
                let name = pinned.path.rsplit('/').next().unwrap_or_default();
                let copy = making.folder.join(name);
                fs::copy(&path, &copy).attempting(|| format!("copy {}", path.display()))?;
                Ok(BTreeMap::from([(name.to_owned(), self.cache.add(&copy)?)]))
            }
            (Origin::Download, ..) => self.download(component, making).await,
            (Origin::Build, _, Some(go), ..) => self.build(component, go, making).await,
            (Origin::Build, _, _, Some(module), ..) => self.extract(component, module, making).await,
            (Origin::Build, .., Some(cargo), _) => self.install(component, cargo, making).await,
            (Origin::Build, .., Some(member)) => self.compile(component, member, making).await,
            (Origin::PyPI, _, _, _, Some(python), ..) => self.environment(python, key, making).await,
            _ => Err(Failure::new(format!("get {} by {origin}", component.name), "the lock does not say how")),
        }
    }

    /// The checked path of a file in the mirror.
    pub(super) fn mirrored(&self, pinned: &Pinned) -> Result<PathBuf> {
        let attempted = || format!("take {} from the mirror", pinned.path);
        let mirror = self.mirror.as_ref().ok_or_else(|| Failure::new(attempted(), "no mirror folder is set"))?;
        let path = mirror.join(&pinned.path);
        let seen = hash(&path).attempting(attempted)?;
        if seen != pinned.sha256 {
            return Err(Failure::new(attempted(), format!("its SHA-256 is {seen}, the lock says {}", pinned.sha256)));
        }
        Ok(path)
    }

    async fn download(&self, component: &Component, making: &Making) -> Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        for release in &component.release {
            let path = making.folder.join("download");
            self.web.release(component, release, &path).await?;
            let path = match &release.member {
                Some(member) => member_of(&path, &component.fill(member), &making.folder.join("member"))?,
                None => path,
            };
            files.insert(component.fill(&release.file), self.cache.add(&path)?);
        }
        Ok(files)
    }

    /// Builds programs with the wrapper module, whose go.sum vouches for every source.
    async fn build(&self, component: &Component, go: &Go, making: &Making) -> Result<BTreeMap<String, String>> {
        let _turn = self.building.lock().await;
        let stamps: String = go.stamp.iter().map(|s| format!(" -X {}", component.fill(s))).collect();
        let tags = go.tags.join(",");
        let mut files = BTreeMap::new();
        for (program, package) in &go.packages {
            info!("component {} {}: compiling {program}", component.name, component.version);
            let path = making.folder.join(program);
            Run::new("go")
                .env("TMPDIR", &making.folder)
                .args([
                    "build",
                    "-mod=readonly",
                    "-trimpath",
                    "-buildvcs=false",
                    "-tags",
                    &tags,
                    "-ldflags",
                    &format!("-s -w{stamps}"),
                    "-o",
                ])
                .arg(&path)
                .arg(package)
                .env("CGO_ENABLED", "0")
                .env("GOFLAGS", "")
                .env("GOTOOLCHAIN", TOOLCHAIN)
                .folder(&Lock::folder().join(&component.name))
                .output()
                .await?;
            files.insert(program.clone(), self.cache.add(&path)?);
        }
        Ok(files)
    }

    /// Takes files out of a Go module, or compiles one of them.
    async fn extract(
        &self,
        component: &Component,
        module: &Module,
        making: &Making,
    ) -> Result<BTreeMap<String, String>> {
        let json = Run::new("go")
            .args(["mod", "download", "-json", &module.path])
            .env("GOFLAGS", "-mod=readonly")
            .env("GOTOOLCHAIN", TOOLCHAIN)
            .folder(&Lock::folder().join(&module.wrapper))
            .output()
            .await?;
        let attempted = || format!("find module {}", module.path);
        let listing: Value = serde_json::from_slice(&json).attempting(attempted)?;
        let folder =
            PathBuf::from(listing["Dir"].as_str().ok_or_else(|| Failure::new(attempted(), "it has no folder"))?);
        let mut files = BTreeMap::new();
        if let Some(sources) = &module.chart {
            let name = format!("external-secrets-{}.tgz", component.version);
            let target = making.folder.join(&name);
            chart::package(&folder, sources, &component.version, &target)?;
            files.insert(name, self.cache.add(&target)?);
        }
        for (name, inside) in &module.files {
            let (source, target) = (folder.join(inside), making.folder.join(name));
            if module.compile {
                let version = format!("-DVERSION={}", component.version);
                Run::new("cc")
                    .args(["-static", "-Os", "-s", &version, "-o"])
                    .arg(&target)
                    .arg(&source)
                    .output()
                    .await?;
            } else {
                fs::copy(&source, &target).attempting(|| format!("copy {}", source.display()))?;
            }
            files.insert(name.clone(), self.cache.add(&target)?);
        }
        Ok(files)
    }

    async fn install(&self, component: &Component, cargo: &Cargo, making: &Making) -> Result<BTreeMap<String, String>> {
        let _turn = self.building.lock().await;
        info!("component {} {}: building it from crates.io", component.name, component.version);
        let root = making.folder.join("root");
        Run::new("cargo")
            .args(["install", "--locked", "--no-track", "--quiet", "--version", &component.version, "--root"])
            .arg(&root)
            .arg(&component.name)
            .env("CARGO_TARGET_DIR", making.folder.join("target"))
            // It starts tests and does no heavy work itself: a quick build is worth more than a quick program.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .output()
            .await?;
        cargo
            .programs
            .iter()
            .map(|program| Ok((program.clone(), self.cache.add(&root.join("bin").join(program))?)))
            .collect()
    }

    /// Builds a member of this workspace as a static program, which an image needs nothing beside.
    async fn compile(
        &self,
        component: &Component,
        member: &Workspace,
        making: &Making,
    ) -> Result<BTreeMap<String, String>> {
        let _turn = self.building.lock().await;
        let package = &member.package;
        info!("component {} {}: compiling it from this workspace", component.name, component.version);
        // With other flags in the workspace's own target folder, everything in it would be compiled again.
        let target = making.folder.join("target");
        Run::new("cargo")
            .args(["build", "--release", "--locked", "--quiet", "--package", package, "--target", TARGET])
            .env("CARGO_TARGET_DIR", &target)
            // Build scripts and macros run on this machine: with a target named, the flags are not for them.
            .env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .folder(&workspace())
            .output()
            .await?;
        let program = target.join(TARGET).join("release").join(package);
        Ok(BTreeMap::from([(package.clone(), self.cache.add(&program)?)]))
    }

    /// Files of a package, which npm's own client gets; nothing of it is run.
    async fn package(&self, component: &Component, package: &Npm, making: &Making) -> Result<BTreeMap<String, String>> {
        let name = format!("{}@{}", component.name, component.version);
        let archive = Run::new("npm")
            .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
            .arg(&making.folder)
            .arg(&name)
            .text()
            .await?;
        let path = making.folder.join(&archive);
        let seen = hash(&path).attempting(|| format!("read {archive}"))?;
        if seen != package.sha256 {
            return Err(Failure::new(
                format!("verify {name} of npm"),
                format!("its SHA-256 is {seen}, the lock says {}", package.sha256),
            ));
        }
        let mut files = BTreeMap::new();
        for (file, member) in &package.files {
            let target = member_of(&path, member, &making.folder.join("member"))?;
            files.insert(file.clone(), self.cache.add(&target)?);
        }
        Ok(files)
    }

    /// A Python environment in the cache's tree; its files are not blobs, pip has checked their hashes.
    async fn environment(&self, python: &Python, key: &str, making: &Making) -> Result<BTreeMap<String, String>> {
        let folder = making.folder.join("environment");
        Run::new("python3").args(["-m", "venv"]).arg(&folder).output().await?;
        Run::new(folder.join("bin/python"))
            .env("TMPDIR", &making.folder)
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement"])
            .arg(Lock::folder().join(&python.requirements))
            .output()
            .await?;
        self.cache.place(&folder, key)?;
        Ok(BTreeMap::new())
    }
}

/// Takes one member out of a `.tar.gz`.
fn member_of(archive: &Path, member: &str, target: &Path) -> Result<PathBuf> {
    let attempted = || format!("take {member} from {}", archive.display());
    let file = File::open(archive).attempting(attempted)?;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in tar.entries().attempting(attempted)? {
        let mut entry = entry.attempting(attempted)?;
        if entry.path().attempting(attempted)?.as_ref() == Path::new(member) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).attempting(attempted)?;
            fs::write(target, bytes).attempting(attempted)?;
            return Ok(target.to_owned());
        }
    }
    Err(Failure::new(attempted(), "it has no such member"))
}

//! A cloud by itself, on this machine's loopback, for people who only want that.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core::{OsRng, RngCore},
};
use serde_json::json;
use trinity_emulators::{
    authority,
    config::{self, Config},
    control,
    gateway::Bound,
    issuer::Issuer,
    seed,
};

use crate::{
    backend::Place,
    failure::{Attempt, Failure, Result},
    folder, workspace,
    world::{Cloud, bringup::write, declared::declaration},
};

/// File in the folder that says where the cloud is played.
pub const PLACE: &str = "place.json";
/// What is written to the folder.
const FILES: [&str; 10] = [
    "ca.crt",
    "ca.key",
    "control.sock",
    "gateway.jsonl",
    "issuer.json",
    "issuer.key",
    "issuer.pub",
    PLACE,
    "seed.yaml",
    "values.json",
];
/// Mode of these files: nobody but their owner reads them.
const PRIVATE: u32 = 0o600;

/// What to play.
#[derive(Clone, Debug)]
pub struct Alone {
    /// The cloud.
    pub cloud: Cloud,
    /// Port on the loopback.
    pub port: u16,
    /// Address of the metadata server.
    pub metadata: Option<SocketAddr>,
    /// The declared set-up; without one, that of the example platform with what canaries need.
    pub seed: Option<PathBuf>,
    /// File with the values of `${value:…}`, a mapping in JSON or YAML; without one they are made up.
    pub values: Option<PathBuf>,
    /// Issuer of the tokens that the cloud shall accept, and the file with its key set; without them one is made up.
    pub issuer: Option<(String, PathBuf)>,
    /// Folder for the authority, the issuer, the values, the journal and the control socket.
    pub folder: PathBuf,
}

impl Alone {
    /// Plays the cloud until the process ends.
    ///
    /// # Errors
    /// When something that was named cannot be used, or a port is taken.
    pub async fn play(self) -> Result<()> {
        let link_local = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.is_link_local());
        if let Some(address) = self.metadata.filter(|a| !a.ip().is_loopback() && !link_local(a.ip())) {
            return Err(Failure::new(
                format!("play the metadata server on {address}"),
                "other machines could reach it, and nobody but this one shall",
            )
            .next("use a loopback address, or 169.254.169.254 in a network namespace of your own")
            .misused());
        }
        // Keys and values will be in it.
        folder::private(&self.folder).attempting(|| self.what("make"))?;
        let folder = self.folder.canonicalize().attempting(|| self.what("resolve"))?;
        let path = |name: &str| folder.join(name);
        let seed = match &self.seed {
            Some(file) => fs::read_to_string(file).attempting(|| format!("read {}", file.display()))?,
            None => declaration(&workspace().join(format!("fixtures/worlds/{}.yaml", self.cloud)), self.cloud)?,
        };
        let values = self.values(&seed)?;
        // What an earlier one has left: nobody shall take its keys for this one's.
        for file in FILES.map(path) {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::new(format!("remove {}", file.display()), e));
                }
                _ => {}
            }
        }
        write(&path("seed.yaml"), &seed, PRIVATE)?;
        let cloud = config::Cloud::read(self.cloud.name(), &path("seed.yaml")).attempting(|| "read the seed".into())?;
        let minted = authority::mint("trinity-e2e emulators").attempting(|| "mint an authority".into())?;
        write(&path("ca.crt"), &minted.certificate, PRIVATE)?;
        write(&path("ca.key"), &minted.key, PRIVATE)?;
        let issuer = self.issuer(&cloud, &path)?;
        write(&path("values.json"), &json!(values).to_string(), PRIVATE)?;
        let config = Config {
            https: (Ipv4Addr::LOCALHOST, self.port).into(),
            registry: None,
            metadata: self.metadata,
            control: path("control.sock"),
            journal: path("gateway.jsonl"),
            authority: config::Pair { certificate: path("ca.crt"), key: path("ca.key") },
            git: Vec::new(),
            charts: Vec::new(),
            images: config::Images::default(),
            issuer: issuer.clone(),
            clouds: vec![cloud.clone()],
            grafana: None,
        };
        let attempted = || format!("play {}", self.cloud);
        let gateway = Bound::open(config, None).await.attempting(attempted)?;
        let serving = tokio::spawn(gateway.serve());
        let control = control::Client::connect(&path("control.sock"), self.cloud.name()).attempting(attempted)?;
        control.apply(values).await.attempting(attempted)?;
        let (authority, control) = (path("ca.crt"), path("control.sock"));
        let place =
            Place { cloud: cloud.clone(), gateway: (Ipv4Addr::LOCALHOST, self.port).into(), authority, control };
        write(&path(PLACE), &json!(place).to_string(), PRIVATE)?;
        println!("{} is played on 127.0.0.1:{} for {}", self.cloud, self.port, cloud.hosts().join(", "));
        if let Some(address) = self.metadata {
            println!("its metadata server on {address}");
        }
        println!("trust {}", path("ca.crt").display());
        println!("tokens of {} for audience {} are accepted", issuer.url, cloud.audience());
        println!(
            "in {}: values.json, gateway.jsonl (every call), control.sock (clock, faults, secrets)",
            folder.display()
        );
        println!("ready");
        serving.await.attempting(attempted)?.attempting(attempted)
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} {}", self.folder.display())
    }

    /// The issuer that was named, or one that is made up; its private key is for whoever mints tokens then.
    fn issuer(&self, cloud: &config::Cloud, path: &impl Fn(&str) -> PathBuf) -> Result<config::Issuer> {
        let key = path("issuer.pub");
        if let Some((url, keys)) = &self.issuer {
            let text = fs::read_to_string(keys).attempting(|| format!("read {}", keys.display()))?;
            write(&key, &Issuer::pem_of(&text).attempting(|| format!("use {}", keys.display()))?, PRIVATE)?;
            return Ok(config::Issuer { url: url.clone(), jwks: format!("{}/jwks", url.trim_end_matches('/')), key });
        }
        let attempted = || "make up an issuer".to_owned();
        let private = RsaPrivateKey::new(&mut OsRng, 2048).attempting(attempted)?;
        write(&path("issuer.key"), &private.to_pkcs8_pem(LineEnding::LF).attempting(attempted)?, PRIVATE)?;
        let public = private.to_public_key().to_public_key_pem(LineEnding::LF).attempting(attempted)?;
        write(&key, &public, PRIVATE)?;
        let (url, jwks) = cloud.issuer(&format!("{:032x}", u128::from(OsRng.next_u64())));
        let issuer = Issuer::new(&url, &jwks, &public).attempting(attempted)?;
        let told = json!({"url": url, "kid": issuer.key_id(), "key": path("issuer.key"), "audience": cloud.audience()});
        write(&path("issuer.json"), &told.to_string(), PRIVATE)?;
        Ok(config::Issuer { url, jwks, key })
    }

    /// The values that were named, or one for every name in the seed.
    fn values(&self, seed: &str) -> Result<BTreeMap<String, String>> {
        if let Some(file) = &self.values {
            let text = fs::read_to_string(file).attempting(|| format!("read {}", file.display()))?;
            return serde_yaml::from_str(&text).attempting(|| format!("understand {}", file.display()));
        }
        Ok(seed::names(seed).map(|name| (name.to_owned(), format!("made-up-{:016x}", OsRng.next_u64()))).collect())
    }
}

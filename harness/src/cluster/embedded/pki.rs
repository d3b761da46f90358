//! Keys, certificates and kubeconfigs of one world, made anew for every run.

use std::{fs, net::IpAddr, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::json;

use super::{network::Network, node::Node};
use crate::failure::{Attempt, Result};

/// Writes all key material of the cluster to `folder`: `ca`, `apiserver`, `kubelet` and its likes on further nodes,
/// `apiserver-kubelet-client`, `front-proxy-client` as `.crt`/`.key`; `sa.key`/`sa.pub`; and `<user>.conf` kubeconfigs.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, network: Network, nodes: &[Node]) -> Result<()> {
    let ca = core(folder, network)?;
    let first = IpAddr::from(network.node());
    let service = IpAddr::from(network.api_service());
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
    ca.sign("apiserver", "kube-apiserver", None, &names, &[first, service, loopback])?;
    for node in nodes {
        let (file, name, address) = (node.process("kubelet"), node.name(), node.address(network).into());
        ca.sign(&file, &format!("system:node:{name}"), Some("system:nodes"), &[&name], &[address])?;
        kubeconfig(folder, &file, network)?;
    }
    ca.sign("apiserver-kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters"), &[], &[])?;
    ca.sign("front-proxy-client", "front-proxy-client", None, &[], &[])?;
    for (file, user) in [
        ("controller-manager", "system:kube-controller-manager"),
        ("scheduler", "system:kube-scheduler"),
        ("proxy", "system:kube-proxy"),
    ] {
        ca.sign(file, user, None, &[], &[])?;
        kubeconfig(folder, file, network)?;
    }
    Ok(())
}

/// Writes what every cluster gets from its maker, whoever signs the rest: `ca`, `sa.key`/`sa.pub`, and the administrator's
/// kubeconfig.
///
/// # Errors
/// When a file cannot be written.
pub fn core(folder: &Path, network: Network) -> Result<Authority<'_>> {
    fs::create_dir_all(folder).attempting(|| format!("make {}", folder.display()))?;
    let ca = Authority::mint(folder)?;
    ca.sign("admin", "kubernetes-admin", Some("system:masters"), &[], &[])?;
    kubeconfig(folder, "admin", network)?;
    token_key(folder)?;
    Ok(ca)
}

/// The cluster's certificate authority.
pub struct Authority<'a> {
    folder: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    fn mint(folder: &'a Path) -> Result<Self> {
        let attempted = || "mint the cluster's certificate authority".to_owned();
        let key = KeyPair::generate().attempting(attempted)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "trinity-e2e cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).attempting(attempted)?;
        save(folder, "ca.crt", &certificate.pem())?;
        save(folder, "ca.key", &key.serialize_pem())?;
        Ok(Self { folder, issuer: Issuer::new(params, key) })
    }

    fn sign(&self, file: &str, user: &str, group: Option<&str>, names: &[&str], addresses: &[IpAddr]) -> Result<()> {
        let attempted = || format!("mint the certificate {file}");
        let key = KeyPair::generate().attempting(attempted)?;
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).attempting(attempted)?;
        params.subject_alt_names.extend(addresses.iter().map(|a| SanType::IpAddress(*a)));
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).attempting(attempted)?;
        save(self.folder, &format!("{file}.crt"), &certificate.pem())?;
        save(self.folder, &format!("{file}.key"), &key.serialize_pem())
    }
}

/// A kubeconfig that refers to nothing outside itself, so that it can be copied.
fn kubeconfig(folder: &Path, user: &str, network: Network) -> Result<()> {
    let data = |file: String| -> Result<String> {
        let pem = fs::read(folder.join(&file)).attempting(|| format!("read {file}"))?;
        Ok(k8s_openapi::ByteString(pem)).and_then(|bytes| {
            serde_json::to_value(bytes)
                .attempting(|| format!("encode {file}"))
                .map(|v| v.as_str().unwrap_or_default().to_owned())
        })
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "trinity-e2e", "cluster": {
            "server": format!("https://{}:6443", network.node()),
            "certificate-authority-data": data("ca.crt".into())?,
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": data(format!("{user}.crt"))?,
            "client-key-data": data(format!("{user}.key"))?,
        }}],
        "contexts": [{"name": "trinity-e2e", "context": {"cluster": "trinity-e2e", "user": user}}],
        "current-context": "trinity-e2e",
    });
    let yaml = serde_yaml::to_string(&config).attempting(|| format!("write the kubeconfig of {user}"))?;
    save(folder, &format!("{user}.conf"), &yaml)
}

/// The key that signs service-account tokens. RSA, because that is what EKS signs with.
fn token_key(folder: &Path) -> Result<()> {
    let attempted = || "make the key of the service-account tokens".to_owned();
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).attempting(attempted)?;
    let private = key.to_pkcs8_pem(LineEnding::LF).attempting(attempted)?;
    let public = key.to_public_key().to_public_key_pem(LineEnding::LF).attempting(attempted)?;
    save(folder, "sa.key", &private)?;
    save(folder, "sa.pub", &public)
}

fn save(folder: &Path, name: &str, text: &str) -> Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let path = folder.join(name);
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .attempting(|| format!("write {}", path.display()))
}

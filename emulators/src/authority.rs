//! A certificate authority made for one run, and the server certificates it signs on demand.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{Attempt, Result};

/// A new authority as PEM texts.
#[derive(Clone)]
pub struct Minted {
    /// Its certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// Makes an authority with the common name `name`.
///
/// # Errors
/// When the key cannot be made.
pub fn mint(name: &str) -> Result<Minted> {
    let attempted = || "mint a certificate authority".to_owned();
    let key = KeyPair::generate().attempting(attempted)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).attempting(attempted)?;
    Ok(Minted { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Signs a certificate for every server name that a client asks for, once.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    leaves: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// Reads an authority from PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or is no authority.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let text = |path: &Path| fs::read_to_string(path).attempting(|| format!("read {}", path.display()));
        let attempted = || format!("use {} as certificate authority", certificate.display());
        let pair = KeyPair::from_pem(&text(key)?).attempting(attempted)?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&text(certificate)?, pair).attempting(attempted)?,
            leaves: Mutex::default(),
        })
    }

    fn leaf(&self, name: &str) -> Result<Arc<CertifiedKey>> {
        let attempted = || format!("mint a certificate for {name}");
        let mut leaves = self.leaves.lock().attempting(attempted)?;
        if let Some(leaf) = leaves.get(name) {
            return Ok(leaf.clone());
        }
        let key = KeyPair::generate().attempting(attempted)?;
        let mut params = CertificateParams::new([name.to_owned()]).attempting(attempted)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).attempting(attempted)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = any_supported_type(&private).attempting(attempted)?;
        let leaf = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer));
        leaves.insert(name.to_owned(), leaf.clone());
        Ok(leaf)
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        self.leaf(name).inspect_err(|e| tracing::warn!("{e}")).ok()
    }
}

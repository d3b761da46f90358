//! Secret Manager over REST: Google's HTTP rules of its gRPC methods.

use axum::http::StatusCode;
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1 as pb;
use googleapis_tonic_google_iam_v1::google::iam::v1 as iam_pb;
use prost_types::FieldMask;
use serde_json::{Value, json};

use super::{
    json::{self, Added, Permissions, Policy, Secret, Tagged},
    refusal::Refusal,
    secretmanager::{Operation, SecretManager},
    transport::{body, query},
};
use crate::{Answer, Request};

/// The operation of a REST call, and the resource that its path names.
pub(crate) fn operation<'a>(method: &str, path: &'a str) -> Option<(Operation, &'a str)> {
    let path = path.strip_prefix("/v1/")?;
    if let Some((resource, verb)) = path.rsplit_once(':') {
        let operation = match (method, verb) {
            ("POST", "addVersion") => Operation::AddSecretVersion,
            ("GET", "access") => Operation::AccessSecretVersion,
            ("POST", "destroy") => Operation::DestroySecretVersion,
            ("POST", "disable") => Operation::DisableSecretVersion,
            ("POST", "enable") => Operation::EnableSecretVersion,
            ("GET", "getIamPolicy") => Operation::GetIamPolicy,
            ("POST", "setIamPolicy") => Operation::SetIamPolicy,
            ("POST", "testIamPermissions") => Operation::TestIamPermissions,
            _ => return None,
        };
        return Some((operation, resource));
    }
    let (parent, last) = path.rsplit_once('/')?;
    match (method, last, parent.rsplit('/').next()?) {
        ("GET", "secrets", _) => Some((Operation::ListSecrets, parent)),
        ("POST", "secrets", _) => Some((Operation::CreateSecret, parent)),
        ("GET", "versions", _) => Some((Operation::ListSecretVersions, parent)),
        ("GET", _, "versions") => Some((Operation::GetSecretVersion, path)),
        ("GET", _, "secrets") => Some((Operation::GetSecret, path)),
        ("PATCH", _, "secrets") => Some((Operation::UpdateSecret, path)),
        ("DELETE", _, "secrets") => Some((Operation::DeleteSecret, path)),
        _ => None,
    }
}

/// Answers one call.
pub(crate) fn answer(manager: &SecretManager<'_>, operation: Operation, resource: &str, request: &Request) -> Answer {
    match call(manager, operation, resource.to_owned(), request) {
        Ok(value) => Answer::body(StatusCode::OK, "application/json; charset=UTF-8", value.to_string()),
        Err(refusal) => refusal.answer(),
    }
}

fn call(
    manager: &SecretManager<'_>,
    operation: Operation,
    resource: String,
    request: &Request,
) -> Result<Value, Refusal> {
    let known: &[&str] = match operation {
        Operation::CreateSecret => &["secretId"],
        Operation::DeleteSecret => &["etag"],
        Operation::GetIamPolicy => &["options.requestedPolicyVersion"],
        Operation::ListSecrets | Operation::ListSecretVersions => &["pageSize", "pageToken", "filter"],
        Operation::UpdateSecret => &["updateMask"],
        _ => &[],
    };
    let mut parameters = query(request, known)?;
    let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
    Ok(match operation {
        Operation::AccessSecretVersion => {
            json::access(&manager.access_secret_version(pb::AccessSecretVersionRequest { name: resource })?)
        }
        Operation::AddSecretVersion => {
            let payload = body::<Added>(request)?.message()?;
            json::version(&manager.add_secret_version(pb::AddSecretVersionRequest { parent: resource, payload })?)
        }
        Operation::CreateSecret => {
            let secret = Some(body::<Secret>(request)?.message()?);
            let request = pb::CreateSecretRequest { parent: resource, secret_id: take("secretId"), secret };
            json::secret(&manager.create_secret(request)?)
        }
        Operation::DeleteSecret => {
            manager.delete_secret(pb::DeleteSecretRequest { name: resource, etag: take("etag") })?;
            json!({})
        }
        Operation::DestroySecretVersion => {
            let etag = body::<Tagged>(request)?.etag;
            json::version(&manager.destroy_secret_version(pb::DestroySecretVersionRequest { name: resource, etag })?)
        }
        Operation::DisableSecretVersion => {
            let etag = body::<Tagged>(request)?.etag;
            json::version(&manager.disable_secret_version(pb::DisableSecretVersionRequest { name: resource, etag })?)
        }
        Operation::EnableSecretVersion => {
            let etag = body::<Tagged>(request)?.etag;
            json::version(&manager.enable_secret_version(pb::EnableSecretVersionRequest { name: resource, etag })?)
        }
        Operation::GetIamPolicy => {
            json::policy(&manager.get_iam_policy(iam_pb::GetIamPolicyRequest { resource, options: None })?)
        }
        Operation::GetSecret => json::secret(&manager.get_secret(pb::GetSecretRequest { name: resource })?),
        Operation::GetSecretVersion => {
            json::version(&manager.get_secret_version(pb::GetSecretVersionRequest { name: resource })?)
        }
        Operation::ListSecrets => {
            let (page_size, page_token, filter) = (size(&take("pageSize"))?, take("pageToken"), take("filter"));
            let request = pb::ListSecretsRequest { parent: resource, page_size, page_token, filter };
            let list = manager.list_secrets(request)?;
            json::list("secrets", list.secrets.iter().map(json::secret), list.next_page_token, list.total_size)
        }
        Operation::ListSecretVersions => {
            let (page_size, page_token, filter) = (size(&take("pageSize"))?, take("pageToken"), take("filter"));
            let request = pb::ListSecretVersionsRequest { parent: resource, page_size, page_token, filter };
            let list = manager.list_secret_versions(request)?;
            json::list("versions", list.versions.iter().map(json::version), list.next_page_token, list.total_size)
        }
        Operation::SetIamPolicy => {
            let (policy, update_mask) = body::<Policy>(request)?.message()?;
            let request = iam_pb::SetIamPolicyRequest { resource, policy: Some(policy), update_mask };
            json::policy(&manager.set_iam_policy(request)?)
        }
        Operation::TestIamPermissions => {
            let permissions = body::<Permissions>(request)?.permissions;
            let request = iam_pb::TestIamPermissionsRequest { resource, permissions };
            json!({"permissions": manager.test_iam_permissions(request)?.permissions})
        }
        Operation::UpdateSecret => {
            let secret = pb::Secret { name: resource, ..body::<Secret>(request)?.message()? };
            let update_mask = Some(FieldMask { paths: json::mask(&take("updateMask")) });
            json::secret(&manager.update_secret(pb::UpdateSecretRequest { secret: Some(secret), update_mask })?)
        }
    })
}

fn size(text: &str) -> Result<i32, Refusal> {
    match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| Refusal::field("page_size", "Invalid value at 'page_size' (TYPE_INT32).")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_operation_has_one_rule() {
        for (method, path, expected, resource) in [
            ("GET", "/v1/projects/p/secrets", Operation::ListSecrets, "projects/p"),
            ("POST", "/v1/projects/p/secrets", Operation::CreateSecret, "projects/p"),
            ("GET", "/v1/projects/p/secrets/s", Operation::GetSecret, "projects/p/secrets/s"),
            ("PATCH", "/v1/projects/p/secrets/s", Operation::UpdateSecret, "projects/p/secrets/s"),
            ("DELETE", "/v1/projects/p/secrets/s", Operation::DeleteSecret, "projects/p/secrets/s"),
            ("GET", "/v1/projects/p/secrets/s/versions", Operation::ListSecretVersions, "projects/p/secrets/s"),
            (
                "GET",
                "/v1/projects/p/secrets/s/versions/1",
                Operation::GetSecretVersion,
                "projects/p/secrets/s/versions/1",
            ),
            ("POST", "/v1/projects/p/secrets/s:addVersion", Operation::AddSecretVersion, "projects/p/secrets/s"),
            (
                "GET",
                "/v1/projects/p/locations/l/secrets/s/versions/latest:access",
                Operation::AccessSecretVersion,
                "projects/p/locations/l/secrets/s/versions/latest",
            ),
            ("POST", "/v1/projects/p/secrets/s:setIamPolicy", Operation::SetIamPolicy, "projects/p/secrets/s"),
        ] {
            assert_eq!(operation(method, path), Some((expected, resource)), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/v1/projects/p/secrets/s/versions/1:access"),
            ("GET", "/v1/projects/p/secrets/s:addVersion"),
            ("PUT", "/v1/projects/p/secrets/s"),
            ("GET", "/v2/projects/p/secrets"),
            ("GET", "/"),
        ] {
            assert_eq!(operation(method, path), None, "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_is_too_strange(method in "[A-Z]{0,6}", path in "\\PC{0,60}") {
            let _ = operation(&method, &path);
            let _ = size(&path);
        }
    }
}

//! Secret Manager over gRPC.

use super::{
    secretmanager::{Operation, SecretManager},
    transport::unary,
};
use crate::{Answer, Request};

const SERVICE: &str = "/google.cloud.secretmanager.v1.SecretManagerService/";

/// The operation of a gRPC path.
pub(crate) fn operation(path: &str) -> Option<Operation> {
    let method = path.strip_prefix(SERVICE)?;
    Operation::ALL.into_iter().find(|operation| operation.name() == method)
}

/// Answers one call.
pub(crate) async fn answer(manager: &SecretManager<'_>, operation: Operation, request: Request) -> Answer {
    match operation {
        Operation::AccessSecretVersion => unary(request, |m| manager.access_secret_version(m)).await,
        Operation::AddSecretVersion => unary(request, |m| manager.add_secret_version(m)).await,
        Operation::CreateSecret => unary(request, |m| manager.create_secret(m)).await,
        Operation::DeleteSecret => unary(request, |m| manager.delete_secret(m)).await,
        Operation::DestroySecretVersion => unary(request, |m| manager.destroy_secret_version(m)).await,
        Operation::DisableSecretVersion => unary(request, |m| manager.disable_secret_version(m)).await,
        Operation::EnableSecretVersion => unary(request, |m| manager.enable_secret_version(m)).await,
        Operation::GetIamPolicy => unary(request, |m| manager.get_iam_policy(m)).await,
        Operation::GetSecret => unary(request, |m| manager.get_secret(m)).await,
        Operation::GetSecretVersion => unary(request, |m| manager.get_secret_version(m)).await,
        Operation::ListSecrets => unary(request, |m| manager.list_secrets(m)).await,
        Operation::ListSecretVersions => unary(request, |m| manager.list_secret_versions(m)).await,
        Operation::SetIamPolicy => unary(request, |m| manager.set_iam_policy(m)).await,
        Operation::TestIamPermissions => unary(request, |m| manager.test_iam_permissions(m)).await,
        Operation::UpdateSecret => unary(request, |m| manager.update_secret(m)).await,
    }
}

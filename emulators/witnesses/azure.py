"""Drives the emulated Azure with Microsoft's own libraries, unmodified: azure-identity, azure-keyvault-secrets,
azure-mgmt-keyvault and msal.

`TRINITY_EMULATORS` names a folder with `ca.crt`, `issuer.json` and `values.json`. The real host names lead to the emulator
on port 443. One line for each claim: `<claim> ok` or `<claim> FAILED <why>`; exit 1 when one failed.
"""

import sys
import time
import uuid

import witness
from witness import ISSUER, VALUES, claim, token

witness.trust("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")

# This file has the name of Microsoft's package and must not be taken for it.
sys.path.pop(0)

import jwt  # noqa: E402
import msal  # noqa: E402
import requests  # noqa: E402
from azure.core.exceptions import (  # noqa: E402
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import ClientAssertionCredential  # noqa: E402
from azure.keyvault.secrets import SecretClient  # noqa: E402
from azure.mgmt.keyvault import KeyVaultManagementClient  # noqa: E402

TENANT = "22222222-2222-4222-8222-222222222222"
SUBSCRIPTION = "33333333-3333-4333-8333-333333333333"
GROUP = "trinity-canaries"
LOCATION = "eastus"
AUTHORITY = f"https://login.microsoftonline.com/{TENANT}"
# The platform's own vault, and those that are beside it whatever the platform declares.
OWN = "https://trinity-dev-azure.vault.azure.net"
VAULT = "https://trinity-canaries.vault.azure.net"
POLICIES = "https://trinity-canary-policies.vault.azure.net"

PLATFORM = ("11111111-1111-4111-8111-111111111111", "external-secrets:external-secrets")
CANARY = ("11111111-1111-4111-8111-000000000001", "default:default")
POWERLESS = ("11111111-1111-4111-8111-000000000002", "default:default")
DISABLED = ("11111111-1111-4111-8111-000000000003", "default:default")
UNBOUND = ("11111111-1111-4111-8111-000000000004", "default:default")
LIFECYCLE = ("11111111-1111-4111-8111-000000000005", "trinity-suites:lifecycle")
UNKNOWN = ("11111111-1111-4111-8111-00000000dead", "default:default")

# Secrets of an earlier run may be in the recycle bin.
RUN = uuid.uuid4().hex[:8]


def credential(identity, **changes):
    client, subject = identity
    return ClientAssertionCredential(TENANT, client, lambda: token(subject, **changes))


def secrets(identity, vault=VAULT, **changes):
    return SecretClient(vault, credential(identity, **changes), retry_total=0)


def expect(condition, seen):
    if not condition:
        raise AssertionError(f"seen: {seen}")


def refused(work, kind, *texts):
    """`work` is refused with an error of `kind` whose text has all of `texts`."""
    try:
        seen = work()
    except kind as error:
        text = str(error)
        for wanted in texts:
            expect(wanted in text, text)
        return error
    raise AssertionError(f"not refused, but {type(seen).__name__}")


def inner_code(error):
    return error.response.json()["error"]["innererror"]["code"]


def not_exchanged(identity, code, **changes):
    refused(lambda: secrets(identity, **changes).get_secret("trinity-canary"), ClientAuthenticationError, code)


# Identity


@claim("azure-a-federated-token-reads-the-platforms-secret")
def a_federated_token_reads_the_platforms_secret():
    expect(secrets(PLATFORM, OWN).get_secret("provider-test-secret").value == VALUES["provider_test"], "another value")


@claim("azure-msal-exchanges-a-federated-token-as-the-older-path-of-eso")
def msal_exchanges_a_federated_token_as_the_older_path_of_eso():
    client, subject = PLATFORM
    app = msal.ConfidentialClientApplication(
        client, authority=AUTHORITY, client_credential={"client_assertion": token(subject)}
    )
    answer = app.acquire_token_for_client(["https://vault.azure.net/.default"])
    expect("access_token" in answer, answer.get("error_description"))
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    expect(claims["aud"] == "https://vault.azure.net" and claims["appid"] == client, claims)
    # The older library asks at once with a token, for version 7.0 and with a slash at the end.
    response = requests.get(
        f"{OWN}/secrets/provider-test-secret/?api-version=7.0",
        headers={"Authorization": f"Bearer {answer['access_token']}"},
        timeout=30,
    )
    expect(response.json().get("value") == VALUES["provider_test"], response.status_code)


@claim("azure-access-tokens-verify-with-the-published-keys")
def access_tokens_verify_with_the_published_keys():
    raw = credential(CANARY).get_token("https://vault.azure.net/.default").token
    document = requests.get(f"{AUTHORITY}/v2.0/.well-known/openid-configuration", timeout=30).json()
    keys = jwt.PyJWKSet.from_dict(requests.get(document["jwks_uri"], timeout=30).json())
    key = keys[jwt.get_unverified_header(raw)["kid"]].key
    claims = jwt.decode(raw, key, algorithms=["RS256"], audience="https://vault.azure.net")
    expect(claims["iss"] == f"https://sts.windows.net/{TENANT}/", claims)


@claim("azure-without-a-token-the-vault-challenges")
def without_a_token_the_vault_challenges():
    response = requests.get(f"{VAULT}/secrets/trinity-canary?api-version=7.6", timeout=30)
    expect(response.status_code == 401, response.status_code)
    challenge = response.headers["WWW-Authenticate"]
    expect(f'authorization="{AUTHORITY}"' in challenge and 'resource="https://vault.azure.net"' in challenge, challenge)


@claim("azure-a-forged-signature-is-refused")
def a_forged_signature_is_refused():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    not_exchanged(CANARY, "AADSTS50013", key=stranger)


@claim("azure-another-audience-is-refused")
def another_audience_is_refused():
    not_exchanged(CANARY, "AADSTS700212", aud=["sts.amazonaws.com"])


@claim("azure-another-issuer-is-refused")
def another_issuer_is_refused():
    not_exchanged(CANARY, "AADSTS700211", iss="https://example.com/")


@claim("azure-an-issuer-without-its-slash-is-refused")
def an_issuer_without_its_slash_is_refused():
    not_exchanged(CANARY, "AADSTS700211", iss=ISSUER["url"].rstrip("/"))


@claim("azure-another-namespace-is-refused")
def another_namespace_is_refused():
    not_exchanged((CANARY[0], "kube-system:default"), "AADSTS700213")


@claim("azure-another-service-account-is-refused")
def another_service_account_is_refused():
    not_exchanged((CANARY[0], "default:another"), "AADSTS700213")


@claim("azure-a-subject-in-another-case-is-refused")
def a_subject_in_another_case_is_refused():
    not_exchanged((CANARY[0], "default:Default"), "AADSTS7002138")


@claim("azure-an-expired-token-is-refused")
def an_expired_token_is_refused():
    now = int(time.time())
    not_exchanged(CANARY, "AADSTS700024", iat=now - 7200, nbf=now - 7200, exp=now - 3600)


@claim("azure-a-token-that-is-not-valid-yet-is-refused")
def a_token_that_is_not_valid_yet_is_refused():
    now = int(time.time())
    not_exchanged(CANARY, "AADSTS700024", nbf=now + 3600, exp=now + 7200)


@claim("azure-an-identity-without-federated-credentials-is-refused")
def an_identity_without_federated_credentials_is_refused():
    not_exchanged(UNBOUND, "AADSTS70025")


@claim("azure-an-unknown-client-is-refused")
def an_unknown_client_is_refused():
    not_exchanged(UNKNOWN, "AADSTS700016")


@claim("azure-a-disabled-identity-is-refused")
def a_disabled_identity_is_refused():
    not_exchanged(DISABLED, "AADSTS7000112")


@claim("azure-another-tenant-is-refused")
def another_tenant_is_refused():
    other = "99999999-9999-4999-8999-999999999999"
    wrong = ClientAssertionCredential(other, CANARY[0], lambda: token(CANARY[1]))
    refused(lambda: wrong.get_token("https://vault.azure.net/.default"), (ClientAuthenticationError, ValueError))
    response = requests.post(f"https://login.microsoftonline.com/{other}/oauth2/v2.0/token", data={}, timeout=30)
    expect(response.json()["error_codes"] == [90002], response.json()["error_description"])


@claim("azure-a-token-for-management-opens-no-vault")
def a_token_for_management_opens_no_vault():
    raw = credential(CANARY).get_token("https://management.azure.com/.default").token
    response = requests.get(
        f"{VAULT}/secrets/trinity-canary?api-version=7.6", headers={"Authorization": f"Bearer {raw}"}, timeout=30
    )
    expect(response.status_code == 401 and "AKV10022" in response.text, response.status_code)


# Authorisation


@claim("azure-an-identity-without-role-is-forbidden")
def an_identity_without_role_is_forbidden():
    error = refused(lambda: secrets(POWERLESS).get_secret("trinity-canary"), HttpResponseError, "Forbidden")
    expect(error.status_code == 403 and inner_code(error) == "ForbiddenByRbac", error)


@claim("azure-a-role-on-another-secret-is-forbidden")
def a_role_on_another_secret_is_forbidden():
    error = refused(lambda: secrets(CANARY).get_secret("forbidden"), HttpResponseError, "getSecret/action", CANARY[0])
    expect(error.status_code == 403 and inner_code(error) == "ForbiddenByRbac", error)


@claim("azure-a-role-on-one-secret-lists-none")
def a_role_on_one_secret_lists_none():
    refused(lambda: list(secrets(CANARY).list_properties_of_secrets()), HttpResponseError, "readMetadata/action")


@claim("azure-an-access-policy-permits")
def an_access_policy_permits():
    expect(secrets(CANARY, POLICIES).get_secret("trinity-canary").value == VALUES["canary"], "another value")


@claim("azure-an-access-policy-without-set-forbids-writing")
def an_access_policy_without_set_forbids_writing():
    error = refused(lambda: secrets(CANARY, POLICIES).set_secret("x", "1"), HttpResponseError, "secrets set permission")
    expect(error.status_code == 403 and inner_code(error) == "AccessDenied", error)


@claim("azure-an-identity-without-access-policy-is-denied")
def an_identity_without_access_policy_is_denied():
    error = refused(lambda: secrets(POWERLESS, POLICIES).get_secret("trinity-canary"), HttpResponseError)
    expect(error.status_code == 403 and inner_code(error) == "AccessDenied", error)


@claim("azure-an-absent-secret-is-not-found")
def an_absent_secret_is_not_found():
    error = refused(lambda: secrets(CANARY).get_secret("trinity-absent"), ResourceNotFoundError)
    expect(error.error.code == "SecretNotFound", error)


# Secrets


@claim("azure-every-value-is-a-version")
def every_value_is_a_version():
    client, name = secrets(LIFECYCLE), f"versions-{RUN}"
    first = client.set_secret(name, "1", content_type="text/plain", tags={"a": "b"})
    second = client.set_secret(name, "2")
    expect(client.get_secret(name).value == "2", "the current version is not the last")
    old = client.get_secret(name, first.properties.version)
    expect((old.value, old.properties.content_type, old.properties.tags) == ("1", "text/plain", {"a": "b"}), old)
    versions = {version.version for version in client.list_properties_of_secret_versions(name)}
    expect(versions == {first.properties.version, second.properties.version}, versions)
    refused(lambda: client.get_secret(name, "0" * 32), ResourceNotFoundError, "SecretNotFound")


@claim("azure-a-disabled-secret-is-forbidden")
def a_disabled_secret_is_forbidden():
    client, name = secrets(LIFECYCLE), f"disabled-{RUN}"
    made = client.set_secret(name, "1")
    client.update_secret_properties(name, made.properties.version, enabled=False)
    error = refused(lambda: client.get_secret(name), HttpResponseError, "not allowed on a disabled secret")
    expect(error.status_code == 403 and inner_code(error) == "SecretDisabled", error)
    client.update_secret_properties(name, made.properties.version, enabled=True)
    expect(client.get_secret(name).value == "1", "another value")


@claim("azure-dates-of-a-secret-only-inform")
def dates_of_a_secret_only_inform():
    from datetime import datetime, timedelta, timezone

    client, now = secrets(LIFECYCLE), datetime.now(timezone.utc)
    client.set_secret(f"past-{RUN}", "1", expires_on=now - timedelta(days=1))
    client.set_secret(f"future-{RUN}", "1", not_before=now + timedelta(days=1))
    expect(client.get_secret(f"past-{RUN}").properties.expires_on < now, "no date")
    expect(client.get_secret(f"future-{RUN}").properties.not_before > now, "no date")


@claim("azure-secrets-are-listed-in-pages")
def secrets_are_listed_in_pages():
    client = secrets(LIFECYCLE, POLICIES)
    names = {f"page-{RUN}-{index:02}" for index in range(30)}
    for name in names:
        client.set_secret(name, "1")
    pages = [[secret.name for secret in page] for page in client.list_properties_of_secrets(max_page_size=7).by_page()]
    expect(all(len(page) <= 7 for page in pages), [len(page) for page in pages])
    seen = [name for page in pages for name in page]
    expect(len(seen) == len(set(seen)) and names <= set(seen), seen)


@claim("azure-a-deleted-secret-reserves-its-name")
def a_deleted_secret_reserves_its_name():
    client, name = secrets(LIFECYCLE), f"reserved-{RUN}"
    client.set_secret(name, "1")
    deleted = client.begin_delete_secret(name).result()
    days = (deleted.scheduled_purge_date - deleted.deleted_date).days
    expect(days == 7 and deleted.recovery_id.endswith(f"/deletedsecrets/{name}"), deleted)
    refused(lambda: client.get_secret(name), ResourceNotFoundError, "SecretNotFound")
    error = refused(lambda: client.set_secret(name, "2"), ResourceExistsError, "deleted but recoverable state")
    expect(inner_code(error) == "ObjectIsDeletedButRecoverable", error)
    expect(name in {secret.name for secret in client.list_deleted_secrets()}, "not listed")
    expect(client.get_deleted_secret(name).name == name, "not shown")


@claim("azure-a-deleted-secret-is-recovered-with-all-versions")
def a_deleted_secret_is_recovered_with_all_versions():
    client, name = secrets(LIFECYCLE), f"recovered-{RUN}"
    client.set_secret(name, "1")
    client.set_secret(name, "2")
    client.begin_delete_secret(name).wait()
    client.begin_recover_deleted_secret(name).wait()
    expect(client.get_secret(name).value == "2", "another value")
    expect(len(list(client.list_properties_of_secret_versions(name))) == 2, "versions are missing")
    refused(lambda: client.get_deleted_secret(name), ResourceNotFoundError, "Deleted Secret not found")


@claim("azure-a-purged-secret-is-gone-for-good")
def a_purged_secret_is_gone_for_good():
    client, name = secrets(LIFECYCLE), f"purged-{RUN}"
    client.set_secret(name, "1")
    client.begin_delete_secret(name).wait()
    client.purge_deleted_secret(name)
    refused(lambda: client.get_deleted_secret(name), ResourceNotFoundError)
    client.set_secret(name, "2")
    expect(len(list(client.list_properties_of_secret_versions(name))) == 1, "old versions are back")


@claim("azure-purge-protection-refuses-to-purge-a-secret")
def purge_protection_refuses_to_purge_a_secret():
    client, name = secrets(LIFECYCLE, POLICIES), f"protected-{RUN}"
    client.set_secret(name, "1")
    client.begin_delete_secret(name).wait()
    error = refused(lambda: client.purge_deleted_secret(name), HttpResponseError, "purge protection is enabled")
    expect(error.status_code == 403, error)


@claim("azure-a-backup-is-restored")
def a_backup_is_restored():
    client, name = secrets(LIFECYCLE), f"backup-{RUN}"
    client.set_secret(name, "1")
    client.set_secret(name, "2")
    blob = client.backup_secret(name)
    refused(lambda: client.restore_secret_backup(blob), ResourceExistsError)
    client.begin_delete_secret(name).wait()
    client.purge_deleted_secret(name)
    client.restore_secret_backup(blob)
    expect(client.get_secret(name).value == "2", "another value")


@claim("azure-an-impossible-name-is-a-bad-parameter")
def an_impossible_name_is_a_bad_parameter():
    refused(lambda: secrets(LIFECYCLE).set_secret("under_score", "1"), HttpResponseError, "BadParameter")


# Vaults


def management(identity=LIFECYCLE):
    return KeyVaultManagementClient(credential(identity), SUBSCRIPTION, polling_interval=1, retry_total=0)


def new_vault(client, name, **properties):
    parameters = {
        "location": LOCATION,
        "properties": {
            "tenantId": TENANT,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            "softDeleteRetentionInDays": 7,
            **properties,
        },
    }
    return client.vaults.begin_create_or_update(GROUP, name, parameters).result()


@claim("azure-a-deleted-vault-reserves-its-name-and-is-recovered")
def a_deleted_vault_reserves_its_name_and_is_recovered():
    # Its host must lead to the emulator, so its name is known before.
    client, name = management(), "trinity-witness"
    made = new_vault(client, name)
    expect(made.properties.vault_uri == f"https://{name}.vault.azure.net/", made.properties.vault_uri)
    secrets(LIFECYCLE, made.properties.vault_uri).set_secret("a", "1")
    expect(name in {vault.name for vault in client.vaults.list_by_resource_group(GROUP)}, "not listed")
    client.vaults.delete(GROUP, name)
    refused(lambda: client.vaults.get(GROUP, name), ResourceNotFoundError, "ResourceNotFound")
    buried = client.vaults.get_deleted(name, LOCATION)
    days = (buried.properties.scheduled_purge_date - buried.properties.deletion_date).days
    expect(buried.name == name and days == 7, buried)
    expect(name in {vault.name for vault in client.vaults.list_deleted()}, "not among the deleted")
    refused(lambda: new_vault(client, name), ResourceExistsError, "ConflictError")
    available = client.vaults.check_name_availability({"name": name, "type": "Microsoft.KeyVault/vaults"})
    expect(not available.name_available and available.reason == "AlreadyExists", available)
    new_vault(client, name, createMode="recover")
    expect(secrets(LIFECYCLE, made.properties.vault_uri).get_secret("a").value == "1", "another value")


@claim("azure-a-purged-vault-frees-its-name")
def a_purged_vault_frees_its_name():
    client, name = management(), f"purge-{RUN}"
    new_vault(client, name)
    client.vaults.delete(GROUP, name)
    client.vaults.begin_purge_deleted(name, LOCATION).result()
    refused(lambda: client.vaults.get_deleted(name, LOCATION), ResourceNotFoundError)
    new_vault(client, name)


@claim("azure-purge-protection-refuses-to-purge-a-vault")
def purge_protection_refuses_to_purge_a_vault():
    client, name = management(), f"keep-{RUN}"
    new_vault(client, name, enablePurgeProtection=True)
    refused(lambda: new_vault(client, name, enablePurgeProtection=False), HttpResponseError, "irreversible action")
    client.vaults.delete(GROUP, name)
    purge = lambda: client.vaults.begin_purge_deleted(name, LOCATION).result()  # noqa: E731
    error = refused(purge, HttpResponseError, "DeletedVaultPurge")
    expect(error.status_code == 405, error)


@claim("azure-who-has-no-role-manages-no-vault")
def who_has_no_role_manages_no_vault():
    error = refused(lambda: new_vault(management(CANARY), f"none-{RUN}"), HttpResponseError, "AuthorizationFailed")
    expect(error.status_code == 403, error)


if __name__ == "__main__":
    sys.exit(witness.tell())

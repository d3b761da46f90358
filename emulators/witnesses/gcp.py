"""What Google's own libraries, unmodified, witness of the emulated Google Cloud: google-auth and
google-cloud-secret-manager, over gRPC and over REST. Only the exchange of a cluster's token is a bare HTTP call, because
no library has it; External Secrets Operator makes it the same way."""

import datetime
import os
import sys
import time

import witness as witnessing
from witness import FOLDER, ISSUER, VALUES, claim

witnessing.trust("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
# Whoever runs this has an identity of its own, which must not be found.
os.environ["CLOUDSDK_CONFIG"] = str(FOLDER / "no-gcloud")
os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
os.environ.pop("GOOGLE_CLOUD_PROJECT", None)

import google.auth
import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth import impersonated_credentials
from google.auth.compute_engine import Credentials as MetadataCredentials
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.cloud import secretmanager_v1 as secretmanager
from google.iam.v1 import policy_pb2
from google.oauth2.credentials import Credentials
from google.protobuf import duration_pb2

# https://container.googleapis.com/v1/projects/<project>/locations/<location>/clusters/<cluster>
PROJECT, LOCATION = ISSUER["url"].split("/")[5:8:2]
POOL = f"{PROJECT}.svc.id.goog"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TRANSPORTS = ("grpc", "rest")


def crc32c(data):
    """The checksum of RFC 3720, bit by bit: none of the libraries needs it."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ 0x82F63B78 * (rest & 1)
    return rest ^ 0xFFFFFFFF


def token(subject="default:default", **changes):
    return witnessing.token(subject, **changes)


def exchange(subject_token, audience=f"identitynamespace:{POOL}:{ISSUER['url']}"):
    return requests.post(
        "https://securetoken.googleapis.com/v1/identitybindingtoken",
        json={
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": subject_token,
            "audience": audience,
            "scope": SCOPE,
        },
        timeout=10,
    )


def federated(subject="default:default"):
    return Credentials(token=exchange(token(subject)).json()["access_token"])


def impersonated(account, subject="default:default", lifetime=600):
    credentials = impersonated_credentials.Credentials(
        source_credentials=federated(subject),
        target_principal=f"{account}@{PROJECT}.iam.gserviceaccount.com",
        target_scopes=[SCOPE],
        lifetime=lifetime,
    )
    credentials.refresh(Request())
    return credentials


def client(credentials, transport="grpc", endpoint=None):
    return secretmanager.SecretManagerServiceClient(
        credentials=credentials, transport=transport, client_options=ClientOptions(api_endpoint=endpoint)
    )


def canary(transport="grpc"):
    return client(impersonated("trinity-canary"), transport)


def witness(transport="grpc", endpoint=None):
    return client(impersonated("trinity-witness", "default:witness"), transport, endpoint)


def refused(kind, call, *texts):
    """The error of a call that must be refused: over REST the library knows the HTTP status and the text only."""
    try:
        answer = call()
    except kind as error:
        for text in texts:
            assert text in str(error), f"no {text!r} in {error}"
        return error
    raise AssertionError(f"not refused: {answer}")


def latest(secret):
    return f"projects/{PROJECT}/secrets/{secret}/versions/latest"


class Secret:
    """A secret that is there for one claim."""

    def __init__(self, api, name, *values, **fields):
        self.api, self.path = api, f"projects/{PROJECT}/secrets/{name}"
        self.made = api.create_secret(
            parent=f"projects/{PROJECT}", secret_id=name, secret={"replication": {"automatic": {}}, **fields}
        )
        for value in values:
            self.add(value)

    def add(self, value):
        return self.api.add_secret_version(parent=self.path, payload={"data": value})

    def read(self, version="latest"):
        return self.api.access_secret_version(name=f"{self.path}/versions/{version}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.api.delete_secret(name=self.path)
        except exceptions.NotFound:
            pass


def each(name, test):
    """Does `test` with a client of each transport and a name of its own."""
    for transport in TRANSPORTS:
        test(witness(transport), f"witness-{name}-{transport}")


@claim("gcp-exchange-gives-a-federated-token")
def _():
    response = exchange(token())
    answer = response.json()
    assert response.status_code == 200 and answer["token_type"] == "Bearer" and answer["expires_in"] == 3600, answer
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"


@claim("gcp-exchange-refuses-tokens-that-prove-nothing")
def _():
    now = int(time.time())
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wrong = {
        "forged": token(key=stranger),
        "another key id": token(kid="another"),
        "another issuer": token(iss="https://example.com"),
        "another world": token(key=stranger, iss="https://example.com"),
        "another audience": token(aud=["https://kubernetes.default.svc"]),
        "expired": token(exp=now - 1),
        "not yet valid": token(nbf=now + 600),
        "unsigned": jwt.encode({"iss": ISSUER["url"], "sub": "x", "aud": [POOL], "exp": now + 900}, None, "none"),
        "no token": "x",
    }
    for what, bad in wrong.items():
        response = exchange(bad)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_grant"), what


@claim("gcp-exchange-knows-its-own-cluster-only")
def _():
    for audience in (f"identitynamespace:{POOL}:{ISSUER['url']}x", f"identitynamespace:another:{ISSUER['url']}"):
        response = exchange(token(), audience)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_target"), audience


@claim("gcp-federation-without-a-provider-is-refused")
def _():
    audience = f"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/{POOL}/providers/x"
    body = {
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "subjectToken": token(),
        "audience": audience,
        "scope": SCOPE,
    }
    response = requests.post("https://sts.googleapis.com/v1/token", json=body, timeout=10)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_target")


@claim("gcp-impersonation-needs-a-binding-of-the-caller")
def _():
    assert impersonated("trinity-canary").token.startswith("ya29.")
    for account, subject in (
        ("trinity-canary", "kube-system:default"),
        ("trinity-canary", "default:another"),
        ("external-secrets", "default:default"),
        ("trinity-unbound", "default:default"),
    ):
        error = refused(RefreshError, lambda: impersonated(account, subject), "iam.serviceAccounts.getAccessToken")
        assert "IAM_PERMISSION_DENIED" in str(error)


@claim("gcp-impersonation-of-a-disabled-account-is-refused")
def _():
    refused(RefreshError, lambda: impersonated("trinity-disabled"), "403")


@claim("gcp-impersonation-of-an-absent-account-is-refused")
def _():
    refused(RefreshError, lambda: impersonated("trinity-absent"), "404")


@claim("gcp-access-tokens-last-as-long-as-asked-and-an-hour-at-most")
def _():
    credentials = impersonated("trinity-canary", lifetime=300)
    # The library's times are UTC without saying so.
    left = credentials.expiry.replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()
    assert 290 < left <= 301, left
    refused(RefreshError, lambda: impersonated("trinity-canary", lifetime=3601), "400")


@claim("gcp-values-come-with-number-and-checksum")
def _():
    for transport in TRANSPORTS:
        answer = canary(transport).access_secret_version(name=latest("trinity-canary"))
        assert answer.payload.data.decode() == VALUES["canary"]
        assert answer.payload.data_crc32c == crc32c(answer.payload.data)
        prefix, number = answer.name.split("/")[:2]
        assert prefix == "projects" and number.isdigit() and answer.name.endswith("/versions/1"), answer.name
        by_number = answer.name.rsplit("/", 1)[0] + "/latest"
        assert canary(transport).access_secret_version(name=by_number).name == answer.name


@claim("gcp-the-platform-reads-its-secret")
def _():
    api = client(impersonated("external-secrets", "external-secrets:external-secrets"))
    assert api.access_secret_version(name=latest("provider-test-secret")).payload.data.decode() == VALUES["provider_test"]
    refused(exceptions.PermissionDenied, lambda: api.access_secret_version(name=latest("trinity-canary")))
    absent = latest("trinity-dev-gcp-grafana-cloud-remote-write-absent")
    refused(exceptions.NotFound, lambda: api.access_secret_version(name=absent), "not found or has no versions")


@claim("gcp-a-permission-opens-its-secret-only")
def _():
    for transport in TRANSPORTS:
        message = f"Permission 'secretmanager.versions.access' denied for resource '{latest('forbidden')}' (or it may not exist)."
        error = refused(
            exceptions.Forbidden, lambda: canary(transport).access_secret_version(name=latest("forbidden")), message
        )
        assert (error.reason, error.domain) == ("IAM_PERMISSION_DENIED", "iam.googleapis.com")
        assert error.metadata["permission"] == "secretmanager.versions.access"
        refused(exceptions.Forbidden, lambda: canary(transport).get_secret(name=f"projects/{PROJECT}/secrets/trinity-canary"))
        refused(exceptions.NotFound, lambda: canary(transport).access_secret_version(name=latest("trinity-canary-absent")))
        another = "projects/another-project/secrets/trinity-canary/versions/latest"
        refused(exceptions.Forbidden, lambda: canary(transport).access_secret_version(name=another))


@claim("gcp-trust-alone-opens-nothing")
def _():
    api = client(impersonated("trinity-powerless"))
    refused(exceptions.PermissionDenied, lambda: api.access_secret_version(name=latest("trinity-canary")))
    refused(exceptions.PermissionDenied, lambda: list(api.list_secrets(parent=f"projects/{PROJECT}")))


@claim("gcp-callers-without-a-token-are-unauthenticated")
def _():
    api = client(Credentials(token="ya29.made-up"))
    error = refused(
        exceptions.Unauthenticated,
        lambda: api.access_secret_version(name=latest("trinity-canary")),
        "Request had invalid authentication credentials.",
    )
    assert error.domain == "googleapis.com" and error.metadata["service"] == "secretmanager.googleapis.com"
    # Over REST the library would ask for a new token instead of telling the refusal.
    for headers, reason in (
        ({}, "CREDENTIALS_MISSING"),
        ({"Authorization": "Bearer ya29.made-up"}, "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    ):
        url = f"https://secretmanager.googleapis.com/v1/{latest('trinity-canary')}:access"
        response = requests.get(url, headers=headers, timeout=10)
        assert response.status_code == 401 and "Bearer" in response.headers["WWW-Authenticate"]
        assert response.json()["error"]["details"][0]["reason"] == reason


@claim("gcp-secrets-are-created-and-read-and-changed")
def _():
    def test(api, name):
        labels = {"env": "test"}
        with Secret(api, name, labels=labels, annotations={"a.b": "C d"}) as secret:
            assert secret.made.name.endswith(f"/secrets/{name}") and secret.made.name.split("/")[1].isdigit()
            read = api.get_secret(name=secret.path)
            assert read == secret.made and dict(read.labels) == labels and read.create_time
            change = {"name": secret.path, "labels": {"env": "changed"}, "annotations": {}}
            changed = api.update_secret(secret=change, update_mask={"paths": ["labels"]})
            assert dict(changed.labels) == {"env": "changed"} and dict(changed.annotations) == {"a.b": "C d"}
            refused(exceptions.BadRequest, lambda: api.update_secret(secret=change, update_mask={"paths": ["replication"]}))
            replicas = {"user_managed": {"replicas": [{"location": LOCATION}]}}
            with Secret(api, f"{name}-managed", b"x", replication=replicas) as managed:
                status = api.get_secret_version(name=f"{managed.path}/versions/1").replication_status
                assert status.user_managed.replicas[0].location == LOCATION

    each("created", test)


@claim("gcp-a-name-is-unique-and-free-at-once-after-deletion")
def _():
    def test(api, name):
        with Secret(api, name, b"one") as secret:
            refused(exceptions.Conflict, lambda: Secret(api, name), "already exists.")
            api.delete_secret(name=secret.path)
            refused(exceptions.NotFound, lambda: api.get_secret(name=secret.path), f"/secrets/{name}] not found.")
            refused(exceptions.NotFound, lambda: api.delete_secret(name=secret.path))
            with Secret(api, name):
                refused(exceptions.NotFound, secret.read, "not found or has no versions.")

    each("deleted", test)


@claim("gcp-versions-are-numbered-and-latest-is-the-newest")
def _():
    def test(api, name):
        with Secret(api, name, b"one", b"two") as secret:
            assert secret.read().payload.data == b"two" and secret.read("1").payload.data == b"one"
            assert secret.read().name.endswith("/versions/2")
            refused(exceptions.NotFound, lambda: secret.read("3"), "/versions/3] not found.")
            version = api.get_secret_version(name=f"{secret.path}/versions/latest")
            assert version.name.endswith("/versions/2") and version.state == secretmanager.SecretVersion.State.ENABLED

    each("numbered", test)


@claim("gcp-a-disabled-version-is-refused-until-it-is-enabled")
def _():
    def test(api, name):
        with Secret(api, name, b"one", b"two") as secret:
            version = f"{secret.path}/versions/2"
            assert api.disable_secret_version(name=version).state == secretmanager.SecretVersion.State.DISABLED
            refused(exceptions.BadRequest, secret.read, "/versions/2] is in DISABLED state.")
            assert secret.read("1").payload.data == b"one"
            assert api.enable_secret_version(name=version).state == secretmanager.SecretVersion.State.ENABLED
            assert secret.read().payload.data == b"two"

    each("disabled", test)


@claim("gcp-a-destroyed-version-is-gone-and-keeps-its-number")
def _():
    def test(api, name):
        with Secret(api, name, b"one") as secret:
            version = f"{secret.path}/versions/1"
            gone = api.destroy_secret_version(name=version)
            assert gone.state == secretmanager.SecretVersion.State.DESTROYED and gone.destroy_time
            refused(exceptions.BadRequest, secret.read, "/versions/1] is in DESTROYED state.")
            for change in (api.enable_secret_version, api.disable_secret_version, api.destroy_secret_version):
                refused(exceptions.BadRequest, lambda: change(name=version), "is in DESTROYED state.")
            assert secret.add(b"two").name.endswith("/versions/2")

    each("destroyed", test)


@claim("gcp-an-old-etag-changes-nothing")
def _():
    def test(api, name):
        with Secret(api, name, b"one") as secret:
            old = secret.made.etag
            change = {"name": secret.path, "labels": {"a": "b"}, "etag": old}
            new = api.update_secret(secret=change, update_mask={"paths": ["labels"]}).etag
            assert old != new
            refused(exceptions.BadRequest, lambda: api.update_secret(secret=change, update_mask={"paths": ["labels"]}))
            refused(exceptions.BadRequest, lambda: api.delete_secret(request={"name": secret.path, "etag": old}))
            version = f"{secret.path}/versions/1"
            first = api.get_secret_version(name=version).etag
            api.enable_secret_version(request={"name": version, "etag": first})
            refused(exceptions.BadRequest, lambda: api.disable_secret_version(request={"name": version, "etag": first}))
            api.delete_secret(request={"name": secret.path, "etag": new})

    each("etag", test)


@claim("gcp-aliases-name-versions")
def _():
    def test(api, name):
        with Secret(api, name, b"one", b"two") as secret:
            mask = {"paths": ["version_aliases"]}
            api.update_secret(secret={"name": secret.path, "version_aliases": {"stable": 1}}, update_mask=mask)
            assert secret.read("stable").payload.data == b"one"
            wrong = {"name": secret.path, "version_aliases": {"stable": 3}}
            refused(exceptions.BadRequest, lambda: api.update_secret(secret=wrong, update_mask=mask))

    each("alias", test)


@claim("gcp-checksums-are-verified")
def _():
    def test(api, name):
        with Secret(api, name) as secret:
            sum = crc32c(b"one")
            right = {"data": b"one", "data_crc32c": sum}
            assert api.add_secret_version(parent=secret.path, payload=right).client_specified_payload_checksum
            wrong = {"data": b"one", "data_crc32c": sum + 1}
            refused(exceptions.BadRequest, lambda: api.add_secret_version(parent=secret.path, payload=wrong))

    each("checksum", test)


@claim("gcp-values-have-a-largest-size")
def _():
    def test(api, name):
        with Secret(api, name) as secret:
            secret.add(b"x" * 65536)
            refused(exceptions.BadRequest, lambda: secret.add(b"x" * 65537))
            refused(exceptions.BadRequest, lambda: secret.add(b""))

    each("large", test)


@claim("gcp-lists-come-in-pages-newest-first")
def _():
    def test(api, name):
        names = [f"{name}-{n}" for n in range(3)]
        with Secret(api, names[0]) as first, Secret(api, names[1]), Secret(api, names[2]):
            parent = f"projects/{PROJECT}"
            pages = list(api.list_secrets(request={"parent": parent, "page_size": 2}).pages)
            assert all(len(page.secrets) <= 2 for page in pages)
            listed = [secret.name.rsplit("/", 1)[1] for page in pages for secret in page.secrets]
            assert listed[:3] == names[::-1] and pages[0].total_size == len(listed), listed
            for value in (b"1", b"2", b"3"):
                first.add(value)
            versions = [v.name[-1] for v in api.list_secret_versions(request={"parent": first.path, "page_size": 1})]
            assert versions == ["3", "2", "1"]
            wrong = {"parent": parent, "page_token": "x"}
            refused(exceptions.BadRequest, lambda: list(api.list_secrets(request=wrong)))

    each("paged", test)


@claim("gcp-lists-are-filtered")
def _():
    def test(api, name):
        with Secret(api, f"{name}-a", b"1", b"2", labels={"who": name}) as secret, Secret(api, f"{name}-b"):
            def listed(filter):
                found = api.list_secrets(request={"parent": f"projects/{PROJECT}", "filter": filter})
                return [s.name.rsplit("/", 1)[1] for s in found]

            assert listed(f"name:{name}") == [f"{name}-b", f"{name}-a"]
            assert listed(f"labels.who={name}") == [f"{name}-a"]
            assert listed(f"labels.who={name} name:{name}-b") == []
            api.disable_secret_version(name=f"{secret.path}/versions/2")
            enabled = api.list_secret_versions(request={"parent": secret.path, "filter": "state:ENABLED"})
            assert [v.name[-1] for v in enabled] == ["1"]

    each("filtered", test)


@claim("gcp-a-secret-expires")
def _():
    def test(api, name):
        with Secret(api, name, b"one", ttl=duration_pb2.Duration(seconds=2)) as secret:
            assert secret.made.expire_time and secret.read().payload.data == b"one"
            for _ in range(100):
                time.sleep(0.1)
                try:
                    api.get_secret(name=secret.path)
                except exceptions.NotFound:
                    return
            raise AssertionError("still there")

    each("expiring", test)


@claim("gcp-policies-grant-and-revoke")
def _():
    api = witness()
    with Secret(api, "witness-policy", b"one") as secret:
        reader = client(federated())
        refused(exceptions.PermissionDenied, lambda: reader.access_secret_version(name=latest("witness-policy")))
        policy = api.get_iam_policy(request={"resource": secret.path})
        binding = policy.bindings.add(role="roles/secretmanager.secretAccessor")
        # A Kubernetes service account is a member by itself.
        binding.members.append(f"serviceAccount:{POOL}[default/default]")
        changed = api.set_iam_policy(request={"resource": secret.path, "policy": policy})
        assert changed.bindings[0] == binding and changed.etag != policy.etag
        assert reader.access_secret_version(name=latest("witness-policy")).payload.data == b"one"
        refused(exceptions.Aborted, lambda: api.set_iam_policy(request={"resource": secret.path, "policy": policy}))
        permissions = ["secretmanager.versions.access", "secretmanager.versions.add"]
        tested = reader.test_iam_permissions(request={"resource": secret.path, "permissions": permissions})
        assert list(tested.permissions) == permissions[:1]
        api.set_iam_policy(request={"resource": secret.path, "policy": policy_pb2.Policy(etag=changed.etag)})
        refused(exceptions.PermissionDenied, lambda: reader.access_secret_version(name=latest("witness-policy")))
        rest = witness("rest").get_iam_policy(request={"resource": secret.path})
        assert len(rest.bindings) == 0 and rest.etag


@claim("gcp-a-regional-secret-is-in-its-region-only")
def _():
    for transport in TRANSPORTS:
        regional = witness(transport, f"secretmanager.{LOCATION}.rep.googleapis.com")
        parent, name = f"projects/{PROJECT}/locations/{LOCATION}", f"witness-regional-{transport}"
        secret = regional.create_secret(parent=parent, secret_id=name, secret={})
        assert f"/locations/{LOCATION}/secrets/{name}" in secret.name
        path = f"{parent}/secrets/{name}"
        regional.add_secret_version(parent=path, payload={"data": b"here"})
        assert regional.access_secret_version(name=f"{path}/versions/latest").payload.data == b"here"
        refused(exceptions.NotFound, lambda: witness(transport).get_secret(name=f"projects/{PROJECT}/secrets/{name}"))
        refused(exceptions.BadRequest, lambda: witness(transport).get_secret(name=path))
        regional.delete_secret(name=path)


@claim("gcp-what-cannot-be-right-is-an-invalid-argument")
def _():
    def test(api, name):
        parent = f"projects/{PROJECT}"
        automatic = {"replication": {"automatic": {}}}
        for secret_id, secret in (
            ("a b", automatic),
            (name, {}),
            (name, {**automatic, "labels": {"Upper": "x"}}),
            (name, {**automatic, "annotations": {"a": "x" * 16384}}),
        ):
            refused(exceptions.BadRequest, lambda: api.create_secret(parent=parent, secret_id=secret_id, secret=secret))

    each("invalid", test)


@claim("gcp-metadata-tells-where-a-pod-runs")
def _():
    credentials, project = google.auth.default(scopes=[SCOPE])
    assert isinstance(credentials, MetadataCredentials) and project == PROJECT, (credentials, project)

    def get(path, **headers):
        return requests.get(f"http://169.254.169.254/computeMetadata/v1/{path}", headers=headers, timeout=5)

    google_flavor = {"Metadata-Flavor": "Google"}
    for path, expected in (
        ("project/project-id", PROJECT),
        ("instance/attributes/cluster-location", LOCATION),
        ("instance/attributes/cluster-name", ISSUER["url"].rsplit("/", 1)[1]),
    ):
        answer = get(path, **google_flavor)
        assert answer.text == expected and answer.headers["Metadata-Flavor"] == "Google", path
        assert get(path).status_code == 403
    assert get("instance/absent", **google_flavor).status_code == 404


@claim("gcp-metadata-gives-no-token-to-a-pod-it-cannot-know")
def _():
    credentials, _ = google.auth.default(scopes=[SCOPE])
    refused(Exception, lambda: credentials.refresh(Request()), "404")


if __name__ == "__main__":
    sys.exit(witnessing.tell())

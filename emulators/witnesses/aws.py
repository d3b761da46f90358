"""Drives the AWS emulator with boto3 and botocore, unmodified: real host names, real signatures, the provider chain of
the SDK. `TRINITY_EMULATORS` names the folder that `trinity-e2e emulators --cloud aws` writes.

Prints `<claim> ok` or `<claim> FAILED <why>`, and ends with 1 when one failed.
"""

import http.client
import json
import os
import socket
import sys
import tempfile
import time
import uuid

import witness
from witness import FOLDER, ISSUER, VALUES, claim

witness.trust("AWS_CA_BUNDLE")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

import boto3  # noqa: E402
from botocore import UNSIGNED  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402

ACCOUNT = "111122223333"
ONCE = Config(retries={"total_max_attempts": 1})
# Token files, as a projected volume has them; they go with the process.
TOKENS = tempfile.TemporaryDirectory()


def role(name):
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def token(subject="default:witness", **changes):
    return witness.token(subject, **changes)


def session(name, subject):
    """A session that finds its role and token as in a Pod: by environment and file."""
    file = tempfile.NamedTemporaryFile("w", suffix=".token", dir=TOKENS.name, delete=False)
    file.write(token(subject))
    file.close()
    os.environ.update(AWS_ROLE_ARN=role(name), AWS_WEB_IDENTITY_TOKEN_FILE=file.name, AWS_ROLE_SESSION_NAME="witness")
    made = boto3.session.Session()
    assert made.get_credentials().method == "assume-role-with-web-identity"
    made.get_credentials().get_frozen_credentials()
    return made


def secrets(name="trinity-witness", subject="default:witness"):
    return session(name, subject).client("secretsmanager", config=ONCE)


def of(credentials, service="secretsmanager"):
    """A client with the credentials in an answer of STS."""
    return boto3.client(
        service,
        config=ONCE,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def unsigned():
    """STS for a caller without credentials."""
    return boto3.client("sts", config=Config(signature_version=UNSIGNED).merge(ONCE))


def assume(name="trinity-witness", web_token=None, **more):
    answer = unsigned().assume_role_with_web_identity(
        RoleArn=role(name), RoleSessionName="witness", WebIdentityToken=web_token or token(), **more
    )
    return answer["Credentials"]


def refused(code, call, *arguments, says="", **options):
    """The call must fail with this code, and its message have these words."""
    try:
        call(*arguments, **options)
    except ClientError as error:
        seen = error.response["Error"]
        assert seen["Code"] == code, f"{code} was expected, and it is {seen}"
        assert says in seen["Message"], f"{says!r} was expected, and it is {seen}"
        return error.response
    raise AssertionError(f"{code} was expected, and the call succeeded")


def control(method, path, body):
    """The emulator's own interface: time and trouble are no business of an SDK."""

    class Socket(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(FOLDER / "control.sock"))

    connection = Socket("emulator")
    connection.request(method, path, json.dumps(body), {"content-type": "application/json"})
    assert connection.getresponse().status == 200


def fresh():
    """A name that nothing has."""
    return f"witness/{uuid.uuid4()}"


def made(client, value="one", **more):
    name = fresh()
    client.create_secret(Name=name, SecretString=value, **more)
    return name


def value(client, name, **more):
    return client.get_secret_value(SecretId=name, **more)["SecretString"]


# Identity.


@claim("aws-web-identity-opens-what-its-role-may-read")
def _():
    platform = secrets("trinity-external-secrets", "external-secrets:external-secrets")
    assert value(platform, "provider-test-secret") == VALUES["provider_test"]
    refused("AccessDeniedException", value, platform, "forbidden", says="no identity-based policy allows")


@claim("aws-sessions-know-who-they-are")
def _():
    for options in ({}, {"endpoint_url": "https://sts.amazonaws.com"}):
        who = session("trinity-witness", "default:witness").client("sts", config=ONCE, **options).get_caller_identity()
        assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/trinity-witness/witness", who
        assert who["Account"] == ACCOUNT


@claim("aws-forged-tokens-are-refused")
def _():
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    other = ISSUER["url"] + "/another"
    for wrong in (token(key=stranger), token(iss=other), token(iss=other, key=stranger), "no.token.atall"):
        refused("InvalidIdentityToken", assume, web_token=wrong)


@claim("aws-tokens-for-another-audience-are-refused")
def _():
    refused("InvalidIdentityToken", assume, web_token=token(aud=["vault"]), says="Incorrect token audience")


@claim("aws-tokens-of-another-subject-are-refused")
def _():
    for subject in ("default:other", "other:witness"):
        refused("AccessDenied", assume, web_token=token(subject), says="sts:AssumeRoleWithWebIdentity")


@claim("aws-tokens-out-of-their-time-are-refused")
def _():
    now = int(time.time())
    refused("ExpiredTokenException", assume, web_token=token(exp=now - 1))
    refused("InvalidIdentityToken", assume, web_token=token(nbf=now + 600))


@claim("aws-roles-that-do-not-trust-the-caller-are-refused")
def _():
    for name in ("trinity-unbound", "trinity-nobody"):
        refused("AccessDenied", assume, name, token("default:default"))


@claim("aws-trust-without-permission-opens-nothing")
def _():
    powerless = of(assume("trinity-powerless", token("default:default")))
    refused("AccessDeniedException", value, powerless, "trinity-canary")


@claim("aws-disabled-identities-are-denied")
def _():
    disabled = of(assume("trinity-disabled", token("default:default")))
    refused("AccessDeniedException", value, disabled, "trinity-canary", says="explicit deny in an identity-based policy")


@claim("aws-roles-are-assumed-by-roles-with-the-external-id")
def _():
    sts = session("trinity-witness", "default:witness").client("sts", config=ONCE)
    ask = {"RoleArn": role("trinity-witness-assumed"), "RoleSessionName": "chained"}
    refused("AccessDenied", sts.assume_role, **ask, says="is not authorized to perform: sts:AssumeRole on resource")
    refused("AccessDenied", sts.assume_role, **ask, ExternalId="other")
    chained = sts.assume_role(**ask, ExternalId="trinity")["Credentials"]
    arn = of(chained, "sts").get_caller_identity()["Arn"]
    assert arn.endswith("assumed-role/trinity-witness-assumed/chained"), arn


@claim("aws-signatures-and-tokens-of-sessions-are-verified")
def _():
    good = assume()
    refused("InvalidSignatureException", of({**good, "SecretAccessKey": "0" * 40}).list_secrets)
    refused("UnrecognizedClientException", of({**good, "SessionToken": "other"}).list_secrets)
    refused("UnrecognizedClientException", of({**good, "AccessKeyId": "ASIA0000000000000000"}).list_secrets)
    refused("SignatureDoesNotMatch", of({**good, "SecretAccessKey": "0" * 40}, "sts").get_caller_identity)
    refused("InvalidClientTokenId", of({**good, "SessionToken": "other"}, "sts").get_caller_identity)


@claim("aws-session-policies-are-refused-and-not-ignored")
def _():
    refused("ValidationError", assume, Policy='{"Version": "2012-10-17", "Statement": []}')


@claim("aws-durations-and-names-of-sessions-have-limits")
def _():
    refused("ValidationError", assume, DurationSeconds=3601, says="MaxSessionDuration")
    ends = assume(DurationSeconds=900)["Expiration"].timestamp() - time.time()
    assert 890 < ends < 910, ends
    refused("ValidationError", unsigned().assume_role_with_web_identity, RoleArn=role("trinity-witness"),
            RoleSessionName="a b", WebIdentityToken=token())


@claim("aws-tags-of-a-secret-decide-where-a-policy-says-so")
def _():
    client = secrets()
    assert value(client, "tagged") == VALUES["canary"]
    refused("AccessDeniedException", value, client, "forbidden")
    refused("AccessDeniedException", client.describe_secret, SecretId="tagged")


@claim("aws-policies-on-secrets-allow-and-deny")
def _():
    client, other = secrets(), secrets("trinity-powerless", "default:default")
    name = made(client)
    refused("AccessDeniedException", value, other, name)

    def policy(effect, principal):
        statement = {
            "Effect": effect, "Principal": principal, "Action": "secretsmanager:GetSecretValue", "Resource": "*",
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    allow = policy("Allow", {"AWS": role("trinity-powerless")})
    client.put_resource_policy(SecretId=name, ResourcePolicy=allow)
    assert client.get_resource_policy(SecretId=name)["ResourcePolicy"] == allow
    assert value(other, name) == "one"
    client.put_resource_policy(SecretId=name, ResourcePolicy=policy("Deny", "*"))
    refused("AccessDeniedException", value, client, name, says="explicit deny in a resource-based policy")
    client.delete_resource_policy(SecretId=name)
    assert value(client, name) == "one"
    refused("AccessDeniedException", value, other, name)
    refused("PublicPolicyException", client.put_resource_policy, SecretId=name, ResourcePolicy=policy("Allow", "*"),
            BlockPublicPolicy=True)
    refused("MalformedPolicyDocumentException", client.put_resource_policy, SecretId=name, ResourcePolicy="{}")
    assert not client.validate_resource_policy(ResourcePolicy=policy("Allow", "*"))["PolicyValidationPassed"]
    assert client.validate_resource_policy(ResourcePolicy=allow)["PolicyValidationPassed"]


# Values and versions.


@claim("aws-secrets-are-found-by-name-and-arn-whole-and-partial")
def _():
    client = secrets()
    name = fresh()
    answer = client.create_secret(Name=name, SecretString="one")
    random = answer["ARN"].removeprefix(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}-")
    assert len(random) == 6 and random.isalnum(), answer["ARN"]
    for identifier in (name, answer["ARN"], answer["ARN"][:-7]):
        assert value(client, identifier) == "one"
    refused("ResourceNotFoundException", value, client, name + "-absent", says="can't find the specified secret.")


@claim("aws-values-are-text-or-bytes-up-to-64-kib")
def _():
    client = secrets()
    name = fresh()
    client.create_secret(Name=name, SecretBinary=b"\x00\xff")
    answer = client.get_secret_value(SecretId=name)
    assert answer["SecretBinary"] == b"\x00\xff" and "SecretString" not in answer
    client.put_secret_value(SecretId=name, SecretString="ä" * 32_768)
    refused("ValidationException", client.put_secret_value, SecretId=name, SecretString="x" * 65_537)
    refused("InvalidParameterException", client.put_secret_value, SecretId=name, SecretString="x", SecretBinary=b"x")


@claim("aws-a-new-value-makes-the-old-one-previous")
def _():
    client = secrets()
    name = made(client)
    assert client.put_secret_value(SecretId=name, SecretString="two")["VersionStages"] == ["AWSCURRENT"]
    assert (value(client, name), value(client, name, VersionStage="AWSPREVIOUS")) == ("two", "one")
    client.update_secret(SecretId=name, SecretString="three", Description="mine")
    stages = client.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert sorted(map(tuple, stages.values())) == [("AWSCURRENT",), ("AWSPREVIOUS",)], stages
    assert len(client.list_secret_version_ids(SecretId=name)["Versions"]) == 2
    assert len(client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]) == 3
    refused("ResourceNotFoundException", value, client, name, VersionStage="AWSPENDING", says="staging label: AWSPENDING")
    refused("ResourceNotFoundException", value, client, name, VersionId=str(uuid.uuid4()), says="VersionId: ")
    current = next(key for key, labels in stages.items() if "AWSCURRENT" in labels)
    refused("InvalidRequestException", value, client, name, VersionId=current, VersionStage="AWSPREVIOUS")


@claim("aws-a-repeated-request-changes-nothing")
def _():
    client = secrets()
    name, first, second = fresh(), str(uuid.uuid4()), str(uuid.uuid4())
    one = client.create_secret(Name=name, SecretString="one", ClientRequestToken=first)
    again = client.create_secret(Name=name, SecretString="one", ClientRequestToken=first)
    assert (one["ARN"], one["VersionId"]) == (again["ARN"], again["VersionId"])
    refused("ResourceExistsException", client.create_secret, Name=name, SecretString="two", ClientRequestToken=first)
    refused("ResourceExistsException", client.create_secret, Name=name, SecretString="one", says="already exists")
    for _ in range(2):
        client.put_secret_value(SecretId=name, SecretString="two", ClientRequestToken=second)
    refused("ResourceExistsException", client.put_secret_value, SecretId=name, SecretString="three",
            ClientRequestToken=second, says="already in use for a version")
    assert len(client.list_secret_version_ids(SecretId=name)["Versions"]) == 2


@claim("aws-staging-labels-move-when-it-is-said-from-where")
def _():
    client = secrets()
    name = made(client)
    old = client.get_secret_value(SecretId=name)["VersionId"]
    new = client.put_secret_value(SecretId=name, SecretString="two", VersionStages=["AWSPENDING"])["VersionId"]
    assert value(client, name) == "one" and value(client, name, VersionStage="AWSPENDING") == "two"
    move = {"SecretId": name, "VersionStage": "AWSCURRENT"}
    refused("InvalidParameterException", client.update_secret_version_stage, **move, MoveToVersionId=new,
            says="RemoveFromVersionId can't be empty")
    refused("InvalidParameterException", client.update_secret_version_stage, **move, RemoveFromVersionId=old)
    client.update_secret_version_stage(**move, MoveToVersionId=new, RemoveFromVersionId=old)
    assert value(client, name) == "two" and value(client, name, VersionStage="AWSPREVIOUS") == "one"


@claim("aws-a-secret-can-be-without-value")
def _():
    client = secrets()
    name = fresh()
    assert "VersionId" not in client.create_secret(Name=name)
    refused("ResourceNotFoundException", value, client, name, says="staging label: AWSCURRENT")


@claim("aws-names-have-a-form")
def _():
    client = secrets()
    for name in ("witness/a b", "witness/ä", "witness/" + "n" * 505):
        refused("ValidationException", client.create_secret, Name=name, SecretString="x")


# Deletion.


@claim("aws-scheduled-deletion-reserves-the-name")
def _():
    client = secrets()
    name = made(client)
    client.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    refused("InvalidRequestException", client.create_secret, Name=name, SecretString="x",
            says="a secret with this name is already scheduled for deletion")


@claim("aws-a-secret-marked-for-deletion-refuses-all-but-restoring")
def _():
    client = secrets()
    name = made(client)
    version = client.get_secret_value(SecretId=name)["VersionId"]
    scheduled = client.delete_secret(SecretId=name)["DeletionDate"]
    assert 29.9 < (scheduled.timestamp() - time.time()) / 86_400 < 30.1, scheduled
    words = "because it was marked for deletion"
    refused("InvalidRequestException", value, client, name, says=words)
    refused("InvalidRequestException", client.put_secret_value, SecretId=name, SecretString="x", says=words)
    refused("InvalidRequestException", client.update_secret, SecretId=name, Description="x", says=words)
    refused("InvalidRequestException", client.tag_resource, SecretId=name, Tags=[{"Key": "a", "Value": "b"}])
    refused("InvalidRequestException", client.update_secret_version_stage, SecretId=name, VersionStage="x",
            MoveToVersionId=version)
    assert "DeletedDate" in client.describe_secret(SecretId=name)
    assert name not in names(client) and name in names(client, IncludePlannedDeletion=True)
    client.restore_secret(SecretId=name)
    assert value(client, name) == "one" and "DeletedDate" not in client.describe_secret(SecretId=name)


@claim("aws-a-recovery-window-is-7-to-30-days-or-none")
def _():
    client = secrets()
    name = made(client)
    for wrong in ({"RecoveryWindowInDays": 6}, {"RecoveryWindowInDays": 31},
                  {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True}):
        refused("InvalidParameterException", client.delete_secret, SecretId=name, **wrong)


@claim("aws-forced-deletion-is-at-once-and-frees-the-name")
def _():
    client = secrets()
    name = made(client)
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", client.describe_secret, SecretId=name)
    client.create_secret(Name=name, SecretString="again")
    client.delete_secret(SecretId=fresh(), ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", client.delete_secret, SecretId=fresh())


@claim("aws-after-the-recovery-window-a-secret-is-gone")
def _():
    client = secrets()
    name = made(client)
    arn = client.delete_secret(SecretId=name, RecoveryWindowInDays=7)["ARN"]
    control("POST", "/clock", {"seconds": 7 * 86_400})
    try:
        refused("ExpiredTokenException", value, client, name)
        now = int(time.time()) + 7 * 86_400
        later = of(assume(web_token=token(iat=now, nbf=now, exp=now + 3600)))
        refused("ResourceNotFoundException", later.restore_secret, SecretId=name)
        assert later.create_secret(Name=name, SecretString="two")["ARN"] != arn
    finally:
        control("POST", "/clock", {"seconds": -7 * 86_400})


# Lists, tags, batches, passwords, trouble.


def names(client, **options):
    pages = client.get_paginator("list_secrets").paginate(**options)
    return [secret["Name"] for page in pages for secret in page["SecretList"]]


@claim("aws-lists-have-pages-orders-and-filters")
def _():
    client = secrets()
    begin = fresh()
    mine = [f"{begin}/{number}" for number in range(5)]
    for name in mine:
        client.create_secret(Name=name, SecretString="x", Tags=[{"Key": "Team", "Value": name}], Description="Of " + begin)
    own = [{"Key": "name", "Values": [begin]}]
    assert names(client, Filters=own, PaginationConfig={"PageSize": 2}) == mine
    assert names(client, Filters=own, SortOrder="desc") == mine[::-1]
    assert names(client, Filters=own + [{"Key": "tag-value", "Values": [mine[3]]}]) == [mine[3]]
    assert names(client, Filters=own + [{"Key": "tag-key", "Values": ["team"]}]) == []
    assert names(client, Filters=own + [{"Key": "description", "Values": ["of witness"]}]) == mine
    assert names(client, Filters=own + [{"Key": "name", "Values": ["!" + mine[0]]}]) == mine[1:]
    refused("InvalidNextTokenException", client.list_secrets, NextToken="nonsense")
    refused("ValidationException", client.list_secrets, MaxResults=101)


@claim("aws-versions-are-listed-by-the-page")
def _():
    client = secrets()
    name = made(client)
    for number in range(4):
        client.put_secret_value(SecretId=name, SecretString=str(number))
    seen, following = [], {}
    while True:
        page = client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True, MaxResults=2, **following)
        assert len(page["Versions"]) <= 2
        seen += [version["VersionId"] for version in page["Versions"]]
        if "NextToken" not in page:
            break
        following = {"NextToken": page["NextToken"]}
    assert len(seen) == len(set(seen)) == 5


@claim("aws-tags-come-and-go")
def _():
    client = secrets()
    name = made(client, Tags=[{"Key": "a", "Value": "1"}])
    client.tag_resource(SecretId=name, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    client.untag_resource(SecretId=name, TagKeys=["b"])
    assert client.describe_secret(SecretId=name)["Tags"] == [{"Key": "a", "Value": "2"}]
    refused("InvalidParameterException", client.tag_resource, SecretId=name, Tags=[{"Key": "aws:a", "Value": "1"}])


@claim("aws-batches-have-what-may-be-read-and-errors-for-the-rest")
def _():
    client = secrets()
    name = made(client)
    answer = client.batch_get_secret_value(SecretIdList=[name, "forbidden", name + "-absent"])
    assert [found["SecretString"] for found in answer["SecretValues"]] == ["one"]
    codes = {error["SecretId"]: error["ErrorCode"] for error in answer["Errors"]}
    assert codes == {"forbidden": "AccessDeniedException", name + "-absent": "ResourceNotFoundException"}, codes
    found = client.batch_get_secret_value(Filters=[{"Key": "name", "Values": [name]}])["SecretValues"]
    assert [secret["Name"] for secret in found] == [name]
    refused("InvalidParameterException", client.batch_get_secret_value)


@claim("aws-passwords-are-random-and-as-asked-for")
def _():
    client = secrets()
    password = client.get_random_password(PasswordLength=64, ExcludePunctuation=True, ExcludeCharacters="abc")
    password = password["RandomPassword"]
    assert len(password) == 64 and password.isalnum() and not set(password) & set("abc"), len(password)
    refused("InvalidParameterException", client.get_random_password, PasswordLength=3)


@claim("aws-throttling-and-internal-errors-are-retried-by-the-sdk")
def _():
    client = session("trinity-witness", "default:witness").client(
        "secretsmanager", config=Config(retries={"mode": "standard", "total_max_attempts": 2})
    )
    name = made(client)
    for effect, code in (("throttled", "ThrottlingException"), ("internal", "InternalServiceError")):
        fault = {"operation": "secretsmanager:GetSecretValue", "effect": effect}
        control("PUT", "/faults", [{**fault, "count": 1}])
        answer = client.get_secret_value(SecretId=name)
        assert answer["SecretString"] == "one" and answer["ResponseMetadata"]["RetryAttempts"] == 1
        control("PUT", "/faults", [{**fault, "count": 2}])
        refused(code, client.get_secret_value, SecretId=name)
    control("PUT", "/faults", [{"operation": "sts:AssumeRoleWithWebIdentity", "count": 1, "effect": "throttled"}])
    refused("Throttling", assume, says="Rate exceeded")


@claim("aws-what-is-not-played-is-refused")
def _():
    client = secrets()
    name = made(client)
    refused("UnknownOperationException", client.rotate_secret, SecretId=name, RotateImmediately=True)
    refused("UnknownOperationException", client.create_secret, Name=fresh(), SecretString="x", KmsKeyId="alias/mine")
    refused("InvalidAction", session("trinity-witness", "default:witness").client("sts", config=ONCE).get_session_token)


if __name__ == "__main__":
    sys.exit(witness.tell())

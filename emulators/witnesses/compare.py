"""Puts the same questions to the AWS emulator, LocalStack and moto, and prints where each differs from what AWS documents.

Peers are no oracle: the expectation of every question is written here, with its source. Run it beside
`trinity-e2e emulators --cloud aws`, as `aws.py`; it starts the peers by itself:

    compare.py --localstack <python of a LocalStack environment> --moto <moto_server>
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

import aws  # the witness: how to become somebody in the emulator
import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric import rsa

API = "https://docs.aws.amazon.com/secretsmanager/latest/apireference/"
QUESTIONS = []


def question(name, expected, source):
    """Registers a question; the function returns what is seen, errors are their codes."""

    def register(function):
        QUESTIONS.append((name, expected, source, function))
        return function

    return register


class Peer:
    """Somebody who plays Secrets Manager and STS."""

    def __init__(self, name, url=None):
        self.name, self.url = name, url
        if url is None:
            self.secrets, self.nobody = aws.secrets(), aws.of(aws.assume("trinity-powerless", aws.token("default:default")))
        else:
            self.secrets = self.nobody = self.client("secretsmanager", aws_access_key_id="test", aws_secret_access_key="test")

    def client(self, service, **options):
        config = Config(retries={"total_max_attempts": 1})
        if "aws_access_key_id" not in options:
            config = config.merge(Config(signature_version=UNSIGNED))
        return boto3.client(service, endpoint_url=self.url, config=config, region_name="us-east-1", **options)


def new(peer, **options):
    name = f"witness/{uuid.uuid4()}"
    peer.secrets.create_secret(Name=name, **{"SecretString": "one", **options})
    return name


def says(call, *arguments, **options):
    """`success`, or code and message of AWS's error."""
    try:
        call(*arguments, **options)
        return "success"
    except ClientError as error:
        return error.response["Error"]["Code"]


def message(call, **options):
    try:
        call(**options)
        return "success"
    except ClientError as error:
        return error.response["Error"]["Message"]


def token():
    return str(uuid.uuid4())


@question("the name of a secret scheduled for deletion", "InvalidRequestException", API + "API_CreateSecret.html")
def _(peer):
    name = new(peer)
    peer.secrets.delete_secret(SecretId=name)
    return says(peer.secrets.create_secret, Name=name, SecretString="x")


@question("a value of a secret scheduled for deletion: message",
          "You can't perform this operation on the secret because it was marked for deletion.",
          "external-secrets/external-secrets#4560; aws/copilot-cli#4871")
def _(peer):
    name = new(peer)
    peer.secrets.delete_secret(SecretId=name)
    return message(peer.secrets.get_secret_value, SecretId=name)


for operation, options in {
    "put_secret_value": {"SecretString": "x"},
    "update_secret": {"Description": "x"},
    "tag_resource": {"Tags": [{"Key": "a", "Value": "b"}]},
    "untag_resource": {"TagKeys": ["a"]},
    "get_resource_policy": {},
    "delete_secret": {},
}.items():
    page = "API_" + "".join(part.title() for part in operation.split("_")) + ".html"

    @question(f"{operation} on a secret scheduled for deletion", "InvalidRequestException", API + page)
    def _(peer, operation=operation, options=options):
        name = new(peer)
        peer.secrets.delete_secret(SecretId=name)
        return says(getattr(peer.secrets, operation), SecretId=name, **options)


@question("describe_secret on a secret scheduled for deletion", "DeletedDate", API + "API_DescribeSecret.html")
def _(peer):
    name = new(peer)
    peer.secrets.delete_secret(SecretId=name)
    return "DeletedDate" if "DeletedDate" in peer.secrets.describe_secret(SecretId=name) else "no date"


@question("a restored secret", "one", API + "API_RestoreSecret.html")
def _(peer):
    name = new(peer)
    peer.secrets.delete_secret(SecretId=name)
    peer.secrets.restore_secret(SecretId=name)
    return peer.secrets.get_secret_value(SecretId=name)["SecretString"]


@question("recovery windows of 6 and 31 days", "InvalidParameterException twice", API + "API_DeleteSecret.html")
def _(peer):
    name = new(peer)
    seen = {says(peer.secrets.delete_secret, SecretId=name, RecoveryWindowInDays=days) for days in (6, 31)}
    return "InvalidParameterException twice" if seen == {"InvalidParameterException"} else " and ".join(sorted(seen))


@question("a forced deletion with a window", "InvalidParameterException", API + "API_DeleteSecret.html")
def _(peer):
    return says(peer.secrets.delete_secret, SecretId=new(peer), RecoveryWindowInDays=7, ForceDeleteWithoutRecovery=True)


@question("a forced deletion of nothing", "success", API + "API_DeleteSecret.html")
def _(peer):
    return says(peer.secrets.delete_secret, SecretId=f"witness/{token()}", ForceDeleteWithoutRecovery=True)


@question("a secret created again has another ARN", "another", API + "API_CreateSecret.html")
def _(peer):
    name = new(peer)
    arn = peer.secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)["ARN"]
    return "the same" if peer.secrets.create_secret(Name=name, SecretString="x")["ARN"] == arn else "another"


@question("create_secret repeated with its token", "the same version", API + "API_CreateSecret.html")
def _(peer):
    name, mine = f"witness/{token()}", token()
    ask = {"Name": name, "SecretString": "one", "ClientRequestToken": mine}
    peer.secrets.create_secret(**ask)
    return "the same version" if peer.secrets.create_secret(**ask)["VersionId"] == mine else "another version"


@question("create_secret with its token and another value", "ResourceExistsException", API + "API_CreateSecret.html")
def _(peer):
    name, mine = f"witness/{token()}", token()
    peer.secrets.create_secret(Name=name, SecretString="one", ClientRequestToken=mine)
    return says(peer.secrets.create_secret, Name=name, SecretString="two", ClientRequestToken=mine)


@question("create_secret again with another token", "ResourceExistsException", "getmoto/moto#9741")
def _(peer):
    return says(peer.secrets.create_secret, Name=new(peer), SecretString="one")


@question("put_secret_value with a token of another value", "ResourceExistsException", API + "API_PutSecretValue.html")
def _(peer):
    name, mine = new(peer), token()
    peer.secrets.put_secret_value(SecretId=name, SecretString="two", ClientRequestToken=mine)
    return says(peer.secrets.put_secret_value, SecretId=name, SecretString="three", ClientRequestToken=mine)


@question("put_secret_value repeated with its token", "2 versions", API + "API_PutSecretValue.html")
def _(peer):
    name, mine = new(peer), token()
    for _ in range(2):
        peer.secrets.put_secret_value(SecretId=name, SecretString="two", ClientRequestToken=mine)
    return f"{len(peer.secrets.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)['Versions'])} versions"


@question("labels after two new values", "AWSCURRENT, AWSPREVIOUS, none", API + "API_PutSecretValue.html")
def _(peer):
    name = new(peer)
    for number in ("two", "three"):
        peer.secrets.put_secret_value(SecretId=name, SecretString=number)
    versions = peer.secrets.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    return ", ".join(sorted("+".join(version.get("VersionStages", [])) or "none" for version in versions))


@question("deprecated versions when they are not asked for", "hidden", API + "API_ListSecretVersionIds.html")
def _(peer):
    name = new(peer)
    for number in ("two", "three"):
        peer.secrets.put_secret_value(SecretId=name, SecretString=number)
    versions = peer.secrets.list_secret_version_ids(SecretId=name)["Versions"]
    return "hidden" if len(versions) == 2 else "listed"


@question("list_secret_version_ids with MaxResults 1", "1 and NextToken", API + "API_ListSecretVersionIds.html")
def _(peer):
    name = new(peer)
    peer.secrets.put_secret_value(SecretId=name, SecretString="two")
    page = peer.secrets.list_secret_version_ids(SecretId=name, MaxResults=1)
    return f"{len(page['Versions'])} and {'NextToken' if 'NextToken' in page else 'no more'}"


def pending(peer):
    name = new(peer)
    old = peer.secrets.get_secret_value(SecretId=name)["VersionId"]
    put = peer.secrets.put_secret_value(SecretId=name, SecretString="two", VersionStages=["AWSPENDING"])
    return {"SecretId": name, "VersionStage": "AWSCURRENT"}, old, put["VersionId"]


@question("a version that is only pending", "one", API + "API_PutSecretValue.html")
def _(peer):
    move, _, _ = pending(peer)
    return peer.secrets.get_secret_value(SecretId=move["SecretId"])["SecretString"]


@question("AWSCURRENT moved without saying from where", "InvalidParameterException", API + "API_UpdateSecretVersionStage.html")
def _(peer):
    move, _, new_version = pending(peer)
    return says(peer.secrets.update_secret_version_stage, **move, MoveToVersionId=new_version)


@question("AWSCURRENT removed", "InvalidParameterException", API + "API_UpdateSecretVersionStage.html")
def _(peer):
    move, old, _ = pending(peer)
    return says(peer.secrets.update_secret_version_stage, **move, RemoveFromVersionId=old)


@question("AWSPREVIOUS after AWSCURRENT moved", "one", API + "API_UpdateSecretVersionStage.html")
def _(peer):
    move, old, new_version = pending(peer)
    peer.secrets.update_secret_version_stage(**move, MoveToVersionId=new_version, RemoveFromVersionId=old)
    return peer.secrets.get_secret_value(SecretId=move["SecretId"], VersionStage="AWSPREVIOUS")["SecretString"]


@question("an own label that another version has, moved without saying from where", "InvalidParameterException",
          API + "API_UpdateSecretVersionStage.html")
def _(peer):
    move, old, new_version = pending(peer)
    move["VersionStage"] = "blue"
    peer.secrets.update_secret_version_stage(**move, MoveToVersionId=old)
    return says(peer.secrets.update_secret_version_stage, **move, MoveToVersionId=new_version)


@question("version id and label of different versions", "InvalidRequestException", API + "API_GetSecretValue.html")
def _(peer):
    name = new(peer)
    peer.secrets.put_secret_value(SecretId=name, SecretString="two")
    current = peer.secrets.get_secret_value(SecretId=name)["VersionId"]
    return says(peer.secrets.get_secret_value, SecretId=name, VersionId=current, VersionStage="AWSPREVIOUS")


@question("a value of 65,537 bytes", "ValidationException", API + "API_PutSecretValue.html")
def _(peer):
    return says(peer.secrets.put_secret_value, SecretId=new(peer), SecretString="x" * 65_537)


@question("text and bytes at once", "InvalidParameterException", API + "API_PutSecretValue.html")
def _(peer):
    return says(peer.secrets.put_secret_value, SecretId=new(peer), SecretString="x", SecretBinary=b"x")


@question("a name with a space", "ValidationException", API + "API_CreateSecret.html")
def _(peer):
    return says(peer.secrets.create_secret, Name=f"witness/{token()} x", SecretString="x")


@question("an ARN without its random end", "one", "https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html")
def _(peer):
    arn = peer.secrets.describe_secret(SecretId=new(peer))["ARN"]
    return peer.secrets.get_secret_value(SecretId=arn[:-7])["SecretString"]


@question("more than 100 young versions", "LimitExceededException", API + "API_PutSecretValue.html")
def _(peer):
    name = new(peer)
    for _ in range(120):
        seen = says(peer.secrets.put_secret_value, SecretId=name, SecretString=token())
        if seen != "success":
            return seen
    return f"{len(peer.secrets.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)['Versions'])} versions listed"


@question("51 tags", "InvalidParameterException", "https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html")
def _(peer):
    return says(peer.secrets.tag_resource, SecretId=new(peer), Tags=[{"Key": str(i), "Value": ""} for i in range(51)])


@question("filter by a name's beginning, in its case", "found, not found", API + "API_Filter.html")
def _(peer):
    name = new(peer)

    def found(text):
        listed = peer.secrets.list_secrets(Filters=[{"Key": "name", "Values": [text]}])["SecretList"]
        return "found" if name in [secret["Name"] for secret in listed] else "not found"

    return f"{found(name[:-1])}, {found(name.upper())}"


@question("a next token that is none", "InvalidNextTokenException", API + "API_ListSecrets.html")
def _(peer):
    return says(peer.secrets.list_secrets, NextToken="nonsense")


@question("a secret scheduled for deletion in a list", "only when asked for", API + "API_ListSecrets.html")
def _(peer):
    name = new(peer)
    peer.secrets.delete_secret(SecretId=name)

    def listed(**more):
        pages = peer.secrets.get_paginator("list_secrets").paginate(**more)
        return any(secret["Name"] == name for page in pages for secret in page["SecretList"])

    return {(False, True): "only when asked for", (True, True): "always"}.get((listed(), listed(IncludePlannedDeletion=True)), "never")


@question("a batch with an absent secret", "1 value, ResourceNotFoundException", API + "API_BatchGetSecretValue.html")
def _(peer):
    name = new(peer)
    answer = peer.secrets.batch_get_secret_value(SecretIdList=[name, name + "-absent"])
    codes = [error["ErrorCode"] for error in answer.get("Errors", [])]
    return f"{len(answer['SecretValues'])} value, {', '.join(codes) or 'no error'}"


@question("a public policy that shall be blocked", "PublicPolicyException", API + "API_PutResourcePolicy.html")
def _(peer):
    statement = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return says(peer.secrets.put_resource_policy, SecretId=new(peer), ResourcePolicy=policy, BlockPublicPolicy=True)


@question("a policy that is none", "MalformedPolicyDocumentException", API + "API_PutResourcePolicy.html")
def _(peer):
    return says(peer.secrets.put_resource_policy, SecretId=new(peer), ResourcePolicy="{}")


@question("a policy that denies everyone", "AccessDeniedException", API + "API_PutResourcePolicy.html")
def _(peer):
    name = new(peer)
    statement = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    peer.secrets.put_resource_policy(SecretId=name, ResourcePolicy=policy)
    return says(peer.secrets.get_secret_value, SecretId=name)


@question("a caller whom no policy allows anything", "AccessDeniedException",
          "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html")
def _(peer):
    return says(peer.nobody.get_secret_value, SecretId=new(peer))


@question("a request with a wrong signature", "InvalidSignatureException",
          "https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html")
def _(peer):
    credentials = peer.secrets._request_signer._credentials.get_frozen_credentials()
    forged = peer.client("secretsmanager", aws_access_key_id=credentials.access_key, aws_secret_access_key="0" * 40,
                         aws_session_token=credentials.token)
    return says(forged.list_secrets)


@question("a web identity token that a stranger signed", "InvalidIdentityToken",
          "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html")
def _(peer):
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return says(peer.client("sts").assume_role_with_web_identity, RoleArn=aws.role("trinity-witness"),
                RoleSessionName="peer", WebIdentityToken=aws.token(key=stranger))


@question("a web identity token that has expired", "ExpiredTokenException",
          "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html")
def _(peer):
    return says(peer.client("sts").assume_role_with_web_identity, RoleArn=aws.role("trinity-witness"),
                RoleSessionName="peer", WebIdentityToken=aws.token(exp=int(time.time()) - 1))


def started(command, url, environment):
    """A peer's process, when it answers."""
    log = tempfile.TemporaryFile()
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=1)
            return process
        except urllib.error.HTTPError:
            return process
        except OSError:
            if process.poll() is not None:
                log.seek(0)
                sys.exit(f"{command[0]} ended:\n{log.read().decode()[-2000:]}")
            # It tells nobody when it listens.
            time.sleep(0.1)
    sys.exit(f"{command[0]} did not answer")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--localstack", type=pathlib.Path)
    parser.add_argument("--moto", type=pathlib.Path)
    wanted = parser.parse_args()
    peers, processes = [Peer("ours")], []
    home = tempfile.TemporaryDirectory()
    try:
        if wanted.localstack:
            url = "http://127.0.0.1:4566"
            environment = {
                "SERVICES": "sts,iam,secretsmanager", "EAGER_SERVICE_LOADING": "1", "DISABLE_EVENTS": "1",
                "SKIP_INFRA_DOWNLOADS": "1", "GATEWAY_LISTEN": "127.0.0.1:4566", "LOCALSTACK_VOLUME_DIR": home.name,
            }
            processes.append(started([wanted.localstack, "-m", "localstack.runtime.main"], url, environment))
            peers.append(Peer("localstack", url))
        if wanted.moto:
            url = "http://127.0.0.1:5555"
            processes.append(started([wanted.moto, "-H", "127.0.0.1", "-p", "5555"], url, {}))
            peers.append(Peer("moto", url))
        return compared(peers)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        home.cleanup()


def compared(peers):
    differing = {peer.name: 0 for peer in peers}
    for name, expected, source, ask in QUESTIONS:
        print(f"{name}: {expected}  [{source}]")
        for peer in peers:
            try:
                seen = ask(peer)
            except (BotoCoreError, ClientError, KeyError) as error:
                seen = f"{type(error).__name__}: {error}"
            if seen != expected:
                differing[peer.name] += 1
                print(f"    {peer.name}: {seen}")
    for peer, count in differing.items():
        print(f"{peer} differs in {count} of {len(QUESTIONS)}")
    return differing["ours"] > 0


if __name__ == "__main__":
    sys.exit(main())

"""What all witnesses share: the folder of the emulator, tokens of its cluster, and claims.

`TRINITY_EMULATORS` names the folder that `trinity-e2e emulators` writes. A witness trusts its authority before it imports
an SDK, registers claims, and tells them: `<claim> ok` or `<claim> FAILED <why>`, one line each.
"""

import json
import os
import pathlib
import time

import jwt

FOLDER = pathlib.Path(os.environ["TRINITY_EMULATORS"])
ISSUER = json.loads((FOLDER / "issuer.json").read_text())
VALUES = json.loads((FOLDER / "values.json").read_text())
KEY = pathlib.Path(ISSUER["key"]).read_text()
CLAIMS = []


def trust(*variables):
    """Makes SDKs trust the emulator's authority by the environment variables that they read."""
    for variable in variables:
        os.environ[variable] = str(FOLDER / "ca.crt")


def token(subject, key=KEY, kid=ISSUER["kid"], **changes):
    """A service-account token as the made-up cluster issues it."""
    now = int(time.time())
    claims = {
        "iss": ISSUER["url"],
        "sub": f"system:serviceaccount:{subject}",
        "aud": [ISSUER["audience"]],
        "iat": now,
        "nbf": now,
        "exp": now + 900,
    }
    return jwt.encode(claims | changes, key, algorithm="RS256", headers={"kid": kid})


def claim(name):
    """Registers a claim; what it says holds when the function returns."""

    def register(function):
        CLAIMS.append((name, function))
        return function

    return register


def tell():
    """Tries every claim, whatever became of the one before; the exit code of the witness."""
    failed = False
    for name, function in CLAIMS:
        try:
            function()
            print(f"{name} ok", flush=True)
        except Exception as error:  # noqa: BLE001 - whatever a library raises is what a caller of it sees
            failed = True
            print(f"{name} FAILED {type(error).__name__}: {' '.join(str(error).split())[:600]}", flush=True)
    return int(failed)

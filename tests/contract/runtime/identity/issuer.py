"""A small OpenID Connect provider, as a process of its own. It signs whatever it is told to."""

from __future__ import annotations

import argparse
import json
from typing import Any

import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fastapi import FastAPI
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def made(algorithm: str) -> PrivateKey:
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else _edwards()


def _edwards() -> PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def public(key: PrivateKey, id: str, algorithm: str) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return jwk | {"kid": id, "alg": algorithm, "use": "sig"}


class Provider:
    """Its keys, by id, and how often they were fetched."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.keys: dict[str, tuple[PrivateKey, str]] = {}
        self.fetched = 0
        self.says = issuer

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def discovery() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
            return {"issuer": self.says, "jwks_uri": f"{self.issuer}/keys"}

        @app.get("/keys")
        def keys() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
            self.fetched += 1
            secret = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ", "kid": "hs"}
            listed = [public(key, id, alg) for id, (key, alg) in self.keys.items()]
            return {"keys": [secret, {"kty": "new"}, *listed]}

        @app.post("/rotate/{id}/{algorithm}")
        def rotate(id: str, algorithm: str) -> None:  # pyright: ignore[reportUnusedFunction]
            self.keys = {id: (made(algorithm), algorithm)}

        @app.post("/say/{issuer:path}")
        def say(issuer: str) -> None:  # pyright: ignore[reportUnusedFunction]
            self.says = issuer

        @app.get("/fetched")
        def fetched() -> int:  # pyright: ignore[reportUnusedFunction]
            return self.fetched

        @app.post("/sign/{id}")
        def sign(id: str, body: dict[str, Any]) -> str:  # pyright: ignore[reportUnusedFunction]
            key, algorithm = self.keys[id]
            headers = {"kid": id} | body.get("headers", {})
            algorithm = body.get("algorithm", algorithm)
            return jwt.encode(body["claims"], key, algorithm, headers)

        @app.get("/pem/{id}")
        def pem(id: str) -> str:  # pyright: ignore[reportUnusedFunction]
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            encoded = self.keys[id][0].public_key().public_bytes(serialization.Encoding.PEM, form)
            return json.loads(json.dumps(encoded.decode()))

        return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    provider = Provider(f"http://127.0.0.1:{port}")
    provider.keys = {
        f"{algorithm}-1": (made(algorithm), algorithm)
        for algorithm in ("RS256", "ES256", "PS384", "EdDSA")
    }
    uvicorn.run(provider.app(), host="127.0.0.1", port=port, log_level="warning")

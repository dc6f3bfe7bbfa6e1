"""Who asks, and what they may do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent_runtime.config.base import ConfigModel, EnvName, HttpUrl
from agent_runtime.config.tools import Names


class StaticKey(ConfigModel):
    """A bearer token that is known beforehand."""

    user: Annotated[str, Field(min_length=1, max_length=253)]
    """Who holds it."""

    groups: Names = ()
    """Groups of the user."""

    tenant: Annotated[str, Field(max_length=253)] = ""
    """Tenant of the user: answers are cached for each tenant apart."""

    key_env: EnvName | None = None
    """Environment variable with the token."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Or the token's SHA-256 in hexadecimal."""

    @model_validator(mode="after")
    def _one_secret(self) -> StaticKey:
        if (self.key_env is None) == (self.sha256 is None):
            raise ValueError("either keyEnv or sha256 is needed")
        return self


class OidcIssuer(ConfigModel):
    """An OpenID Connect provider whose signed tokens are accepted."""

    issuer: HttpUrl
    """The provider, as it stands in `iss`."""

    audience: Annotated[str, Field(min_length=1, max_length=253)]
    """What has to stand in `aud`."""

    jwks_url: HttpUrl | None = None
    """Where its keys are. Absent: what the provider's discovery document says."""

    user_claim: Annotated[str, Field(min_length=1, max_length=253)] = "sub"
    """Claim with the user's name."""

    groups_claim: Annotated[str, Field(min_length=1, max_length=253)] = "groups"
    """Claim with the user's groups."""

    tenant_claim: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Claim with the user's tenant. Absent: all are of one tenant."""

    user_prefix: Annotated[str, Field(max_length=253)] = ""
    """Put before the user's name, such as `oidc:`. Names that begin with `system:` are refused."""

    groups_prefix: Annotated[str, Field(max_length=253)] = ""
    """Put before each group. Groups that begin with `system:` are left out."""


class TokenReviewConfig(ConfigModel):
    """Bearer tokens that the Kubernetes API server knows, such as those of ServiceAccounts."""

    audiences: Names = ()
    """Audiences of which the token has to have one. Absent: the API server's own."""


class IdentityConfig(ConfigModel):
    """Who asks, and what they may do."""

    required: bool = False
    """Refuse requests without a valid bearer token. Otherwise those are anonymous, and a token
    that is not valid is still refused if any issuer is configured."""

    keys: Annotated[tuple[StaticKey, ...], Field(max_length=1000)] = ()
    """Tokens that are known beforehand."""

    oidc: Annotated[tuple[OidcIssuer, ...], Field(max_length=20)] = ()
    """OpenID Connect providers."""

    token_review: TokenReviewConfig | None = None
    """Ask the Kubernetes API server who holds a token."""

    decision: Literal["policy", "subjectAccessReview"] = "policy"
    """Who decides on tools. `policy`: `access` of each tool. `subjectAccessReview`: also the
    Kubernetes API server, which is asked whether the user, and the agent's own ServiceAccount, may
    `invoke` the tool (resource `tools` in `chatagent.dev`, named AGENT.TOOL). Both have to allow
    it, and no answer means no."""

"""What the operator lists to find what no watch told of, beside what kubectl sees."""

from __future__ import annotations

import pytest

from chatagent_operator.api.group import KIND
from chatagent_operator.handlers import CHILDREN
from chatagent_operator.kube import client
from chatagent_operator.kube.client import Kube
from tests.cluster.kubectl import Kubectl


async def test_every_kind_is_listed_whole(
    operator: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    kube = await Kube.connect(operator.kubeconfig)
    try:
        pages = 0
        for kind in (KIND, *CHILDREN):
            found = operator.list(kind)
            listing = await kube.list_uids(kind, operator.namespace, None)
            assert listing.uids == {each["metadata"]["uid"] for each in found}, kind
            versions = [int(each["metadata"]["resourceVersion"]) for each in found]
            assert all(version <= listing.resource_version for version in versions), kind
            pages = max(pages, len(found) // 2)
            chosen = await kube.list_uids(kind, None, "no-such-label")
            assert not chosen.uids
        assert pages >= 1, "more than a page of something"
    finally:
        await kube.close()

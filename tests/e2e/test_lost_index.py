"""An index that is deleted in the vector store is reported and built again."""

from __future__ import annotations

import pytest

from tests.cluster.kubectl import AgentUnderTest, Kubectl, documents, until

DELETE_COLLECTION = """
import os, urllib.request
server, _, name = os.environ["AGENT_VECTOR_STORE"].removeprefix("chroma://").partition("/")
path = "api/v2/tenants/default_tenant/databases/default_database/collections"
request = urllib.request.Request(f"http://{server}/{path}/{name}", method="DELETE")
urllib.request.urlopen(request)
"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def shop(namespace: Kubectl) -> AgentUnderTest:
    return AgentUnderTest(namespace, "forgets")


def test_a_lost_index_is_built_again(shop: AgentUnderTest) -> None:
    text = "# Returns\n\nYou can return a lamp within 30 days of delivery.\n"
    shop.kubectl.apply(documents(shop.name, returns_md=text))
    shop.apply()
    shop.await_condition("IndexReady")
    shop.await_condition("Ready")
    revision = shop.status["stableRevision"]
    pod = shop.pods(revision)[0]["metadata"]["name"]
    shop.kubectl.run("exec", pod, "--", "python", "-c", DELETE_COLLECTION)
    shop.await_condition("IndexReady", "False", seconds=60)
    until(lambda: "Reindexing" in dict(shop.events()), "an Event", 60)
    shop.await_condition("IndexReady")
    shop.await_condition("Degraded", "False")
    assert "30 days" in shop.ask("Within how many days can I return a lamp?").text
    assert shop.status["knowledge"]["rebuilds"] == 1
    assert shop.status["stableRevision"] == revision

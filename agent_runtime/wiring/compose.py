"""Puts an agent together from its configuration. Nothing is connected before `Runtime.start`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from agent_runtime import own_steps, settings
from agent_runtime.cache.answers import Answers
from agent_runtime.cache.step import KnownAnswers
from agent_runtime.config import AgentConfig
from agent_runtime.dialogue.intents import Intents
from agent_runtime.dialogue.manager import DialogueManager, RuleRewriter
from agent_runtime.dialogue.memory import Memory
from agent_runtime.domain import Principal, Step
from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.identity.build import Identity
from agent_runtime.llm.attribution import Attribution
from agent_runtime.llm.step import Generate
from agent_runtime.models.batching import Batching
from agent_runtime.models.generators.local import LocalGenerator
from agent_runtime.own_steps import After, OwnStep
from agent_runtime.pipeline import Pipeline
from agent_runtime.ports import Authorizer, Embedder, Reranker, Vectors
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.retrieval.hybrid import HybridRetriever
from agent_runtime.retrieval.snapshot import Snapshot, settle
from agent_runtime.retrieval.step import Retrieve
from agent_runtime.settings import Environment
from agent_runtime.stores import Index, address, open_index
from agent_runtime.stores.address import Address
from agent_runtime.telemetry import Telemetry
from agent_runtime.telemetry.tracing import tracer
from agent_runtime.tools.origins import Origins
from agent_runtime.tools.policy import AccessPolicy, AllOf
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots
from agent_runtime.tools.step import UseTools
from agent_runtime.tools.toolbox import Toolbox
from agent_runtime.wiring import models
from agent_runtime.wiring.runtime import Knowledge, Runtime
from agent_runtime.wiring.state import open_state


def compose(
    config: AgentConfig, environment: Environment, own: Sequence[OwnStep] | None = None
) -> Runtime:
    """Return an agent that is not started yet.

    Args:
        config: what to build.
        environment: addresses and secrets.
        own: steps that are there as objects already. Absent: as `config.steps` names them.

    Raises:
        AgentError: the configuration is wrong, or a model is not there; the message names the
            field.
    """
    traces = tracer(environment.variables, environment.revision)
    telemetry = Telemetry(environment.revision, traces, environment.agent, environment.log_messages)
    opened = _opened(config, environment)
    embedder = _embedder(config, environment)
    batching = Batching(embedder) if embedder else None
    vectors: Vectors = batching or models.NoVectors()
    reranker = models.reranker(config, environment.models, settings.cpus()) if opened else None
    knowledge = _knowledge(config, opened, vectors, reranker, telemetry)
    identity = Identity(config.identity, environment.variables, environment.agent)
    origins = Origins(config.tools, environment.variables)
    toolbox = _toolbox(config, origins, identity.authorizer, telemetry)
    generator = models.generator(
        config, environment.models, environment.variables, embedder, toolbox.describe
    )
    if isinstance(generator, LocalGenerator):
        generator.meter(telemetry.metrics.gpu_seconds)
    state = open_state(config, environment)
    memory = Memory(state.sessions, config.dialogue.history_turns, toolbox.readable)
    dialogue = DialogueManager(
        config.dialogue, Intents(config.dialogue.intents, vectors), RuleRewriter(vectors)
    )
    slots = Slots()
    router = Router(batching, slots, config.tool_calls.min_score)
    native = generator.calls_tools and config.llm.functions != "routed"
    use = UseTools(toolbox, router, slots, native, approvals=state.sessions)
    attribution = Attribution(vectors)
    generate = Generate(generator, config.llm, toolbox, config.tool_calls, attribution, telemetry)
    theirs = own if own is not None else [own_steps.load(each) for each in config.steps]
    working: list[Step] = [
        *([Retrieve(knowledge.retriever, config.retrieval, telemetry)] if knowledge else []),
        *_after("retrieval", theirs),
        use,
        *_after("tools", theirs),
        generate,
        *_after("llm", theirs),
    ]
    if _may_keep_answers(config):
        working = [
            KnownAnswers(
                working,
                Answers(state.blobs, config.cache, telemetry.metrics.cache),
                vectors,
                environment.revision,
                lambda: knowledge.follower.loaded().index if knowledge else "",
                partial(_rights, toolbox),
                generator.reads_history,
                telemetry,
            )
        ]
    steps = [*_after("dialogue", theirs), *working]
    return Runtime(
        config=config,
        pipeline=Pipeline(memory, dialogue, steps, telemetry),
        telemetry=telemetry,
        state=state,
        generator=generator,
        toolbox=toolbox,
        vectors=vectors,
        embedder=embedder,
        knowledge=knowledge,
        authenticator=identity.authenticator,
        checking=identity.check,
        starting=[
            state.start,
            origins.start,
            generator.warm_up,
            partial(models.warm_up, config, vectors if embedder else None, reranker),
        ],
        closing=[
            *([batching.aclose] if batching else []),
            *([knowledge.index.close] if knowledge else []),
            generator.aclose,
            identity.aclose,
            origins.close,
            state.close,
        ],
    )


def _after(step: After, own: Sequence[OwnStep]) -> list[Step]:
    return [each.step for each in own if each.after == step]


def _embedder(config: AgentConfig, environment: Environment) -> Embedder | None:
    """Load the embedding model; an agent that searches for nothing may do without."""
    try:
        return models.embedder(config, environment.models, 1, environment.variables)
    except ModelNotFoundError:
        if models.needs_vectors(config):
            raise
        return None


def collection(config: AgentConfig, environment: Environment) -> Address:
    """Return where the documents are. Raises InvalidConfigError where nothing says it."""
    url = environment.vector_store or config.retrieval.vector_store
    if url is None:
        raise InvalidConfigError(
            "--vector-store, AGENT_VECTOR_STORE or pipeline.retrieval.vectorStore is needed"
        )
    return address.parse(url)


def _opened(config: AgentConfig, environment: Environment) -> Callable[[], Index] | None:
    """Return what opens the collection. Its address is looked at before a model is loaded."""
    if config.retrieval.when == "never":
        return None
    where = collection(config, environment)
    return partial(open_index, where, environment.vector_store_token)


def _knowledge(
    config: AgentConfig,
    opened: Callable[[], Index] | None,
    vectors: Vectors,
    reranker: Reranker | None,
    telemetry: Telemetry,
) -> Knowledge | None:
    if opened is None:
        return None
    index = opened()

    def noted(new: Snapshot) -> None:
        telemetry.metrics.index_version(new.info.collection, new.info.version)
        settle()

    follower = IndexFollower(index, vectors, noted)
    retriever = HybridRetriever(config.retrieval, vectors, follower, telemetry, reranker)
    return Knowledge(opened, index, follower, retriever)


def _toolbox(
    config: AgentConfig, origins: Origins, authorizer: Authorizer | None, telemetry: Telemetry
) -> Toolbox:
    deciding: list[Authorizer] = [AccessPolicy(config.tools)]
    deciding += [authorizer] if authorizer else []
    return Toolbox(origins.tools, AllOf(deciding), config.tool_calls, config.tools, telemetry)


def _may_keep_answers(config: AgentConfig) -> bool:
    # Steps of one's own may look at who asks: what they do is given again only if that is wished.
    return config.cache.mode != "off" and (not config.steps or "cache" in config.model_fields_set)


async def _rights(toolbox: Toolbox, caller: Principal) -> str:
    return ",".join(sorted(spec.name for spec in await toolbox.visible(caller)))

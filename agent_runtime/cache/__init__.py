"""Answers that are given again: to the same question only, in the same circumstances only."""

from agent_runtime.cache.answers import Answers, NoAnswers, Outcome, build
from agent_runtime.cache.codec import cacheable
from agent_runtime.cache.flights import Flights, Lead

__all__ = ["Answers", "Flights", "Lead", "NoAnswers", "Outcome", "build", "cacheable"]

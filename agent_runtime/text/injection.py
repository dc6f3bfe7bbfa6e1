"""Sentences that give orders to whoever answers, hidden in documents: never to be quoted.

Indirect prompt injection (Greshake et al., "Not what you've signed up for", AISec 2023). The rules
look at who is addressed and what is demanded, not at topics. They are few on purpose, miss what is
told as a plain fact, and would thin out a document about prompt injection.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

PASSAGES = 4096
"""Passages whose sentences have been looked at lately: the rules take longer than a search."""

_MODEL = (
    r"(?:(?:ai|a\.i\.|llm|gpt)(?: \w+)?|(?:virtual )?assistant|chat ?(?:bot|gpt)|bot"
    r"|language model)s?"
)
_SPEECH = r"(?:answer|reply|response|message|output)s?"
_ORDER = r"(?:^\W*|[.:;,!]\s*|\b(?:please|must|should|and|then|now|always|never|not)\s+)"
"""What stands before an imperative: "we reply only on weekdays" is no order."""

_FORGET = (
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,30}\b(?:previous|prior|above|earlier|your|"
    r"other|system|all)\b.{0,25}\b(?:instruction|prompt|rule|direction|command|guideline|context)s?\b",
    r"\b(?:ignore|disregard|forget)\b.{0,12}\b(?:instructions|rules|prompts?|everything|all)\b"
    r".{0,12}\b(?:above|before|so far|you were|you have|you know)\b",
    r"(?:忽略|无视|忘掉|忘记|不要理会|抛开|不必遵守).{0,15}"
    r"(?:指令|指示|规则|提示词|要求|命令|设定|上文|之前)",
)
_ROLE = (
    rf"\byou are (?:now |no longer )?(?:an? |the )?(?:[\w'’]+ ){{0,2}}{_MODEL}\b",
    r"\byou are \w+bot\b",
    r"\byou are (?:now )?in (?:\w+ )?mode\b",
    rf"\b(?:act|behave|pretend|pose) (?:as|like|to be) (?:an? )?(?:\w+ )?{_MODEL}\b",
    r"\b(?:system|hidden|secret|initial) prompt\b",
    r"\byour (?:new|real|only) (?:task|role|instruction)s?\b",
    r"你(?:现在|从现在起)?(?:是|扮演|就是)[^,。]{0,12}(?:助手|机器人|模型|客服|AI)",
    r"你(?:现在|已经?)?(?:处于|进入)[^,。]{0,8}模式",
    r"系统(?:提示词?|消息|指令)\s*[】\])]?\s*:|【系统|系统提示词|你的(?:新任务|新角色|提示词|系统指令)",
)
_ADDRESSED = (
    r"\b(?:note|message|instructions?|attention|reminder) (?:to|for) (?:the |any |all |every )?"
    rf"{_MODEL}\b",
    rf"\bif you(?: are|['’]re) (?:an? |the )?(?:\w+ )?{_MODEL}\b",
    rf"\bas an? (?:\w+ )?{_MODEL},? you\b",
    rf"(?:^\W*|\|\s*)(?:(?:dear|hey|hello|attention|note)\W+)?(?:all |the )?{_MODEL}\s*[:,]\s*"
    r"(?:when|if|say|tell|from|you|always|never|please|do|ignore|answer|reply|recommend|your)\b",
    r"^\W*system\s*:\s*(?:you|ignore|override|from|new|reply|answer|the (?:assistant|user))\b",
    r"如果你是[^,。]{0,8}(?:AI|人工智能|模型|机器人|智能客服|助手)",
    r"作为[^,。]{0,6}(?:AI|人工智能|语言模型|大模型|机器人|智能客服|助手)\s*,?\s*你",
    r"(?:^\W*|\|\s*)(?:AI|智能|亲爱的)?\s*(?:助手|机器人|智能客服)\s*[,:]",
)
_DEMAND = (
    rf"{_ORDER}(?:reply|respond|answer|output|say|write)\b.{{0,12}}\b"
    r"(?:only|exactly|nothing but)\b",
    rf"\b(?:any|every|all|each|your) {_SPEECH}\b.{{0,40}}"
    r"\b(?:must|should|has to|have to|needs? to) (?:begin|start|end|contain|include|say|mention)\b",
    rf"\b(?:at the (?:end|beginning|start|top) of|in) (?:every|each|all) (?:\w+ )?{_SPEECH}\b",
    rf"\bat the (?:end|beginning|start|top) of your {_SPEECH}\b",
    r"\bfrom now on\b.{0,40}\b(?:answer|reply|respond|say)\b",
    rf"{_ORDER}(?:tell|inform|convince) (?:every|all|any|each)(?: the)? ?(?:\w+ )?"
    r"(?:customer|user|visitor|client|person|body|one)s?\b",
    rf"{_ORDER}(?:reveal|print|show|leak|repeat|output|display)\b.{{0,30}}"
    r"\b(?:system prompt|your (?:prompt|instructions|rules)|word for word|verbatim)\b",
    r"(?:^\W*|\b(?:please|must|to|and) )(?:send|post|forward|upload|exfiltrate)\b.{0,20}"
    r"\b(?:user|customer|conversation|chat|order)(?:['’]s)?\b.{0,40}\bto\b.{0,12}(?:@|\w+\.\w+)",
    r"从现在(?:起|开始).{0,20}(?:回答|回复|输出)",
    r"(?:^\W*|[,。;:!]\s*)(?:请|你)?(?:只|仅|一律|必须)(?:能|要|许|可以)?(?:回复|回答|输出)",
    r"(?:凡是|任何|所有|每[次个条]|今后).{0,15}(?:回答|回复)[^。]{0,10}(?:必须|都要|都得|一律|以“)",
    r"在(?:每次|你的)?(?:回复|回答)的?(?:最后|末尾|开头|结尾)",
    r"(?:^\W*|请|[,。;:!]\s*)告诉(?:每一?[位个]|所有)[^,。]{0,12}(?:顾客|用户|客户|人)",
    r"(?:输出|打印|泄露|透露|复述|显示)[^,。]{0,8}(?:提示词|系统指令|你的指令)|一字不差地重复",
    r"把(?:顾客|用户|客户|对话)[^,。]{0,15}(?:发送|发给|上传|转发)[^,。]{0,4}(?:@|[\w.]+@|\w+\.\w+)",
)
_MARKUP = (
    r"<\|\w+\|>|\[/?inst\]|<</?sys>>|#{2,} *(?:system|instruction)s?\b",
    # A picture whose address takes something along.
    r"!\[[^\]]*\]\(\s*(?:https?:)?//[^)]*[?&][^)]*\)",
)
_INJECTED = re.compile(
    "|".join(f"(?:{rule})" for rule in (*_FORGET, *_ROLE, *_ADDRESSED, *_DEMAND, *_MARKUP)),
    re.IGNORECASE,
)
_OPEN = re.compile(r"<\|(?:im_)?start|\[inst\]|<<sys>>", re.IGNORECASE)
_CLOSE = re.compile(r"<\|(?:im_)?end|\[/inst\]|<</sys>>", re.IGNORECASE)


def is_injected(sentence: str) -> bool:
    """Tell whether a sentence orders its reader about as a model."""
    # NFKC makes full-width punctuation ASCII, which is why the rules know no other.
    return bool(_INJECTED.search(unicodedata.normalize("NFKC", sentence)))


def injected(sentences: Sequence[str]) -> list[bool]:
    """Tell it of each sentence of a passage, all inside a chat template's marks included."""
    return list(_injected(tuple(sentences)))


@lru_cache(PASSAGES)
def _injected(sentences: tuple[str, ...]) -> tuple[bool, ...]:
    found: list[bool] = []
    inside = False
    for sentence in sentences:
        found.append(inside or is_injected(sentence))
        inside = (inside or bool(_OPEN.search(sentence))) and not _CLOSE.search(sentence)
    return tuple(found)

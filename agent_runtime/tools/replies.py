"""What is said around a call: asking for approval, giving up; and what a plain yes is. Pure."""

from __future__ import annotations

import re
from typing import Literal

from agent_runtime.domain import ToolCall, ToolSpec
from agent_runtime.text.language import Language
from agent_runtime.tools.rendering import describe_arguments
from agent_runtime.tools.wording import english

LONGEST_VERDICT = 60
"""Characters: a yes or no is short, and whatever says more is something else."""
_YES = """
    yes | yeah | yep | yup | sure | sure thing | ok | okay | okey | do it | do that
    | go ahead | go on | go for it | confirm | confirmed | i confirm | approve | approved
    | i approve | agreed | i agree | i do | correct | right | that's right | sounds good
    | that's fine | that's ok | fine | of course | proceed | absolutely | definitely
    | please do | no problem | y | 是 | 是的 | 好 | 好的 | 好啊 | 好呀 | 好吧 | 好嘞 | 可以
    | 可以的 | 行 | 行吧 | 确认 | 确认执行 | 确定 | 同意 | 我同意 | 批准 | 对 | 对的
    | 没问题 | 嗯 | 嗯嗯 | 继续 | 执行 | 执行吧 | 办吧 | 提交 | 提交吧 | 没错 | 当然
    | 当然可以
"""
_NO = """
    no | nope | nah | don't | do not | don't do it | don't do that | do not do it
    | do not do that | stop | cancel | cancel it | cancel that | never mind | nevermind
    | forget it | forget about it | forget that | not now | rather not | i'd rather not
    | no way | abort | i changed my mind | leave it | deny | denied | reject | rejected
    | not ok | not okay | n | 不 | 不用 | 不用了 | 不要 | 不要了 | 不了 | 不必 | 不必了
    | 不是 | 别 | 算了 | 算了吧 | 取消 | 取消吧 | 停 | 先不 | 先不用 | 不需要 | 不需要了
    | 不行 | 不可以 | 不同意 | 拒绝 | 不确认 | 不好 | 否
"""
_POLITE = """
    please | thanks | thank you | thanks a lot | then | 请 | 谢谢 | 谢谢你 | 谢谢您 | 麻烦了
    | 麻烦你了 | 那就 | 那
"""
_WORDS: list[tuple[str, str]] = sorted(
    (
        (" ".join(phrase.split()), kind)
        for kind, phrases in (("yes", _YES), ("no", _NO), ("polite", _POLITE))
        for phrase in phrases.split("|")
    ),
    key=lambda each: -len(each[0]),
)
_TEXTS: dict[str, dict[Language, str]] = {
    "approve": {
        "en": "I would do the following, if you agree: {0}\n{1}\nShall I go ahead?",
        "zh": "如果您同意，我将执行：{0}\n{1}\n确认执行吗？",
    },
    "dropped": {"en": "All right, I will leave it.", "zh": "好的，那就不办了。"},
    "given up": {
        "en": "I still do not know enough to do that, so I leave it for now. You are welcome to "
        "ask again with the details.",
        "zh": "我还缺少必要的信息，暂时先不办理。您可以带上相关信息再告诉我。",
    },
}


def verdict(message: str) -> Literal["yes", "no"] | None:
    """Return what a message says to a question whether to go ahead, if it says nothing else.

    Of yes and no together the no counts.
    """
    text = re.sub(r"[\s,.!;~，。！；～…]+", " ", message.casefold().replace("’", "'")).strip()
    if not text or len(text) > LONGEST_VERDICT:
        return None
    said: set[str] = set()
    at = 0
    while at < len(text):
        found = next((each for each in _WORDS if _stands_at(text, at, each[0])), None)
        if found is None:
            return None
        said.add(found[1])
        at += len(found[0])
        while at < len(text) and text[at] == " ":
            at += 1
    if "no" in said:
        return "no"
    return "yes" if "yes" in said else None


def _stands_at(text: str, at: int, phrase: str) -> bool:
    end = at + len(phrase)
    whole = not phrase[-1].isascii() or text[end : end + 1] in ("", " ")
    return whole and text.startswith(phrase, at)


def approval(spec: ToolSpec | None, call: ToolCall, language: Language) -> str:
    """Ask whether a call may be made, with all that it would be made with."""
    what = (spec.description if spec else "") or english(call.name)
    listed = describe_arguments(call.arguments, language)
    return _TEXTS["approve"][language].format(what.rstrip(".。"), listed)


def dropped(language: Language) -> str:
    """Say that nothing will be done."""
    return _TEXTS["dropped"][language]


def given_up(language: Language) -> str:
    """Say that too little is known."""
    return _TEXTS["given up"][language]

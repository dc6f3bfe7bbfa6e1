"""What kind of thing a question asks for (money, a duration, a time, …), and what a text holds.

The expected type of an answer is the oldest clue in question answering (Li and Roth, "Learning
question classifiers", COLING 2002). Pure; patterns only, for English and Chinese.
"""

from __future__ import annotations

import re
from itertools import chain

_UNIT = r"(?:second|minute|hour|night|day|week|month|year)s?\b"
_FEW = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|half|several)"
_NUMBER = r"[\d一二两三四五六七八九十百千半]"

_PRECISE = {
    ("money", "share"): r"\b(?:costs?|prices?|fees?|charges?|postage|expensive|pay for)\b"
    r"|\bhow much (?:is|are|for|do you (?:want|ask))\b"
    r"|多少钱|价格|费用|运费|邮费|几块|收费|要钱|收钱|加钱|算钱|怎么算|手续费|押金|赔多少",
    ("duration",): r"\bhow (?:long|quickly|fast|often)\b|\bhow much time\b"
    r"|\bhow many (?:business |working )?(?:days|hours|weeks|months|years|minutes)\b"
    r"|\binterval\b|多久|多长时间|几天|几年|几个月|几小时|多少天|期限|有效期|间隔",
    ("duration", "time"): r"\b(?:when|deadline|until|latest)\b|\bhow (?:soon|late)\b"
    r"|什么时候|何时|最晚|最迟|之内|以内|截止",
    ("time",): r"\b(?:what (?:time|day|date)|date|last day|open|opens|opening|close|closes)\b"
    r"|几点|几号|哪天|日期|营业时间|关门|开门",
    ("contact",): r"\b(?:phone|telephone|number|ring|e-?mail|contact|reach)\b"
    r"|电话|邮箱|号码|联系|找谁|打给|热线|邮件",
    ("weight",): r"\b(?:how (?:heavy|much weight)|weighs?|weight|heaviest)\b|多重|重量|几公斤",
    ("size",): r"\bhow (?:tall|wide|high|big|large|far|deep)\b|\bsize\b|多高|多宽|多远|尺寸",
    ("temperature",): r"\b(?:how hot|temperature|degrees)\b|多少度|温度",
}
"""Kinds of amount, any of which will do, and how a question asks for just these."""
_OPEN = {
    ("money", "share", "count"): r"\bhow much\b|多少",
    ("share",): r"\b(?:percent|per cent|percentage|discount|share|rate)\b|%"
    r"|几折|百分|折扣|费率|利率",
    ("count",): r"\bhow (?:many|old)\b|\b(?:maximum|minimum|max|min|most|age|limit)\b"
    r"|几|最多|最少|至少|最低|最高|上限|多大|次数",
}
"""The same for words that leave it open; they count where none of the others stands."""
_HELD = {
    "money": r"\bCNY ?\d|\d ?(?:yuan|euro|dollars?|USD|EUR)\b|[$€£¥]|\bfree\b"
    rf"|\b(?:no|without) (?:fee|charge)|{_NUMBER} ?(?:元|块|万元)|免费|不收费|不收",
    "duration": rf"\b(?:\d+|{_FEW})(?: (?:business|working|full))?[ -]{_UNIT}"
    r"|\b(?:once|twice|daily|weekly|immediately|at once|same day|next business day)\b"
    rf"|{_NUMBER} ?(?:秒|分钟|个?小时|天|晚|周|个?星期|个?月|年|个工作日)"
    r"|当天|立即|马上|每[天周月年]",
    "time": r"\d{1,2}:\d\d|\b(?:January|February|March|April|May|June|July|August|September)\b"
    r"|\b(?:October|November|December|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|weekends?)\b"
    rf"|{_NUMBER} ?[日号]|[周星期][一二三四五六日天末]|{_NUMBER} ?月|除夕|节假日",
    "share": rf"\d ?%|\bpercent\b|\bhalf\b|{_NUMBER} ?折|一半",
    "count": rf"\d|\b(?:{_FEW}|once|twice|no limit|unlimited)\b"
    rf"|{_NUMBER} ?[次张个件台层本种只杯]|不限",
    "contact": r"@|\d{3}[- ]\d{3,4}|\+\d{2}",
    "weight": r"\d ?(?:kg|g|kilo(?:gram)?s?)\b|\d ?(?:公斤|千克|克)",
    "size": r"\d ?(?:[cmk]?m|met(?:re|er)s?|inch(?:es)?)\b|\d ?[厘毫]?米",
    "temperature": r"\d ?°",
}
_WHO = re.compile(r"^\W*who\b|谁(?:付|出|来|承担|负责)", re.IGNORECASE)
"""It asks for a person, whatever it says of money and time."""
_HOLDS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _HELD.items()}


def asked(question: str) -> frozenset[str]:
    """Return the kinds of amount that a question could want; none: it wants something else."""
    if _WHO.search(question):
        return frozenset()
    for table in (_PRECISE, _OPEN):
        found = (kinds for kinds, pattern in table.items() if re.search(pattern, question, re.I))
        if kinds := frozenset(chain.from_iterable(found)):
            return kinds
    return frozenset()


def held(sentence: str) -> frozenset[str]:
    """Return the kinds of amount that a sentence holds."""
    return frozenset(kind for kind, pattern in _HOLDS.items() if pattern.search(sentence))

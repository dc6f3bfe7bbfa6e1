"""What kind of thing a question asks for (money, a duration, a time, …), and what a text holds.

The expected type of an answer is the oldest clue in question answering (Li and Roth, "Learning
question classifiers", COLING 2002). Pure; patterns only, for English and Chinese.
"""

from __future__ import annotations

import re

_UNIT = r"(?:second|minute|hour|night|day|week|month|year)s?\b"
_FEW = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|half|several)"
_NUMBER = r"[\d一二两三四五六七八九十百千半]"

_ASKED = {
    "money": r"\bhow much\b(?! time)"
    r"|\b(?:costs?|prices?|fees?|charges?|postage|expensive|pay for)\b"
    r"|多少钱|价格|费用|运费|邮费|几块|收费|要钱|收钱|加钱|算钱|怎么算|便宜|手续费|押金|赔多少",
    "duration": r"\bhow (?:long|soon|late|quickly|fast|often|old)\b"
    r"|\bhow many (?:business |working )?(?:days|hours|weeks|months|years|minutes)\b"
    r"|\b(?:when|deadline|until|latest|interval)\b"
    r"|多久|多长|几天|几年|几个月|几小时|多少天|什么时候|何时|最晚|最迟|之内|以内|期限|有效期|间隔",
    "time": r"\b(?:when|what (?:time|day|date)|date|last day|until)\b"
    r"|\b(?:open|opens|opening|close|closes)\b"
    r"|几点|什么时候|何时|几号|哪天|日期|截止|最晚|最迟|营业时间|关门|开门",
    "share": r"\b(?:percent|per cent|percentage|discount|share|rate|how much)\b|%"
    r"|几折|百分|折扣|便宜多少|费率|利率|手续费|多少",
    "count": r"\bhow (?:many|much|often|big|heavy|large|hot|old|high|far|tall)\b"
    r"|\b(?:number|maximum|minimum|max|min|most|heaviest|age|temperature|limit)\b"
    r"|几|多少|最多|最少|至少|最低|最高|上限|多重|多大|多高|多远|次数",
    "contact": r"\b(?:phone|telephone|number|ring|e-?mail|contact|reach)\b"
    r"|电话|邮箱|号码|联系|找谁|打给|热线|邮件",
}
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
}
_ASKED_FOR = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _ASKED.items()}
_HOLDS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _HELD.items()}


def asked(question: str) -> frozenset[str]:
    """Return the kinds of amount that a question could want; none: it wants something else."""
    return frozenset(kind for kind, pattern in _ASKED_FOR.items() if pattern.search(question))


def held(sentence: str) -> frozenset[str]:
    """Return the kinds of amount that a sentence holds."""
    return frozenset(kind for kind, pattern in _HOLDS.items() if pattern.search(sentence))

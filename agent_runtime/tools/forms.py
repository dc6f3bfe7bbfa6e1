"""Whether a message asks how things are in general, is about something of the user's own, or wants
something done. Pure rules for English and Chinese.

"How do I track an order?" has all the words of a request for a tool, and a document answers it. Its
form tells the two apart better than any likeness of words.
"""

from __future__ import annotations

import re
from typing import Literal

LONGEST = 1000
"""Characters of a message that are looked at: a request is short, and expressions take longer the
more there is."""
Family = Literal["see", "make", "undo", "change", "buy"]
"""What a tool does, by the verb in its name or in a request."""


def _any(*forms: str) -> re.Pattern[str]:
    return re.compile("|".join(forms), re.IGNORECASE)


_GENERAL = _any(
    r"\bhow (?:do|does|did|can|could|should|old|big|high|heavy|large|to|late|often)\b",
    r"\b(?:who|what|which \w+) (?:can|may|must|should|pays?|gets?|does|do)\b",
    r"\b(?:can|may|could|should|must|do|am|shall|will|would) (?:i|we|one)\b",
    r"\b(?:can|may|could|should|must) my\b",
    r"\bdo you (?!know|see)",
    r"\bis it (?:possible|ok|okay|true|free|allowed|safe|included|covered)\b",
    r"\b(?:until when|what happens|what if|what kind|why do|what now)\b",
    r"\b(?:allowed|possible|policy|rules?|means?|meaning|covered|cost)\b",
    r"\b(?:can|could|will|would) you (?:ship|deliver|repair|sell|match|recommend)\b",
    r"怎么(?!还|没)|如何|怎样|多少|多大|多高|多重|几(?:个|次|点|折|张|号)",
    r"能不能|可不可以|能否|可否|是否|是不是|要不要|用不用|会不会|有没有|算不算|能不|要吗|收不收",
    r"一般|通常|哪些|哪种|哪款|什么(?:是|意思|条件|东西|证件|药)|为什么|需要什么|要什么|规定|政策",
    r"最(?:多|少|高|低|晚)|还能|也能|可以.*(?:吗|么|嘛)|要.{0,8}(?:吗|么|嘛)",
)
_TIME = _any(r"\bhow (?:long|much|many|quickly|fast|soon|far)\b", "多久|多长|几(?:天|年|小时|分钟)")
_SOFT = _any(
    r"\bwhat(?:'s| is| are)\b|\bthere (?:a|an|any)\b|\b(?:does|do) (?:a|an|the|it|your|they)\b",
    r"\bwhen (?:do|does|is|are|will) (?:the|a|an|you|your)\b",
    r"\b(?:is|are|was|were) (?:the|a|an|your)\b",
    r"(?:吗|么|嘛)\W*$|什么|哪里|哪儿|谁|能.{0,12}(?:吗|么|嘛)",
)
_OWN = _any(
    r"\b(?:my|our)\b(?! (?:name|own)\b)",
    r"\bi(?:'ve| have)? (?:just )?(?:ordered|bought|purchased|placed)\b",
    r"我的|我们的|我.{0,6}(?:买|订|下|定|拍)的|我这(?:个|单|张|件)|我那",
)
_ASKS = _any(
    r"[?？]\s*$",
    r"^\W*(?:where|when|what|which|who|why|how|has|have|is|are|was|did|does|do|will|any)\b",
    r"(?:吗|么|嘛|呢|没有|了没)\W*$|哪|什么时候|怎么|为什么|还没",
    r"\b(?:still|yet|haven't|hasn't|should have)\b",
)
_REQUEST = _any(
    r"\b(?:please|pls|kindly)\b",
    r"\b(?:can|could|would|will) you\b",
    r"\bi(?:'d| would)? (?:like|want|need|wish) (?:to|you|someone|somebody|an?)\b",
    r"\b(?:for|give|tell|send|show|let) me\b",
    r"^\W*(?:create|open|file|raise|submit|make|log|track|check|show|look|find|cancel|report|add"
    r"|get|update|start|book|delete|remove|change)\b",
    r"帮我|帮忙|给我|替我|麻烦|劳驾|请(?!问)|我(?:要|想|需要)(?!知道|问|请问)",
    r"查一下|查下|查查|查询一下|看一下|看下|看看",
    r"^\W*(?:查|创建|新建|建|开|提交|取消|投诉|看看)",
)
_HELP = _any(
    r"(?:能不能|可不可以|能否|可否|能|可以)(?:请)?(?:帮|给|替|为)我",
    r"\b(?:can|could|may) i (?:see|check|know|find out|get an update)\b",
    r"\bwhen (?:can|should|may) i expect\b",
)
_OBJECTS: dict[str, re.Pattern[str]] = {
    "account": _any(r"\baccounts?\b", "账户|账号|帐号"),
    "address": _any(r"\baddress(?:es)?\b", "地址"),
    "appointment": _any(r"\bappointments?\b|\bbookings?\b", "预约"),
    "complaint": _any(r"\bcomplaints?\b", "投诉"),
    "coupon": _any(
        r"\bcoupons?\b|\bvouchers?\b|\bgift cards?\b|\bdiscounts?\b", "优惠券|礼品卡|折扣"
    ),
    "invoice": _any(r"\binvoices?\b|\breceipts?\b|\bbills?\b", "发票|账单|收据"),
    "membership": _any(r"\bmembership\b", "会员"),
    "password": _any(r"\bpasswords?\b|\blog-?in\b", "密码|登录"),
    "payment": _any(r"\bpayments?\b", "付款|支付"),
    "points": _any(r"\bpoints\b", "积分"),
    "price": _any(r"\bprices?\b|\bfees?\b", "价格|运费|费用"),
    "refund": _any(r"\brefunds?\b|\bmoney back\b", "退款"),
    "return": _any(r"\breturns?\b", "退货|换货"),
    "subscription": _any(r"\bsubscriptions?\b", "订阅"),
    "ticket": _any(r"\btickets?\b", "工单"),
    "warranty": _any(r"\bwarrant(?:y|ies)\b", "保修|质保"),
}
"""What people ask services about: a tool that says nothing of it does not know of it."""
_FAMILIES: dict[Family, re.Pattern[str]] = {
    "see": _any(
        r"\b(?:get|list|find|search|show|check|track|look|see|read|fetch|query|lookup|where|when"
        r"|status|update on)\b",
        "查|看|查询|跟踪|追踪|到哪|在哪|什么时候",
    ),
    "make": _any(
        r"\b(?:create|open|file|raise|submit|make|log|add|start|book|report|complain|complaint"
        r"|place|request)\b",
        "创建|新建|建|开|提交|提个|提一个|投诉|反映|登记|预约|反馈|联系客服",
    ),
    "undo": _any(
        r"\b(?:cancel|delete|remove|undo|stop|revoke|refund|return)\b", "取消|删除|撤销|退"
    ),
    "buy": _any(r"\b(?:to|please) (?:order|buy|purchase)\b", "购买|想买|要买|下单买"),
    "change": _any(r"\b(?:change|set|edit|modify|rename|move|reschedule)\b", "修改|更改|改"),
}


def general(message: str, identified: bool) -> bool:
    """Tell whether a message asks how things are for everybody, rather than in one case.

    `identified`: it names the case, for instance by an order number.
    """
    text = _HELP.sub(" ", message[:LONGEST])
    if _GENERAL.search(text):
        return True
    if identified:
        return False
    return bool(_TIME.search(text)) or (bool(_SOFT.search(text)) and not own(message))


def own(message: str) -> bool:
    """Tell whether a message is about something of the user's own."""
    return bool(_OWN.search(message[:LONGEST]))


def asks(message: str) -> bool:
    """Tell whether a message asks something, or says that something is still awaited."""
    return bool(_ASKS.search(message[:LONGEST]))


def request(message: str) -> bool:
    """Tell whether a message wants something done."""
    return bool(_REQUEST.search(message[:LONGEST]))


def objects(text: str) -> set[str]:
    """Return which of the usual objects of a service a text is about."""
    return {name for name, form in _OBJECTS.items() if form.search(text[:LONGEST])}


def families(text: str) -> set[Family]:
    """Return what a message, or the first word of a tool's name, is about doing."""
    return {family for family, form in _FAMILIES.items() if form.search(text[:LONGEST])}

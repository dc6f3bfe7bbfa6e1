"""What people call the things that arguments and results are named after. Pure."""

from __future__ import annotations

import re

CHINESE: dict[str, tuple[str, ...]] = {
    "account": ("账户", "账号", "帐号"),
    "address": ("地址",),
    "amount": ("金额",),
    "carrier": ("承运商", "快递公司"),
    "city": ("城市",),
    "code": ("代码", "编码", "码"),
    "count": ("数量",),
    "created": ("创建时间",),
    "customer": ("客户",),
    "date": ("日期",),
    "description": ("具体情况", "描述", "说明"),
    "details": ("具体情况", "详情"),
    "email": ("电子邮箱", "邮箱", "邮件"),
    "eta": ("预计送达",),
    "id": ("编号",),
    "invoice": ("发票",),
    "item": ("商品",),
    "items": ("商品",),
    "message": ("消息", "留言"),
    "name": ("名称", "姓名"),
    "number": ("号码", "编号"),
    "order": ("订单",),
    "orders": ("订单",),
    "phone": ("电话", "手机号", "手机"),
    "placed": ("下单日期",),
    "price": ("价格",),
    "priority": ("优先级", "紧急程度"),
    "product": ("商品", "产品"),
    "quantity": ("数量",),
    "reason": ("原因",),
    "reference": ("参考号",),
    "status": ("状态",),
    "subject": ("主题", "标题"),
    "ticket": ("工单",),
    "time": ("时间",),
    "title": ("标题",),
    "total": ("总计", "总额"),
    "tracking": ("快递单号", "运单", "物流单"),
    "type": ("类型",),
    "user": ("用户",),
}
"""Chinese for the words that names are made of, the usual one first."""

_VALUES = {
    "received": "已接单",
    "paid": "已付款",
    "in production": "生产中",
    "packed": "已打包",
    "dispatched": "已发货",
    "shipped": "已发货",
    "out for delivery": "派送中",
    "in transit": "运输中",
    "delivered": "已送达",
    "cancelled": "已取消",
    "canceled": "已取消",
    "pending": "待处理",
    "processing": "处理中",
    "open": "处理中",
    "closed": "已关闭",
    "done": "已完成",
    "low": "低",
    "normal": "普通",
    "medium": "中",
    "high": "高",
    "urgent": "紧急",
    "true": "是",
    "false": "否",
}
"""Chinese for what fields such as a status often say."""
_WHOLE = {
    "customer_email": "您的电子邮箱",
    "placed_on": "下单日期",
    "created_at": "创建时间",
    "tracking_number": "快递单号",
}
IDENTIFIERS = ("id", "no", "nr", "number", "code", "key", "ref", "reference", "sku")


def words_of(name: str) -> list[str]:
    """Return the words of a name: `orderId`, `order_id` and `order-id` are `order id`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.split(r"[\W_]+", apart) if word]


def english(name: str) -> str:
    """Return what a name is called in English: `order_id` is `order number`."""
    words = ["number" if word in ("id", "no", "nr") else word for word in words_of(name)]
    return " ".join(words).replace("email", "e-mail") or name


def chinese(name: str) -> str | None:
    """Return what a name is called in Chinese, or None for a word that is not known."""
    if name in _WHOLE:
        return _WHOLE[name]
    words = words_of(name)
    if len(words) > 1 and words[-1] in IDENTIFIERS:
        known = chinese("_".join(words[:-1]))
        return f"{known}号" if known and not known.endswith("号") else known
    parts = [CHINESE[word][0] for word in words if word in CHINESE]
    return "".join(parts) if words and len(parts) == len(words) else None


def value_in_chinese(value: str) -> str:
    """Return a word such as a status in Chinese where it is known, else as it is."""
    return _VALUES.get(value.replace("_", " ").lower(), value)


def keywords(name: str) -> tuple[str, ...]:
    """Return what may stand beside a value of this name, lower-case: its words, and Chinese."""
    telling = [word for word in words_of(name) if word not in IDENTIFIERS]
    return tuple(each for word in telling for each in (word, *CHINESE.get(word, ())))

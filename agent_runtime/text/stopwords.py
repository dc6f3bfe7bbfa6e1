"""Words that say nothing about what a question is after: function words and forms of asking.

Short on purpose: a word that could be the point of a question ("before", "not", "without",
"free") stays a term; its inverse document frequency weighs it.
"""

from __future__ import annotations


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


ENGLISH = _words("""
    a about am an and any anybody anyone anything are aren as at be been being but by can could
    couldn d did didn do does doesn doing don each else ever few for from get gets getting give go
    goes got had happen happens has have having he hello her here hers hey hi him his how i if in
    into is isn it its itself just kindly know let like ll m many may me might mine much must my
    myself of on one or our ours out please re s shall she should shouldn show so some somebody
    someone something such t tell than thank thanks that the their theirs them then there these
    they thing things this those to too us ve very want was we were what whatever when where
    whether which while who whom whose why will with won would you your yours yourself
""")

CHINESE = _words("""
    的 了 吗 呢 吧 啊 呀 嘛 着 过 地 得 是 有 在 和 与 及 或 或者 以及 并 并且 而 而且 但 但是
    就 都 也 还 又 再 很 太 更 最 把 被 让 给 对 对于 关于 从 到 向 由 于 以 为 为了 因为 所以
    如果 那么 那 这 这个 那个 这些 那些 我 你 您 他 她 它 我们 你们 他们 她们 它们 咱们 自己 贵
    本 谁 什么 甚么 哪 哪个 哪些 哪里 哪儿 怎么 怎样 怎么样 如何 为什么 为何 多少 几 几个 能
    能否 能不能 可以 可不可以 可否 会 会不会 是否 是不是 有没有 要 想 想要 应该 应 该 请 请问 问
    一下 告诉 知道 谢谢 你好 您好 么 个 些 一 一个 一些 时 时候 里 上 下 中 等 之 其 所 将
""")

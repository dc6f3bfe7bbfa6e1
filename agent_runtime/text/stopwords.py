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
    whats wheres whos hows dont doesnt cant im ive id ill youre thats theres
""")

CHINESE = _words("""
    的 了 吗 呢 吧 啊 呀 嘛 着 过 地 得 是 有 在 和 与 及 或 或者 以及 并 并且 而 而且 但 但是
    就 都 也 还 又 再 很 太 更 最 把 被 让 给 对 对于 关于 从 到 向 由 于 以 为 为了 因为 所以
    如果 那么 那 这 这个 那个 这些 那些 我 你 您 他 她 它 我们 你们 他们 她们 它们 咱们 自己 贵
    本 来 去 的话 上去 下来 起来 出来 多久 多长 谁 什么 甚么 哪 哪个 哪些 哪里 哪儿 怎么 怎样
    怎么样 如何 为什么 为何 多少 几 几个 能
    能否 能不能 可以 可不可以 可否 会 会不会 是否 是不是 有没有 要 想 想要 应该 应 该 请 请问 问
    一下 告诉 知道 谢谢 你好 您好 么 个 些 一 一个 一些 时 时候 里 上 下 中 等 之 其 所 将
""")

HOW = _words("long many much often far old big large heavy soon late early fast")
"""What follows "how" in a question, and says there of what kind the answer is."""

LIGHT = _words("""
    above across after again against ago almost already also although always among another anymore
    anyway apart around away because before behind below beside besides between beyond bit both
    case certain certainly come currently different down during either enough especially even
    eventually exactly except far fine first five following four further generally good great
    half however idea immediate immediately instead kind lately later least less likely long longer
    look lot make maybe mean meantime meanwhile meaning more most near nearly need never new next
    nice nine no none normally not nothing now off often ok okay old once only onto otherwise over
    perhaps place please plus possible possibly probably put quick quickly quite rather really
    recently right same say second see seem seven several simply since six soon sort still sure
    take ten than thing third though three through till time tip today tomorrow tonight toward
    try twice two under unless until up use usual usually way well whats without wonder work
    worry wrong yes yesterday yet
""")
"""Words of which a question's point hangs little, though they can matter: they weigh less."""

CHINESE_LIGHT = _words("""
    东西 还要 还是 还 回去 回来 一直 咋办 咋 怎么办 好 行 不去 不 没 没有 老是 总是 放着 已经 刚
    刚刚 马上 现在 今天 明天 昨天 后天 下周 上周 这周 下个月 上个月 以后 以前 之前 之后 后来 然后
    一共 总共 一般 通常 大概 大约 左右 以内 之内 以上 以下 里面 外面 那边 这边 这样 那样 另外 其他
    别的 几次 好几次 次 天 号 几号 几天 多个 需要 用 做 弄 搞 拿 看 说 叫 算 行不行 好不好 附近
    情况 问题 时间 地方 方式 办法 意思 什么样
""")
"""The same in Chinese, beside what its part of speech makes light."""

"""Which questions are the same, and which only look alike."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent_runtime.cache.normal import normal
from agent_runtime.cache.same import same

SAME = [
    ("How long does a refund take?", "Could you please tell me how long a refund takes?"),
    ("How long does a refund take?", "how long does the refund take"),
    ("Where is my order?", "Hi, could you tell me where my order is? Thanks!"),
    ("Where is my order?", "Where's my order, please?"),
    ("Do you ship to Austria?", "I'd like to know if you ship to Austria."),
    ("Do you ship to Austria?", "Please, do you ship to Austria?"),
    ("How can I return a lamp?", "Can you tell me how I can return a lamp?"),
    ("What's the warranty on lamps?", "What is the warranty on a lamp"),
    ("Why can't I cancel?", "Do you know why I can not cancel?") ,
    ("Explain the return policy", "Could you please explain the return policy?"),
    ("When does the shop open?", "I was wondering when the shop opens"),
    ("退款多久到账？", "请问退款多久到账呢？"),
    ("退款多久到账？", "你好，我想知道退款多久到账，谢谢"),
    ("我的订单在哪里？", "您好，麻烦您告诉我一下我的订单在哪里"),
    ("能开发票吗？", "请问，能开发票吗"),
    ("iPhone 15 保修多久？", "请问ｉＰｈｏｎｅ 15保修多久"),
    ("你们的地址是什么", "请告诉我您们的地址是什么"),
]  # fmt: skip

DIFFERENT = [
    ("Who does Alice report to?", "Who reports to Alice?"),
    ("Who manages Bob?", "Who does Bob manage?"),
    ("Who is Alice's manager?", "Who is Alice manager of?"),
    ("Do you ship from Vienna to Berlin?", "Do you ship from Berlin to Vienna?"),
    ("Is it open before noon?", "Is it open after noon?"),
    ("Do you ship with insurance?", "Do you ship without insurance?"),
    ("Can I return a lamp?", "Can't I return a lamp?"),
    ("Can I return a lamp?", "Can I not return a lamp?"),
    ("Can I return a lamp?", "Must I return a lamp?"),
    ("Can I return a lamp?", "Can you return a lamp?"),
    ("What is my limit?", "What is your limit?"),
    ("When was it sent?", "When is it sent?"),
    ("How do I return a lamp?", "Why do I return a lamp?"),
    ("How much is a lamp?", "How many lamps?"),
    ("How long is a lamp?", "How much is a lamp?"),
    ("What is cheaper, the lamp or the chair?", "What is cheapest, the lamp or the chair?"),
    ("Is a lamp cheaper than a chair?", "Is a chair cheaper than a lamp?"),
    ("Is the fee 5%?", "Is the fee 5?"),
    ("Is the fee $5?", "Is the fee €5?"),
    ("Does it stand -5 degrees?", "Does it stand 5 degrees?"),
    ("Is .5 mg safe?", "Is 5 mg safe?"),
    ("Is 1.5 l enough?", "Is 15 l enough?"),
    ("What is 10² of it?", "What is 102 of it?"),
    ("What fits 5\"?", "What fits 5'?"),
    ("What does the shop charge?", "What is the shop charge?"),
    ("Is the customer charging?", "Is the customer charged?"),
    ("Is this import allowed?", "Is this important allowed?"),
    ("Who is the employer?", "Who is the employee?"),
    ("Does it run on Windows?", "Does it run on a window?"),
    ("Is https supported?", "Is http supported?"),
    ("Does it take custom fees?", "Does it take customs fees?"),
    ("Does it support C++?", "Does it support C#?"),
    ("Do you ship to the US?", "Do you ship to us?"),
    ("Do a few lamps break?", "Do few lamps break?"),
    ("Where is order A-17?", "Where is order A-71?"),
    ("How do I please customers?", "How do I customers?"),
    ("Preço do carro a Madrid", "Preço carro Madrid"),
    ("从北京到上海多少钱？", "从上海到北京多少钱？"),
    ("小明的老师是谁？", "小明老师是谁？"),
    ("小明把小红打了吗？", "小明被小红打了吗？"),
    ("可以退款吗？", "不可以退款吗？"),
    ("退款多久到账？", "退款什么时候到账？"),
    ("退款要3天吗？", "退款要5天吗？"),
    ("谁能告诉我密码？", "密码？"),
    ("请假流程是什么？", "假流程是什么？"),
    ("附近有酒吧？", "附近有酒？"),
    ("你们有毛呢？", "你们有毛？"),
    ("What is a refund?", "什么是退款？"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_other_words_for_asking(one: str, other: str) -> None:
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_questions(one: str, other: str) -> None:
    assert not same(one, other)
    assert not same(other, one)


@pytest.mark.parametrize("text", ["", "?", "please", "Could you tell me?", "你好", "谢谢"])
def test_a_question_that_asks_nothing_is_the_same_as_none(text: str) -> None:
    assert not same(text, "") or text == "please"


def words_of(text: str) -> list[str]:
    return text.split()


NOUNS = words_of("""
    lamp chair order refund invoice warranty account customer seller manager shop parcel
    card password address voucher table desk sofa mattress
""")
NAMES = words_of("""
    Alice Bob Carol Vienna Berlin Zürich Windows May Will US James Paris Chris
""")
VERBS = words_of("""
    return send cancel pay replace rate sell bring track ship move change
""")
RELATIONS = words_of("""
    from to before after with without for by of instead than over under
""")
NUMBERS = ["2", "3", "14", "30", "1.5", "2024", "-5", "5%", "A-17", "IPX4"]
noun, verb = st.sampled_from(NOUNS), st.sampled_from(VERBS)
OPENINGS = [
    "How do I",
    "Where can I",
    "When does the",
    "Why must I",
    "Who may",
    "How long does the",
]
POLITE = [
    "Could you please tell me {}", "Please tell me {}", "I would like to know {}",
    "Do you know {}", "Hello, can you tell me {}", "May I ask {}", "{}, please", "{} Thanks!",
]  # fmt: skip


@st.composite
def questions(draw: st.DrawFn) -> list[str]:
    """The words of a question, each with a place where order matters."""
    middle = [draw(verb), draw(noun), draw(st.sampled_from(RELATIONS)), draw(noun)]
    more = [draw(st.sampled_from(RELATIONS)), draw(st.sampled_from(NAMES + NUMBERS))]
    return [*draw(st.sampled_from(OPENINGS)).split(), *middle, *draw(st.sampled_from([[], more]))]


def text(words: list[str], end: str = "?") -> str:
    return " ".join(words) + end


def content(words: list[str]) -> list[int]:
    known = {*NOUNS, *VERBS, *RELATIONS, *NAMES, *NUMBERS}
    return [at for at, word in enumerate(words) if word in known]


@given(questions(), st.data())
def test_words_that_change_places_ask_something_else(words: list[str], data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(content(words)))
    other = data.draw(st.sampled_from(content(words)))
    assume(words[one] != words[other])
    swapped = list(words)
    swapped[one], swapped[other] = words[other], words[one]
    assert not same(text(words), text(swapped))


@given(questions(), st.sampled_from(["not", "never", "no", "without"]), st.data())
def test_a_negation_asks_something_else(words: list[str], no: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(words)))
    assert not same(text(words), text([*words[:at], no, *words[at:]]))


@given(questions(), st.sampled_from(NOUNS + NAMES + NUMBERS + VERBS + RELATIONS), st.data())
def test_another_word_asks_something_else(words: list[str], new: str, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(content(words)))
    assume(new != words[at])
    assert not same(text(words), text([*words[:at], new, *words[at + 1 :]]))


@given(questions(), st.data())
def test_a_word_less_asks_something_else(words: list[str], data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(content(words)))
    assert not same(text(words), text([*words[:at], *words[at + 1 :]]))


@given(questions(), st.sampled_from(POLITE))
def test_politeness_asks_the_same(words: list[str], polite: str) -> None:
    lower = [words[0].lower(), *words[1:]]
    assert same(text(words), polite.format(text(lower)))


HAN = "退款发票订单保修地址客户经理北京上海快递密码不没从到给把被谁何时哪里多久少"


@given(st.lists(st.sampled_from(HAN), min_size=4, max_size=14), st.data())
def test_chinese_characters_that_change_places(marks: list[str], data: st.DataObject) -> None:
    one, other = data.draw(st.tuples(*[st.integers(0, len(marks) - 1)] * 2))
    assume(marks[one] != marks[other])
    swapped = list(marks)
    swapped[one], swapped[other] = marks[other], marks[one]
    assert not same("".join(marks), "".join(swapped))


@given(st.lists(st.sampled_from(HAN), min_size=4, max_size=14))
def test_chinese_politeness(marks: list[str]) -> None:
    asked = "".join(marks)
    for polite in (
        "请问{}？",
        "你好，请问{}呢",
        "我想知道{}",
        "麻烦您告诉我{}，谢谢",
        "您能告诉我{}吗",
    ):
        assert same(asked, polite.format(asked))


@given(st.text(max_size=80))
def test_any_text_at_all(text: str) -> None:
    assert same(text, text) or not same(text, text + " lamp")
    normal(text)


@given(st.text(max_size=80))
def test_what_is_normal_stays_so(text: str) -> None:
    assert normal(normal(text)) == normal(text)


@pytest.mark.timeout(60)
def test_end_marks_without_an_end_cost_no_more_than_other_characters() -> None:
    dots = "." * 300_000
    assert normal(f"{dots}b{dots}") == f"{dots}b"


def test_what_exact_does_not_see() -> None:
    assert normal("  Where  IS my\norder ?! ") == normal("where is my order")
    assert normal("ＷＨＥＲＥ？") == "where"
    assert normal("退款多久到账？") == normal("退款多久到账")
    assert normal("???") == "???"
    for one, other in [
        ("10²", "102"),
        ("A-1", "A1"),
        ("is 5%", "is 5"),
        ("a b", "ab"),
        ("the x", "x"),
    ]:
        assert normal(one) != normal(other)

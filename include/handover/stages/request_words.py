"""What a letter to a person says, in both languages."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from handover.model.policy import Text
from handover.model.registered import RegisteredSource
from handover.model.request import PersonRequest

NOBODY = Text(
    zh="按您提供的信息，我们在各业务系统中未查到您的客户记录。",
    en="By what you told us we found no record of you as a customer in our systems.",
)
COPY = Text(
    zh="随信附上您的个人信息副本：供阅读的网页、供机器读取的 JSON 以及每张表的 CSV。"
    "其中能识别的他人信息已遮盖；自由文本中的他人姓名无法自动识别。",
    en="A copy of your personal information is enclosed: this page to read, JSON and a CSV for each table "
    "for programs. What is known to name other people is left out; their names in free text are not found.",
)
NO_COPY = Text(zh="没有找到与您有关的记录。", en="No rows about you were found.")
MENTIONS = Text(
    zh="标明“提及您的记录”的是其他记录中写有您号码的行，仅给出写有您信息的部分。",
    en="“Rows that name you” are rows elsewhere with a number of yours; only what names you is given.",
)
ERASURE = Text(
    zh="下表逐类说明哪些数据已删除、哪些依法保留及理由。保留期间除存储和必要的安全保护外，不作其他处理。",
    en="The table says of each kind of data whether it was erased, or is kept and why. What is kept is "
    "stored and protected, and not used otherwise (PIPL 47).",
)
REMEDY = Text(
    zh="您对本答复有异议的，可向我们提出，或依法向人民法院提起诉讼、向履行个人信息保护职责的部门投诉。",
    en="If you disagree you can tell us, bring a suit before the people's court, or complain to the "
    "authority for the protection of personal information (PIPL 50, 65).",
)


def said(
    one: PersonRequest,
    sources: Sequence[RegisteredSource],
    found: bool,
    elsewhere: Collection[str] = (),
) -> list[Text]:
    """Return the paragraphs of an answer; ``found``: whether rows are enclosed.

    ``elsewhere``: the sources with rows that name the person and are not reached.
    """
    paragraphs = [] if one.subjects else [NOBODY]
    if one.kind in ("access", "portability"):
        paragraphs.append(COPY if found else NO_COPY)
        paragraphs += [MENTIONS] if found and one.kind == "access" else []
    elif one.kind == "erasure":
        paragraphs += [ERASURE] if one.subjects else []
    elif one.kind != "correction":
        paragraphs.append(_recorded(one, sources))
    if elsewhere:
        paragraphs.append(_elsewhere([each for each in sources if each.source in elsewhere]))
    return [*paragraphs, REMEDY]


def _offices(sources: Sequence[RegisteredSource]) -> str:
    return "、".join(dict.fromkeys(each.office for each in sources))


def _elsewhere(sources: Sequence[RegisteredSource]) -> Text:
    offices = _offices(sources)
    return Text(
        zh="“提及您的其他记录”列出不在您名下、但写有您的号码或您的姓名连同生日或住址的记录。"
        f"上述处理不涉及这些记录，它们未被删除；已列入负责部门的待办，由其决定：{offices}。",
        en="“Other rows that name you” counts rows that are not kept under your name, but have a number of "
        "yours, or your name with birthday or address. What was done does not reach them: they are not "
        f"erased. They are on the list of the office in charge, which decides about them: {offices}.",
    )


def correction(office: str, on: str, refused: str) -> Text:
    """Return what an office made of a correction; ``refused``: why it did not do it."""
    if refused:
        return Text(
            zh=f"{office}已于 {on} 处理您的更正请求，未予更正，理由：{refused}。",
            en=f"{office} decided on {on} not to correct your data as you asked, because: {refused}.",
        )
    return Text(
        zh=f"{office}已于 {on} 登记完成您请求的更正。",
        en=f"{office} corrected your data as you asked; this was recorded on {on}.",
    )


def _recorded(one: PersonRequest, sources: Sequence[RegisteredSource]) -> Text:
    offices = _offices(sources)
    if one.late:
        return Text(
            zh=f"您的请求已登记，并由负责部门处理：{offices}。在此之前已有数据删除开始或完成，您的部分数据"
            "可能已不存在；尚存的数据在处理期间不会被删除。",
            en=f"Your request was recorded and is with the office in charge: {offices}. Before that an "
            "erasure had begun, or was done, so that some of your data may be gone; what is left is not "
            "erased until the request is settled.",
        )
    return Text(
        zh=f"您的请求已登记，并由负责部门处理：{offices}。处理期间，您的数据不会被删除。",
        en=f"Your request was recorded and is with the office in charge: {offices}. Until it is settled none "
        "of your data is erased.",
    )


def limits(not_searched: Sequence[tuple[str, str]]) -> list[Text]:
    """Return what the search for a person cannot see."""
    found = [
        Text(
            zh="写在压缩文件、图片中或经编码的内容无法按值查找，仅含姓名而无其他信息的文字亦未计入；"
            "自由文本中的他人姓名无法自动识别。",
            en="What is written inside compressed files or pictures, or encoded, cannot be found by value; "
            "texts with a name alone were not counted either. "
            "Names of other people in free text are not found.",
        )
    ]
    if not_searched:
        named = ", ".join(f"{source}: {column}" for source, column in not_searched)
        found.append(Text(zh=f"未能查找的列：{named}", en=f"Columns that could not be searched: {named}"))
    return found

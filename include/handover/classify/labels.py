"""What the words before a number say of it: a telephone number, a card, or somebody's order number.

Checked numbers with many possible readings (a mobile is any eleven digits that begin with 13 to 19) are
taken or left by the label that stands nearest before them.
"""

from __future__ import annotations

import re
from typing import Literal

Verdict = Literal["for", "against", "firmly against", "nothing"]

_PERSONAL = r"""
卡片?编号|证件编号|身份证编号|手机|电话|联系|致电|来电|号码|拨打|短信|微信|呼叫|座机|传真
|银行卡|储蓄卡|信用卡|借记卡|卡|账号|帐号|账户|帐户|尾号|银行|打款|汇款|收款|转账|还款|扣款
|身份证|证件|身份|公民
|(?<![a-z])(?:mobile|phone|tel|cell|call|sms|whatsapp|contact|card|account|acct|bank|id\s?card|identity)s?(?![a-z])
"""
# Numbered things that are never a person, and money.
_FIRM = r"""
会员卡|积分卡|门禁卡|工卡|交通卡|sim卡|电话卡|礼品卡
|订单|单号|流水|批次|批号|运单|快递|物流|票号|发票|凭证|工单|案号|案件|受理|交易号|交易编号|参考号
|序列|序号|货号|型号|条码|条形码|时间戳|金额|总额|余额|合计|人民币|[¥￥$]
|(?<![a-z])(?:order|serial|s/n|sn|invoice|tracking|waybill|ticket|sku|batch|lot|voucher|trace|txn
|transaction|amount|total|timestamp|epoch|build|barcode|ean|isbn|iccid|rmb|cny|usd|request.?id|session)s?(?![a-z])
"""
_LOOSE = r"""
编号|编码|合同|协议|产品|商品|设备|版本|(?<![a-z])(?:ref|reference|contract|product|code|version|hash|ts)s?(?![a-z])
"""
_LABEL = re.compile(
    rf"(?P<firm>{_FIRM})|(?P<personal>{_PERSONAL})|(?P<loose>{_LOOSE})".replace("\n", ""), re.IGNORECASE
)
_MONEY_AFTER = re.compile(
    r"\s*(?:元|万|亿|块钱|人民币|美元|yuan|rmb|cny|usd|股|份|件|次|ms\b|毫秒|秒)", re.IGNORECASE
)
_REACH = 24
_CLAUSE_BETWEEN = re.compile(r"[，,。；;！!？?\n]")
_NUMBER_BETWEEN = re.compile(r"\d{4}")
# A code's own letters before its digits, as in AB13… or ORD-13…, and digits that go on before it.
_GLUED = re.compile(r"(?:[A-Za-z]|[0-9A-Za-z][-_.])$")


def verdict(text: str, start: int, end: int) -> Verdict:
    """Return what the text around ``text[start:end]`` says of it."""
    if _MONEY_AFTER.match(text, end):
        return "firmly against"
    before = text[max(0, start - _REACH) : start]
    labels = list(_LABEL.finditer(before))
    last = labels[-1] if labels else None
    if last is not None and not _NUMBER_BETWEEN.search(before, last.end()):
        if last["personal"]:
            return "for"
        if _CLAUSE_BETWEEN.search(before, last.end()):
            return "nothing"
        return "firmly against" if last["firm"] else "against"
    return "against" if _GLUED.search(before) else "nothing"


def without_labels(text: str) -> str:
    """Return the text without the words that label numbers."""
    return _LABEL.sub("", text)

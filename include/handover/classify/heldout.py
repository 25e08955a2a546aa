"""The labelled set for measuring: names of columns and sentences that the detectors were not written against.

They were written after the detectors, with wordings of their own. Examples that served while writing the
detectors stand in the tests alone, and so does a template from here once it has led to a correction; a test
keeps the two apart. A placeholder in braces is a value that
``invented`` draws; those of ``MEASURED`` are what has to be found, all others must not be.
"""

from __future__ import annotations

from dataclasses import dataclass

MEASURED = ("resident_id", "mobile", "bank_card", "email", "uscc")


@dataclass(frozen=True)
class Column:
    """A kind of column: its name, what it holds, in which share there is nothing or rubbish."""

    name: str
    draw: str
    as_written: bool = True
    empty: float = 0.0
    rubbish: float = 0.0

    @property
    def kind(self) -> str | None:
        """What it should be judged to be."""
        return self.draw if self.draw in MEASURED else None


COLUMNS = (
    Column("applicant_cert_code", "resident_id", empty=0.2),
    Column("KHZJHM", "resident_id", rubbish=0.05),
    Column("field_17", "resident_id", as_written=False),
    Column("login_user", "resident_id", empty=0.5, rubbish=0.1),
    Column("担保方身份证", "resident_id"),
    Column("contract_party", "resident_id", as_written=False),
    Column("linkman_mobile_2", "mobile", empty=0.3),
    Column("紧急联系人手机", "mobile"),
    Column("c9", "mobile", as_written=False),
    Column("user_account", "mobile", rubbish=0.15),
    Column("receiver", "mobile", empty=0.6),
    Column("LXFS", "mobile", rubbish=0.1),
    Column("repay_card_number", "bank_card", empty=0.1),
    Column("放款卡号", "bank_card"),
    Column("col_b", "bank_card", as_written=False),
    Column("payee_ref", "bank_card", rubbish=0.1),
    Column("skzh", "bank_card", empty=0.4),
    Column("WorkEmail", "email", empty=0.3),
    Column("客户邮箱", "email"),
    Column("login", "email", rubbish=0.2),
    Column("x_value", "email"),
    Column("tyxydm", "uscc", empty=0.2),
    Column("商户统一信用代码", "uscc"),
    Column("company_reg", "uscc", rubbish=0.1),
    Column("attr3", "uscc", as_written=False),
    Column("purchase_order_no", "luhn_number"),
    Column("biz_ref", "luhn_number"),
    Column("member_card_no", "luhn_number"),
    Column("serial_no", "serial"),
    Column("v18", "serial"),
    Column("bill_id", "dated_serial"),
    Column("v6", "dated_serial"),
    Column("created_ms", "milliseconds"),
    Column("t1", "milliseconds"),
    Column("trade_time", "timestamp"),
    Column("d2", "timestamp"),
    Column("balance_fen", "amount"),
    Column("num5", "amount"),
    Column("digest", "hexadecimal"),
    Column("guid", "short_hexadecimal"),
    Column("goods_code", "product"),
    Column("ean", "barcode"),
    Column("licence_key", "code"),
    Column("asset", "package"),
)

TEXTS = (
    "经核实，申请人的有效证件为{resident_id}，与系统留存一致",
    "{resident_id}已通过联网核查，照片比对分值 87",
    "配偶张某（{resident_id}）同意共同还款，金额 50000 元",
    "KYC passed for holder {resident_id}; risk level 2",
    '{{"applicant":{{"idNo":"{resident_id}","age":41}}}}',
    "重复进件：{resident_id}/{resident_id}，请合并",
    "原登记号码有误，改为{resident_id}\n经办 07",
    "夜间请拨{mobile}找其本人，座机无人",
    "客户加急，{mobile}，已约周三 10:30 面签",
    "换号了，新的是 {mobile} 原号停用",
    "Pls ring {mobile} after 18:00, ticket closed",
    '{{"user":{{"cell":"{mobile}","vip":true}}}}',
    "微信同号{mobile}；备用{mobile}",
    "担保人李先生[{mobile}]已签收，共 3 份材料",
    "代扣失败，请更换{bank_card}后重新绑定",
    "打入{bank_card}即可，开户行为示例银行",
    "cashback went onto {bank_card} last night, see attachment 3",
    "{bank_card} 扣划未成功，余额不足",
    "订单已退，机主 {mobile} 要求回电",
    "法人{resident_id}名下企业{uscc}，持股 60%",
    "resubmit: {mobile} unreachable, try {email} instead",
    "the lots were sold; proceeds to {bank_card}",
    "还款卡片：{bank_card}，有效期见附件",
    '{{"payee":{{"cardNo":"{bank_card}","bank":"demo"}}}}',
    "旧卡{bank_card}挂失，新卡{bank_card}启用",
    "对账单请发{email}，纸质不要",
    "联络：{email} / {email}",
    "contact <{email}> bounced twice",
    '{{"to":["{email}"],"cc":[]}}',
    "邮件地址变更为{email}。原地址作废",
    "该商户（{uscc}）已完成年检，注册资本 100 万元",
    "开票信息 {uscc} 示例商贸有限公司",
    "vendor registration {uscc} verified 2025-03-01",
    '{{"merchant":{{"usci":"{uscc}"}}}}',
    "营业执照副本上的代码是{uscc}，与申报一致",
    "{mobile}发来{email}，附{resident_id}正反面，收款{bank_card}",
    # Nothing to be found in these.
    "订单{luhn_number}已发货，3 日内到达",
    "补单：订单编号为{luhn_number}，原单作废",
    "trace {luhn_number} replayed, 2 rows affected",
    "核心报文号{luhn_number}返回超时",
    "流水{serial}冲正成功",
    "回执 {serial} 已归档",
    "批扣文件 {dated_serial} 处理完成，成功 120 笔",
    "影像批次号{dated_serial}缺页",
    "job started at {milliseconds}, ended at {milliseconds}",
    "生成时间{timestamp}，节点 3",
    "合计{amount}元，已入账",
    "授信总额 ¥{amount}，已用 30%",
    "sha {hexadecimal} matches",
    "token={short_hexadecimal}; ttl=300",
    "商品 {product} 下架，条码 {barcode}",
    "激活码 {code} 仅限一次使用",
    "升级 {package}，回归通过",
    "版本 10.2.{milliseconds} 上线",
)

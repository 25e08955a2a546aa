"""What the name of a column says: English words, Chinese words, and the initials of pinyin in use."""

from __future__ import annotations

import re

# Words of the name in small letters, joined by _. The first rule that matches is the name's evidence.
_RULES: tuple[tuple[str, str], ...] = (
    (
        "credential",
        r""
        r"(?:password|passwd|pwd|passphrase|pin|pin_code|cvv2?|cvn2?|secret|private_key|salt|mima)(?:_(?:hash|md5|sha\d*|enc\w*|digest))?"
        r"|(?:login|trade|pay\w*)_(?:password|pwd)|(?:access|refresh|auth)_token|密码|口令|磁道"
        r"|track_?[12]",
    ),
    ("one_time_code", r"otp|sms_code|verify_code|verification_code|security_(?:question|answer)|验证码|密保"),
    (
        "biometric",
        r"face\w*|fingerprint\w*|iris|voice_?print\w*|palm\w*|biometric\w*|人脸\S*|指纹\S*|声纹\S*|虹膜\S*",
    ),
    (
        "document_image",
        r""
        r"(?:id_?card_?|document_?|passport_?|licen[cs]e_?|ocr_?)?(?:scan|scans|photo|photos|image|images|picture|selfie)"
        r"|证件照\S*|\S*影像|\S*照片|\S*扫描件?",
    ),
    (
        "resident_id",
        r"(?:resident|identity|citizen)_?(?:id|no|num|number|card)?"
        r"|id_?card(?:_?(?:no|num|number))?|id_?(?:no|num|number)|cert_?(?:no|num|number)"
        r"|sfz(?:h|hm|jh)?|zjhm?|\S*身份证(?:号码?)?|\S*身份号码|证件号码?|证件编号",
    ),
    ("passport", r"passport(?:_?(?:no|num|number))?|护照\S*"),
    ("travel_permit", r"travel_permit\w*|hk_?macau\w*|\S*通行证\S*|回乡证\S*|台胞证\S*"),
    (
        "mobile",
        r"(?:\w+_)?(?:mobile|cell|cellphone|cell_phone|msisdn)(?:_?(?:no|num|number|phone))?"
        r"|sjh?m?|lxsj|\S*手机\S*",
    ),
    (
        "phone",
        r"(?:\w+_)?(?:phone|tel|telephone|landline|fax)(?:_?(?:no|num|number))?|lxdh|dhhm|\S*电话\S*"
        r"|座机|传真",
    ),
    ("email", r"(?:\w+_)?(?:email|e_mail|mail|mailbox)(?:_?addr(?:ess)?)?|dzyx|yx|\S*邮箱|电子邮件"),
    (
        "bank_card",
        r"(?:\w+_)?(?:bank_?card|card|pan|debit_card|credit_card)_?(?:no|num|number)|bank_?card"
        r"|pan|yhkh?|\S*卡号|银行卡",
    ),
    ("account_no", r"(?:\w+_)?(?:account|acct|acc)_?(?:no|num|number)|iban|yhzh|\S*账号|\S*帐号|\S*账户号"),
    (
        "uscc",
        r"uscc|credit_code|social_credit_code|unified_\w*code|business_code"
        r"|tax(?:payer)?_?(?:id|no)|tyshxydm|nsrsbh|\S*信用代码|税号|纳税人识别号",
    ),
    ("plate", r"(?:licen[cs]e_)?plate(?:_?(?:no|num|number))?|vehicle_no|car_no|cph|车牌\S*"),
    ("birth_date", r"birth\w*|born\w*|dob|date_of_birth|csrq|出生\S*|生日"),
    (
        "special",
        r"religion|ethnic\w*|race|nationality_group|health\w*|diagnos\w*|disease|medical\w*"
        r"|blood_type|民族|宗教\S*|病\S*|健康\S*|血型",
    ),
    (
        "attribute",
        r"sex|gender|marital\w*|marriage\w*|education|degree|occupation|profession|employer"
        r"|job_?title|nationality|relation(?:ship)?|children|spouse\w*|性别|婚姻\S*|学历|职业|工作单位|职务|国籍"
        r"|关系|配偶",
    ),
    (
        "address",
        r"(?:\w+_)?(?:address|addr|street|full_text_address|residence|domicile)|txdz|jtdz|zz|\S*地址"
        r"|住址|户籍\S*",
    ),
    ("location", r"latitude|longitude|lat|lng|lon|gps\w*|geo\w*|coordinates?|\S*经纬度|定位"),
    ("ip_address", r"(?:\w+_)?ip(?:_?addr(?:ess)?)?|ipv[46]"),
    ("mac_address", r"(?:\w+_)?mac(?:_?addr(?:ess)?)?"),
    (
        "device_id",
        r"imei\d?|imsi|idfa|idfv|oaid|android_id|device_?(?:id|no|token|fingerprint)|open_?id"
        r"|union_?id|设备号|设备标识",
    ),
    (
        "person_name",
        r""
        r"(?:full|real|first|last|given|family|cust|customer|contact|borrower|guarantor|payee|holder|owner|person|user_real|legal_person|employee|plain|nick)_?name"
        r"|surname|xm|khxm|姓名|\S*姓名|借款人|联系人|担保人|持卡人|法定代表人|户名",
    ),
    (
        "amount",
        r""
        r"(?:\w+_)?(?:amount|amt|salary|wage|income|balance|principal|interest|total|debit|credit|fee|price|payment|limit|owed|deposit|repaid|loan_sum|overdue_sum)"
        r"|\S*金额|\S*余额|\S*本金|\S*利息|工资|\S*收入|\S*额度|借方|贷方",
    ),
)
_COMPILED = tuple((kind, re.compile(rule)) for kind, rule in _RULES)
# Names that may be of a person or of anything else: they lower what the values must show.
_HINTS = {
    "person_name": re.compile(r"name|名称|名字|户主|经办人|\S*人"),
    "resident_id": re.compile(r"number|no|num|证件"),
    "uscc": re.compile(r"code|company_no|代码"),
    "mobile": re.compile(r"contact|联系方式"),
    "phone": re.compile(r"contact|联系方式"),
    "address": re.compile(r"place|full_text|location|所在地"),
}
# Numbered things and times: their values may look like numbers of persons by chance.
_OTHER = re.compile(
    r"(?:^|_)(?:order|serial|seq|sequence|trace|txn|transaction|voucher|invoice|contract|ticket|sku|batch|lot|barcode"
    r"|product|tracking|waybill|timestamp|ts|time|epoch|millis|at|hash|digest|checksum|version|event|session|request)"
    r"(?:_|$)|订单|流水|单号|批次|凭证|发票|合同|时间|产品|商品|序号|运单"
)
_KEY = re.compile(
    r"(?:\w+_)?(?:id|uuid|guid|key)|\S*编号|\S*标识|(?:customer|client|member|user|cust)_?(?:no|num|code)"
)


def words_of(name: str) -> str:
    """Return the name in small letters, its words joined by _."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^0-9A-Za-z\u3400-\u9fff]+", "_", name)
    return parted.strip("_").lower()


def said_by(name: str) -> str | None:
    """Return the kind that the name can hardly mean otherwise, if any."""
    words = words_of(name)
    return next((kind for kind, rule in _COMPILED if rule.fullmatch(words)), None)


def hinted_by(name: str) -> frozenset[str]:
    """Return kinds that the name allows to expect."""
    words = words_of(name)
    return frozenset(kind for kind, rule in _HINTS.items() if rule.fullmatch(words))


def speaks_against(name: str) -> bool:
    """Say whether the name is that of a numbered thing or a time."""
    return _OTHER.search(words_of(name)) is not None


def is_key(name: str) -> bool:
    """Say whether the name is that of an internal identifier."""
    return _KEY.fullmatch(words_of(name)) is not None

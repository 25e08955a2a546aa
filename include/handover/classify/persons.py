"""Names of people and postal addresses in Chinese, by surnames and by the parts of an address."""

from __future__ import annotations

import re

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚"
    "沈钟姜崔谭陆范汪廖石金韦贾夏付傅方邹熊白孟秦邱侯江尹薛闫雷龙黎史陶贺毛段郝顾龚邵万覃武钱戴严莫孔向常汤"
    "温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童毕单季裴霍涂成苗"
    "谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜"
    "冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝封官滑匡"
)
_COMPOUND = (
    "欧阳|太史|端木|上官|司马|东方|独孤|南宫|万俟|闻人|夏侯|诸葛|尉迟|公羊|赫连|澹台|皇甫|宗政|濮阳|公冶|申屠"
    "|公孙|慕容|仲孙|钟离|长孙|宇文|司徒|鲜于|司空|令狐|轩辕|呼延|南门|东郭|百里|西门|第五"
)
_HAN = r"[\u3400-\u9fff]"
_NAME = rf"(?:(?:{_COMPOUND}){_HAN}{{1,2}}|[{_SURNAMES}]{_HAN}{{1,2}}|{_HAN}{{2,6}}·{_HAN}{{2,8}})"
_WHOLE_NAME = re.compile(_NAME)
# Ends of words for companies, places, goods and offices, which surnames also begin.
_NO_NAME = re.compile(
    r"(?:公司|银行|中心|集团|分行|支行|门店|学校|医院|商店|超市|工厂|[省市区县镇乡村路街巷号楼室店厂局部处科贷款费额类型])$"
)
_CALLED = re.compile(
    r"(?:姓名|客户名?|借款人|联系人|担保人|申请人|法定代表人|经办人|自称|我是|我叫|名叫|回访|收件人|户名|持卡人|转接至?|called?)"
    rf"\s*[:：]?\s*(?:为|是)?[\"“「]?({_NAME})(?=[^\u3400-\u9fff]|的|先生|女士|$)",
    re.IGNORECASE,
)
_TITLED = re.compile(rf"(?<!{_HAN})({_NAME}?)(?=先生|女士|小姐)")
_BESIDE = re.compile(
    rf"(?<!{_HAN})({_NAME})(?=[ ,，、:：(（]{{1,3}}(?:手机|电话|身份证|证件|mobile|tel|\d{{11}}|投诉))"
)
# Words of an address, each counted once where it follows something.
_PARTS = re.compile(
    r"省|自治区|(?<=[\u3400-\u9fff])(?:市|区|县|旗|镇|乡|街道|大道|村|组|路|街|巷|里|胡同|弄|小区|栋|幢|座|单元)"
    r"|(?<=\d)(?:号|栋|幢|座|单元|室|层|楼|组|弄|户)"
)
_ENOUGH_PARTS = 3
_SHORTEST_ADDRESS = 9
_ADDRESS = re.compile(r"[\u3400-\u9fff][\u3400-\u9fff0-9A-Za-z\-#·（）() ]{7,}")


def is_name(text: str) -> bool:
    """Say whether the text is a surname with a given name and not the name of something else."""
    return _WHOLE_NAME.fullmatch(text) is not None and _NO_NAME.search(text) is None


def names_in(text: str) -> list[tuple[int, int]]:
    """Return where free text names a person: after a word that introduces one, before a title or a number."""
    found = (match.span(1) for rule in (_CALLED, _TITLED, _BESIDE) for match in rule.finditer(text))
    return [(start, end) for start, end in found if end - start > 1]


def is_address(text: str) -> bool:
    """Say whether enough parts of an address stand in the text."""
    return len(text) >= _SHORTEST_ADDRESS and len(set(_PARTS.findall(text))) >= _ENOUGH_PARTS


def addresses_in(text: str) -> list[tuple[int, int]]:
    """Return where free text holds an address."""
    return [match.span() for match in _ADDRESS.finditer(text) if is_address(match[0])]

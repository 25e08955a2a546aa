"""Names to choose from for people whose own is not shown: common surnames with made-up given names."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢"
    "姚沈钟姜崔谭陆范汪廖石金韦贾夏傅方邹熊白孟秦邱侯江尹薛闫雷龙陶贺毛郝顾龚邵"
)
_FIRST = "安柏初德恩方古和嘉可岚满念平清若善棠望希一远照知"
_SECOND = "白辰川恒衡景林沐宁秋然融舒棠文汐岩野仪原韵泽真"


@cache
def invented_names() -> pa.Array:
    """Return every surname with every given name of two characters, in a fixed order."""
    return pa.array([a + b + c for a in _SURNAMES for b in _FIRST for c in _SECOND if b != c])

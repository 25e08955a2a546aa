"""Word lists of the sample company: common parts of names and places, and text that is awkward to copy."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# A surname and its Latin spelling.
SURNAMES = _words("""
    王wang 李li 张zhang 刘liu 陈chen 杨yang 黄huang 赵zhao 吴wu 周zhou 徐xu 孙sun 马ma 朱zhu 胡hu 郭guo
    何he 林lin 高gao 罗luo 郑zheng 梁liang 谢xie 宋song 唐tang 许xu 韩han 邓deng 冯feng 曹cao 彭peng
    曾zeng 肖xiao 田tian 董dong 潘pan 袁yuan 蔡cai 蒋jiang 余yu 于yu 杜du 叶ye 程cheng 魏wei 苏su 吕lv
    丁ding 任ren 卢lu 姚yao 沈shen 钟zhong 姜jiang 崔cui 谭tan 陆lu 范fan 汪wang 廖liao 石shi 金jin
    韦wei 贾jia 夏xia 傅fu 方fang 邹zou 熊xiong 白bai 孟meng 秦qin 邱qiu 侯hou 江jiang 尹yin 薛xue 闫yan
    雷lei 龙long 陶tao 贺he 毛mao 郝hao 顾gu 龚gong 邵shao 欧阳ouyang 司马sima 上官shangguan 诸葛zhuge
    东方dongfang 皇甫huangfu 尉迟yuchi 慕容murong
""")
GIVEN_FIRST = (
    "子宇浩梓雨欣俊嘉思文明志建国晓春丽秀玉海永德家天佳诗一若可亦景书雅静安立新振光学世宗长成东南云清"
)
GIVEN_SECOND = (
    "轩涵怡豪萱宁涛杰琪瑶磊洋勇艳娟霞敏芳燕辉斌鹏飞凯龙强军平刚波超玲婷雪梅琳莹颖倩洁蕾悦彤晨曦睿航博源"
)

CITIES = _words("""
    北京市/海淀区 天津市/河西区 河北省/石家庄市 山西省/太原市 内蒙古自治区/包头市 辽宁省/沈阳市
    吉林省/长春市 黑龙江省/哈尔滨市 上海市/徐汇区 江苏省/南京市 浙江省/杭州市 安徽省/合肥市
    福建省/厦门市 江西省/南昌市 山东省/济南市 河南省/郑州市 湖北省/武汉市 湖南省/长沙市 广东省/深圳市
    广西壮族自治区/南宁市 海南省/海口市 重庆市/渝中区 四川省/成都市 贵州省/贵阳市 云南省/昆明市
    西藏自治区/拉萨市 陕西省/西安市 甘肃省/兰州市 青海省/西宁市 宁夏回族自治区/银川市
    新疆维吾尔自治区/乌鲁木齐市
""")
# The first two digits of a resident number, in the order of CITIES.
PROVINCE_CODES = (
    *(11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41),
    *(42, 43, 44, 45, 46, 50, 51, 52, 53, 54, 61, 62, 63, 64, 65),
)
ROADS = _words("""
    示例路 样本街 演示大道 虚构巷 测试南路 范例北街 假想东路 模拟西街 无名胡同 乌有里 子虚大道 空城路
""")
BANKS = _words("""
    示例银行 样本农商银行 演示城市银行 虚构邮政储蓄银行
""")
MAIL_DOMAINS = ("example.com", "example.net", "example.org")

AWKWARD = (
    *[None] * 7,
    "",
    "\\N",
    "\\\\N",
    "NULL",
    " ",
    "正常客户",
    "第一行\n第二行",
    "tab\there",
    '他说"好的"，然后挂断',
    "it's",
    "反斜杠 \\ 与 \\n 不是换行",
    "a,b;c|d",
    "😀👍🏽",
    "生僻字𠮷㐂",
    "回车\r\n换行",
    "{json: 'no'}",
    "%s %(x)s $1 {0}",
    "e\u0301",
    "结尾空格 ",
    "\u200b",
    "\\.",
)
TAGS = (
    None,
    "{}",
    '{"vip"}',
    '{"老客户",NULL}',
    '{"a,b","{x}"}',
    '{"","NULL"}',
    '[0:1]={"重点","quote \\""}',
)
EDUCATION = (
    "小学",
    "初中",
    "高中",
    "大专",
    "本科",
    "硕士",
    "未知",
)
EMPLOYERS = (
    "示例餐饮店",
    "样本运输队",
    "演示电子厂",
    "自由职业",
    '带"引号"的公司',
    "虚构\\农场",
)
CALL_OPENINGS = (
    "致电客户",
    "接到来电，自称",
    "回访：",
    "催收记录\n客户",
    "Called ",
    '客户说"我是',
    "\t转接至",
)
CALL_MIDDLES = (
    "，手机",
    "，新号码为 ",
    "，另一号码：\n",
    " mobile ",
    "，联系方式(已核实) ",
)
CALL_ENDINGS = (
    "。承诺下周还款。",
    "，无人接听",
    "。\n对方情绪激动，已安抚。😤",
    ' — "please call later"',
    "。路径 C:\\temp\\n 已存",
    "\\N",
)
COMPLAINTS = (
    "利率与合同不符",
    "催收电话过于频繁",
    "还款未及时入账",
    "要求删除个人信息",
    "征信记录有误\n请更正",
)
REMARKS = (
    "已电话核实",
    "资料待补充",
    "推荐人介绍",
    "曾更换手机号",
    "家属代为联系",
    "",
    None,
    "\\N",
    "有房产\t无贷款",
)
PURPOSES = (
    "credit_report",
    "marketing",
    "data_sharing",
    "人脸识别",
    "auto_debit",
)
EVENTS = (
    "login",
    "logout",
    "apply",
    "view_contract",
    "pay",
    "change_password",
    "app_crash",
    "人脸验证",
)
PAGES = (
    None,
    "/",
    "/apply",
    "/help?q=利率",
    "/我的/还款",
    "",
)
FILE_NAMES = (
    "身份证正面.jpg",
    "contract.pdf",
    "bank statement (1).pdf",
    "流水.xlsx",
    "a'b\"c.png",
    "语音\t1.wav",
)
METAS = (
    None,
    "{}",
    '{"pages": 2}',
    '{"ocr": {"文字": "示例"}, "ok": true}',
    "null",
    '[1, 1.0, "x"]',
)
REQUESTS = (
    '{"channel" : "app",  "amount":',
    '{"amount": 0, "amount":',
    '{ "来源":"门店",\n "amount":',
    '{"amount":',
)

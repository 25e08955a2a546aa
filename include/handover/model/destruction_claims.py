"""What the facts of a destruction carry: how it may be called, what keeps it provisional, what forbids it.

Every rule errs to the weaker word. A certificate that says more than was proven is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from handover.model.destruction_acts import person
from handover.model.destruction_facts import CertificateFacts, Key, Method, Treated
from handover.model.policy import Text

METHODS: dict[Method, Text] = {
    "logical_deletion": Text(zh="逻辑删除", en="logical deletion"),
    "logical_deletion_crypto_shredding": Text(
        zh="逻辑删除 + 密码销毁", en="logical deletion + crypto-shredding"
    ),
    "purge_by_ce": Text(zh="清除（Purge）：密码擦除", en="purge by cryptographic erase"),
    "pseudonymised": Text(zh="去标识化（仍属个人信息）", en="de-identified (still personal information)"),
    "anonymised": Text(zh="匿名化", en="anonymised"),
}
_UNLINKED = Text(zh="密钥已解除关联，无法核实", en="key unlinked, not verifiable")
_NO_MATCH = Text(
    zh="按所述方法，在已申报的存储位置中未发现匹配项",
    en="no match found in the declared stores by the stated method",
)
_NO_VALUE = Text(
    zh="没有可按值检索的内容：所删除行中的值均同属留存者，或过短、无固定格式；仅按键复查",
    en="there was no value to search for: what the erased rows held is also of people whose data is "
    "retained, or too short, or without form; looked for by key alone",
)
# Words that only facts may bring in, or none can. A denial ("not anonymised") is no claim.
_DENIAL = re.compile(r"(?:\b(?:not|never|nor|cannot be)\s+|[未非不]|不是|不属于|并非)$", re.IGNORECASE)
_NEVER = re.compile(
    r"irrecoverabl|unrecoverabl|irreversibl|permanently (?:deleted|erased|destroyed|removed)"
    r"|completely (?:deleted|erased|destroyed|removed)|no trace|forensically|legally compliant|密评"
    r"|不可恢复|无法恢复|不可逆|彻底(?:删除|销毁|清除)|永久(?:删除|销毁|清除)|不留痕迹|完全合规",
    re.IGNORECASE,
)
_ANONYMOUS = re.compile(r"anonymi[sz]ed|anonymous|匿名化", re.IGNORECASE)
_PURGED = re.compile(r"\bpurged?\b|cryptographic erase|密码擦除", re.IGNORECASE)


def method_words(facts: CertificateFacts, method: Method) -> Text:
    """Return how a method is called, with the provider's own limit where a key was only unlinked."""
    words = METHODS[method]
    if method != "logical_deletion_crypto_shredding" or all(
        key.state != "unlinked" for key in _mortal(facts)
    ):
        return words
    return Text(zh=f"{words.zh}（{_UNLINKED.zh}）", en=f"{words.en} ({_UNLINKED.en})")


def search_words(facts: CertificateFacts) -> Text:
    """Return what may be said of the search for values of the erased."""
    search = facts.search
    if search is None:
        return Text(zh="未检索", en="no search was made")
    if search.unexplained:
        return Text(
            zh=f"有 {search.unexplained} 处匹配未能说明", en=f"{search.unexplained} matches are not explained"
        )
    found = _NO_MATCH if search.values else _NO_VALUE
    zh, en = found.zh, found.en
    if search.of_retained:
        zh += f"（另有 {search.of_retained} 处属于依法留存者）"
        en += f", other than {search.of_retained} cells of people whose data is retained"
    silent = [store.name for store in facts.stores if store.state != "searched"]
    if silent:
        zh += f"；未检索：{'、'.join(silent)}"
        en += f"; not searched: {', '.join(silent)}"
    return Text(zh=zh, en=en)


def open_points(facts: CertificateFacts) -> tuple[Text, ...]:
    """Return what keeps a certificate provisional."""
    return (*_open_stores(facts), *_open_keys(facts), *_open_proofs(facts))


def _open_stores(facts: CertificateFacts) -> Iterator[Text]:
    for name in facts.undeclared:
        yield Text(zh=f"未申报的存储位置：{name}", en=f"a store that was not declared: {name}")
    for store in facts.stores:
        if store.state == "open":
            yield Text(zh=f"尚无证明的存储位置：{store.name}", en=f"open store: {store.name}")


def _open_keys(facts: CertificateFacts) -> Iterator[Text]:
    if not any(key.purpose == "backup" for key in facts.keys):
        yield Text(zh="备份密钥未登记", en="no backup key is named")
    for key in _mortal(facts):
        if key.state == "live":
            yield _alive(key)
        elif not key.decryption_fails:
            yield Text(
                zh=f"密钥 {key.name} 销毁后未做解密试验",
                en=f"key {key.name}: that decryption fails was not shown",
            )
        for copy in key.copies:
            if not copy.destroyed:
                yield Text(
                    zh=f"密钥 {key.name} 的副本尚存：{copy.place}",
                    en=f"a copy of key {key.name}: {copy.place}",
                )


def _alive(key: Key) -> Text:
    if key.backup is None:
        return Text(zh=f"密钥 {key.name} 尚存", en=f"key {key.name} still lives")
    zh = f"同一数据库的另一备份 {key.backup} 尚存，可能含有已删除的行"
    en = f"another backup of the database, {key.backup}, still lives, and may hold the rows"
    if key.until:
        zh, en = f"{zh}；{key.until} 之前不终结", f"{en}; it does not end before {key.until}"
    return Text(zh=zh, en=en)


def _open_proofs(facts: CertificateFacts) -> Iterator[Text]:
    if facts.search is None or facts.search.unexplained:
        said = search_words(facts)
        yield Text(zh=f"检索：{said.zh}", en=f"search: {said.en}")
    for line in facts.treated:
        if line.validation is None:
            yield Text(zh=f"{line.row_class}：结果尚未确认", en=f"{line.row_class}: not validated")
        if stayed := sum(count.stayed for count in line.tables):
            yield Text(
                zh=f"{line.row_class}：{stayed} 行未销毁", en=f"{line.row_class}: {stayed} rows stayed"
            )
    for place in facts.residue:
        if place.outcome == "not cleared":
            yield Text(zh=f"残留未清除：{place.place.zh}", en=f"residue not cleared: {place.place.en}")
    for listed in facts.lists:
        if listed.state != "archived":
            yield Text(
                zh=f"销毁清册 {listed.number} 尚未签章归档",
                en=f"destruction list {listed.number}: {listed.state}",
            )


def effective_date(facts: CertificateFacts) -> date:
    """Return the day from which on everything was gone: that of the last act it rests on."""
    zone = facts.issued_at.tzinfo
    days = [facts.erased_at.astimezone(zone).date()]
    days += [key.at.astimezone(zone).date() for key in _mortal(facts) if key.at]
    days += [copy.on for key in _mortal(facts) for copy in key.copies if copy.on]
    days += [store.attestation.on for store in facts.stores if store.attestation]
    days += [medium.on for medium in facts.media]
    return max(days)


def refusals(facts: CertificateFacts) -> list[str]:
    """Return why no certificate at all may be made of the facts."""
    return [
        *(f"{name} was skipped" for name in facts.skipped),
        *(
            f"residue: {one.place.en} {one.outcome}, and the policy wants it clean"
            for one in facts.residue
            if one.mandatory and not one.clean
        ),
        *(said for line in facts.treated for said in _of_line(facts, line)),
        *_of_people(facts),
        *_of_search(facts),
        *_of_dates(facts),
        *_too_strong(facts),
    ]


def _of_line(facts: CertificateFacts, line: Treated) -> Iterator[str]:
    for count in line.tables:
        if count.planned != count.done + count.gone_already + count.stayed:
            yield f"{line.row_class}, {count.table}: the counts do not add up to the {count.planned} planned"
        if (count.stayed > 0) != (count.because is not None):
            yield f"{line.row_class}, {count.table}: say why rows stayed, and only then"
    if not line.verification.passed:
        yield f"{line.row_class}: verification failed"
    if line.validation is not None and not line.validation.good_enough:
        yield f"{line.row_class}: validation found the result not good enough"
    states = {one.sha256: one.state for one in facts.lists}
    if line.needs_list and states.get(line.list_sha256 or "") not in ("executed", "supervised", "archived"):
        yield f"{line.row_class}: no executed destruction list (销毁清册) covers it"
    for lacking in _lacking(facts, line.method):
        yield f"{line.row_class} is called {METHODS[line.method].en!r}: {lacking}"


def _lacking(facts: CertificateFacts, method: Method) -> Iterator[str]:
    """Return what facts a method's name lacks."""
    backups = [key for key in facts.keys if key.purpose == "backup"]
    if method == "logical_deletion_crypto_shredding":
        if not backups or not all(_shredded(key) for key in backups):
            yield "the backup's key was not destroyed and shown not to decrypt any more"
    elif method == "purge_by_ce":
        proven = [key.from_the_start and _proven(key) and bool(key.copies) for key in backups]
        if not proven or not all(proven):
            yield "not all data was always encrypted under keys of which every copy was destroyed, with proof"
    elif method == "anonymised":
        keys = [key for key in facts.keys if key.purpose == "pseudonyms"]
        if not keys or not all(_proven(key) for key in keys):
            yield "the keys of its pseudonyms were not destroyed, with proof"
        test = facts.identity_test
        zone = facts.issued_at.tzinfo
        gone = max((key.at.astimezone(zone).date() for key in keys if key.at), default=None)
        if test is None or not (test.passed and test.no_lookup_table and test.level >= 3):
            yield "no re-identification test was passed"
        elif gone is not None and test.on < gone:
            yield "the re-identification test is older than the destruction of the keys"


def _shredded(key: Key) -> bool:
    return key.state != "live" and key.decryption_fails


def _proven(key: Key) -> bool:
    return key.state == "destroyed" and key.decryption_fails and key.copies_gone


def _mortal(facts: CertificateFacts) -> list[Key]:
    """Return the keys that have to die; those of archives live on."""
    return [key for key in facts.keys if key.purpose != "archive"]


def _of_people(facts: CertificateFacts) -> Iterator[str]:
    who: dict[str, set[str]] = {part: set() for part in ("requester", "approver", "executor", "supervisor")}
    for one in facts.involved:
        who[one.part].add(person(one.name))
    yield from (f"nobody is named as {part}" for part, names in who.items() if not names)
    if who["requester"] & who["approver"]:
        yield "the same person asked and approved"
    if who["executor"] & who["supervisor"]:
        yield "the same person executed and supervised"


def _of_search(facts: CertificateFacts) -> Iterator[str]:
    searched = {store.name for store in facts.stores if store.state == "searched"}
    names = [store.name for store in facts.stores]
    if len(set(names)) != len(names):
        yield "a store is declared twice"
    if facts.search is not None and set(facts.search.stores) != searched:
        yield "the stores that count as searched are not those that the search names"


def _of_dates(facts: CertificateFacts) -> Iterator[str]:
    zone = facts.issued_at.tzinfo
    if facts.erased_at > facts.issued_at or effective_date(facts) > facts.issued_at.astimezone(zone).date():
        yield "something it rests on is dated after it"
    erased = facts.erased_at.astimezone(zone).date()
    if facts.search is not None and facts.search.on < erased:
        yield "the search was made before the erasing ended"


def _too_strong(facts: CertificateFacts) -> Iterator[str]:
    methods = {line.method for line in facts.treated}
    bans = [(_NEVER, True), (_ANONYMOUS, "anonymised" not in methods)]
    bans.append((_PURGED, "purge_by_ce" not in methods and not facts.media))
    for text in _texts(facts.model_dump(mode="json")):
        for pattern, banned in bans:
            for found in pattern.finditer(text) if banned else ():
                if not _DENIAL.search(text[: found.start()]):
                    yield f"a text says {found[0]!r}, which no fact carries"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)

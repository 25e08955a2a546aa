"""What pseudonyms look like: of each strategy the form of all values that it can make, as far as it has one.

A value of another form in a masked column is none of its pseudonyms. Noise and moved dates look like what
they were made of, so that only their digests tell them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

import pyarrow as pa
from pydantic import ValidationError

from handover.model.image import ColumnImage, Image, RawMention, Shape
from handover.model.masking import MaskedColumn, Pseudonym
from handover.pseudonymise.blurring import Constant, Generalise, Mask, Null
from handover.pseudonymise.deciding import REDACT, strategy_of
from handover.pseudonymise.domains import Domain
from handover.pseudonymise.forms import spaces
from handover.pseudonymise.keys import KEY_BYTES, DomainKey
from handover.pseudonymise.names import invented_names
from handover.pseudonymise.regions import UNASSIGNED
from handover.pseudonymise.replacing import Choice, Fpe, Permute, Token
from handover.pseudonymise.spaces import PLAUSIBLE_BIRTHDAYS, Identity, Prefixed
from handover.pseudonymise.strategies import AnyStrategy

# Leave NULL where something was: all of it, or what they cannot read.
_EMPTYING = ("null", "generalise", "shift", "noise")
# PostgreSQL counts no further in a regular expression.
_MOST_REPEATED = 255
_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_MIDNIGHT = r"( 00:00:00(\+00)?)?"
_GENERALISED = {
    "month": rf"^[0-9]{{4}}-[0-9]{{2}}-01{_MIDNIGHT}$",
    "year": rf"^[0-9]{{4}}-01-01{_MIDNIGHT}$",
    "age_band": "^-?[0-9]+--?[0-9]+$",
    "district": "^([^0-9]{2,8}(省|自治区|特别行政区))?([^0-9]{2,10}(自治州|地区|盟|市))?"
    "([^0-9路街道巷号弄小]{1,8}(区|县|旗))?$",
}
# An identity number of somebody alive: a province that has people, a birthday until 2019.
_MENTIONED = (
    "(?<![0-9A-Za-z])((?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5])[0-9]{4}(?:19[0-9]{2}|20[01][0-9])"
    "[0-9]{7}[0-9Xx])(?![0-9A-Za-z])"
)
_NUMBER_OF_A_PERSON = "resident_id"
_PROBE = "?"  # of no form, so that its pseudonym is what a form falls back to


def column_image(masked: MaskedColumn) -> ColumnImage:
    """Return what is known of a masked column."""
    pseudonym = masked.pseudonym
    if pseudonym.strategy == REDACT:
        return ColumnImage(None, tuple(_mentions(masked)), keeps_apart=False, keeps_null=True)
    strategy = strategy_of(pseudonym.treatment)
    return ColumnImage(
        image=None if masked.type == "real" and isinstance(strategy, Generalise) else _image(strategy),
        mentions=(),
        # Differently written values become one pseudonym, where the writing is a part of the domain.
        keeps_apart=strategy.keeps != "lossy" and pseudonym.writing == "exact",
        keeps_null=strategy.strategy not in _EMPTYING,
    )


def _mentions(masked: MaskedColumn) -> Iterable[RawMention]:
    mentioned = masked.mentions.get(_NUMBER_OF_A_PERSON)
    image = _image_of_mention(mentioned) if mentioned else None
    if image is not None:
        yield RawMention(regex=_MENTIONED, check="identity_number", image=image)


def _image_of_mention(pseudonym: Pseudonym) -> Image | None:
    try:
        return _image(strategy_of(pseudonym.treatment))
    except ValidationError:  # a text in place of each mention is told by no form
        return None


def _image(strategy: AnyStrategy) -> Image | None:
    match strategy:
        case Null():
            return Image()
        case Constant():
            return Image(values=(strategy.value,))
        case Token():
            return _token(strategy)
        case Fpe():
            return Image(shapes=(*_forms(strategy), _fallback(strategy)))
        case Permute():
            return _between(strategy.low, strategy.high)
        case Choice():
            return Image(values=strategy.texts) if strategy.texts else Image(shapes=(_names(),))
        case Mask():
            return _masked(strategy)
        case Generalise():
            return _generalised(strategy)
    return None


def _token(strategy: Token) -> Image:
    if strategy.output == "integer":
        return _between(strategy.low, strategy.high)
    uuid = strategy.output == "uuid"
    return Image(shapes=(Shape(regex=_UUID if uuid else f"^[A-P][A-Z2-7]{{{strategy.length - 1}}}$"),))


def _between(low: int, high: int) -> Image:
    return Image(whole=(Decimal(low), Decimal(high)))


def _fallback(strategy: Fpe) -> Shape:
    """Return the form of what stands for values that are not of the strategy's form."""
    key = DomainKey(bytes(KEY_BYTES), Domain(name="probe"))
    made = strategy.apply(pa.array([_PROBE], pa.string()), key).column[0].as_py()
    return Shape(regex=f"^[a-p][a-z2-7]{{{len(made) - 1}}}$")


def _forms(strategy: Fpe) -> tuple[Shape, ...]:
    regions = _unassigned()
    match strategy.form, strategy.realistic:
        case "identity", False:
            years = _any(str(year) for year in _years())
            return (Shape(regex=f"^{regions}[0-9]{{2}}{years}[0-9]{{7}}[0-9X]$", check="identity_number"),)
        case "identity", True:
            return (Shape(regex="^[0-9]{17}[0-9X]$", check="identity_number"),)
        case "uscc", realistic:
            region = "[0-9]{4}" if realistic else regions
            return (Shape(regex=f"^[0-9A-Z]{{2}}{region}[0-9]{{2}}[0-9A-Z]{{10}}$", check="credit_code"),)
        case "card", realistic:
            return tuple(_cards(realistic))
        case "mobile", _:
            return (Shape(regex="^1[3-9][0-9]{9}$"),)
        case "plate", _:
            return (Shape(regex="^[^0-9A-Za-z][A-Z][0-9A-Z]{5,6}$"),)
        case "email", _:
            return (Shape(regex=r"^[a-p][a-z2-7]{19}@example\.invalid$"),)
    return (Shape(regex="^[0-9]+$" if strategy.form == "digits" else "^[0-9A-Z]+$"),)


def _cards(realistic: bool) -> Iterable[Shape]:
    for _, space in spaces("card", realistic):
        if isinstance(space, Prefixed):
            prefixes = _any(f"{prefix:03}" for prefix in space.prefixes.tolist())
            yield Shape(regex=f"^{prefixes}[0-9]{{{space.width - 3}}}$", check="card_number")


def _years() -> range:
    """Return the years in which those are born whose numbers nobody has."""
    born = Identity(UNASSIGNED[:1], PLAUSIBLE_BIRTHDAYS)
    first, last = (int(signs[6:10].tobytes()) for signs in born.unrank(*_ends(born)))
    return range(first, last + 1)


def _ends(space: Identity) -> tuple[pa.Array, pa.Array]:
    numbers = pa.array([0, space.size - 1], pa.uint64()).to_numpy()
    return numbers, numbers


def _unassigned() -> str:
    prefectures = [f"{prefecture:04}" for prefecture in UNASSIGNED.tolist()]
    halves = [sorted({one[:2] for one in prefectures}), sorted({one[2:] for one in prefectures})]
    return "".join(map(_any, halves))


def _any(texts: Iterable[str]) -> str:
    """Return an expression for texts of one length: short, because the server's time grows with it."""
    heads: dict[str, list[str]] = defaultdict(list)
    for text in sorted(set(texts)):
        heads[text[0]].append(text[1:])
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for head, tails in heads.items():
        alike[tuple(tails)].append(head)
    ways = [_one_of(signs) + (_any(tails) if any(tails) else "") for tails, signs in sorted(alike.items())]
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


def _one_of(signs: list[str]) -> str:
    return signs[0] if len(signs) == 1 else f"[{''.join(signs)}]"


def _names() -> Shape:
    places = zip(*invented_names().to_pylist(), strict=True)
    return Shape(regex=f"^{''.join(map(_any, places))}$")


def _masked(strategy: Mask) -> Image | None:
    first, last, sign = strategy.first, strategy.last, re.escape(strategy.sign)
    if first + last > _MOST_REPEATED:
        return None
    return Image(shapes=(Shape(regex=f"^(?:.{{{first}}}{sign}+.{{{last}}}|{sign}{{0,{first + last}}})$"),))


def _generalised(strategy: Generalise) -> Image:
    others = () if strategy.fallback is None else (strategy.fallback,)
    if strategy.to == "bucket":
        return Image(multiple_of=strategy.width, values=others)
    return Image(shapes=(Shape(regex=_GENERALISED[strategy.to]),), values=others)

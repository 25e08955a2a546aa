"""Chinese identity, mobile, bank card and credit numbers and addresses of e-mail as SQL conditions.

Check digits are included. Each takes an SQL expression for the value as text and gives one that is true when
it is well formed. The shape is asked first, inside CASE, so that arithmetic never meets anything
but digits.
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

_RESIDENT_SHAPE = "^[1-9][0-9]{5}(18|19|20)[0-9]{9}[0-9X]$"
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_MOBILE_SHAPE = "^1[3-9][0-9]{9}$"
_CARD_DIGITS = 19
_CARD_SHAPE = "^[0-9]{12,19}$"
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_SHAPE = f"^[{_CREDIT_ALPHABET}]{{2}}[0-9]{{6}}[{_CREDIT_ALPHABET}]{{10}}$"
_CREDIT_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
# Of what RFC 5322 allows before the @, the asterisk is missing: it is what masks are made of.
_MAIL_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_MAIL_SHAPE = rf"^[A-Za-z0-9.!#$%&'+/=?^_`{{|}}~-]{{1,64}}@({_MAIL_LABEL}\.)+[A-Za-z]{_MAIL_LABEL}$"


def _when(number: sql.Composable, shape: str, then: sql.Composable) -> sql.Composed:
    return sql.SQL("CASE WHEN {} ~ {} THEN {} ELSE false END").format(number, sql.Literal(shape), then)


def _sum(terms: list[sql.Composed]) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(" + ").join(terms))


def _digit(number: sql.Composable, place: int, weight: int = 1) -> sql.Composed:
    """Return the digit at a place, counted from 1, times its weight."""
    return sql.SQL("(ascii(substr({}, {})) - 48) * {}").format(
        number, sql.Literal(place), sql.Literal(weight)
    )


def resident_number(number: sql.Composable) -> sql.Composed:
    """GB 11643-1999: region, a birthday that exists, order, and the check digit of ISO 7064 MOD 11-2."""
    weighted = _sum([_digit(number, place, weight) for place, weight in enumerate(_RESIDENT_WEIGHTS, 1)])
    check = sql.SQL("substr('10X98765432', {} % 11 + 1, 1) = substr({}, 18)").format(weighted, number)
    return _when(number, _RESIDENT_SHAPE, sql.SQL("{} AND {}").format(check, _birthday(number)))


def _birthday(number: sql.Composable) -> sql.Composed:
    """Say whether places 7 to 14 are a day of the calendar; to_date() would raise, quoting them."""
    return sql.SQL(
        "substr({n}, 13, 2)::int BETWEEN 1 AND CASE"
        " WHEN substr({n}, 11, 2) IN ('01', '03', '05', '07', '08', '10', '12') THEN 31"
        " WHEN substr({n}, 11, 2) IN ('04', '06', '09', '11') THEN 30"
        " WHEN substr({n}, 11, 2) <> '02' THEN 0"
        " WHEN substr({n}, 7, 4)::int % 4 = 0"
        " AND (substr({n}, 9, 2) <> '00' OR substr({n}, 7, 4)::int % 400 = 0) THEN 29 ELSE 28 END"
    ).format(n=number)


def mobile_number(number: sql.Composable) -> sql.Composed:
    """Eleven digits that begin with 13 to 19."""
    return sql.SQL("{} ~ {}").format(number, sql.Literal(_MOBILE_SHAPE))


def card_number(number: sql.Composable) -> sql.Composed:
    """ISO/IEC 7812: 12 to 19 digits with Luhn's check digit; zeros in front change nothing in its sum."""
    padded = sql.SQL("lpad({}, {}, '0')").format(number, sql.Literal(_CARD_DIGITS))
    doubled = sql.SQL("translate({}, '0123456789', '0246813579')").format(padded)
    places = range(1, _CARD_DIGITS + 1)
    total = _sum([_digit(padded if place % 2 else doubled, place) for place in places])
    return _when(number, _CARD_SHAPE, sql.SQL("{} % 10 = 0").format(total))


def credit_code(number: sql.Composable) -> sql.Composed:
    """GB 32100-2015: the unified social credit code with its check character MOD 31."""
    value = sql.SQL("(strpos({}, substr({}, {}, 1)) - 1) * {}")
    alphabet = sql.Literal(_CREDIT_ALPHABET)
    weighted = _sum(
        [
            value.format(alphabet, number, sql.Literal(place), sql.Literal(weight))
            for place, weight in enumerate(_CREDIT_WEIGHTS, 1)
        ]
    )
    check = sql.SQL("substr({}, (31 - {} % 31) % 31 + 1, 1) = substr({}, 18)").format(
        alphabet, weighted, number
    )
    return _when(number, _CREDIT_SHAPE, check)


def email_address(address: sql.Composable) -> sql.Composed:
    """A mailbox, an @ and a name of at least two labels, in ASCII."""
    return sql.SQL("{} ~ {}").format(address, sql.Literal(_MAIL_SHAPE))


FORMS: dict[str, Callable[[sql.Composable], sql.Composed]] = {
    "identity_number": resident_number,
    "mobile_number": mobile_number,
    "card_number": card_number,
    "credit_code": credit_code,
    "email_address": email_address,
}

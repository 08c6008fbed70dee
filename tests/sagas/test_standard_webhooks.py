"""The Standard Webhooks scheme: what is signed as it must be is let in, and nothing else."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping

import pytest

from amends.sagas import InputInvalid
from amends.sagas.webhooks import Delivery, SignatureInvalid, StandardWebhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the specification's
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"test": 2432232314}'
SIGNED = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""The example that the specification's libraries are tested with."""
AT = 1_614_265_330
FIRST = SIGNED["webhook-signature"]


def scheme(*secrets: str | bytes, now: float = AT) -> StandardWebhooks:
    return StandardWebhooks(*(secrets or (SECRET,)), clock=lambda: now)


def refused(headers: Mapping[str, str], body: bytes = BODY, *, by: StandardWebhooks | None = None) -> str:
    with pytest.raises(SignatureInvalid) as caught:
        (by or scheme())(headers, body)
    return str(caught.value)


def test_the_example_of_the_specification_is_accepted() -> None:
    at = dt.datetime(2021, 2, 25, 15, 2, 10, tzinfo=dt.UTC)
    assert scheme()(SIGNED, BODY) == Delivery("msg_p5jXN8AQM9LWM0D4loKWxJek", at)


def test_the_example_of_the_specification_is_signed_alike() -> None:
    assert scheme().headers(SIGNED["webhook-id"], BODY) == SIGNED


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_"), base64.b64decode(SECRET[6:])])
def test_a_secret_is_the_same_with_or_without_its_prefix_or_as_bytes(secret: str | bytes) -> None:
    assert scheme(secret)(SIGNED, BODY).id == SIGNED["webhook-id"]


@pytest.mark.parametrize("name", SIGNED)
def test_a_missing_or_empty_header_is_refused(name: str) -> None:
    assert "are needed" in refused({key: value for key, value in SIGNED.items() if key != name})
    assert "are needed" in refused({**SIGNED, name: ""})


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": ","},
        {"webhook-signature": " "},
        {"webhook-signature": "v1,é=\x00"},
        {"webhook-signature": FIRST.replace("v1,", "v2,")},
        {"webhook-signature": FIRST.replace("v1,", "v1a,")},
        {"webhook-signature": FIRST.replace("v1,", "")},
        {"webhook-signature": FIRST[:-4]},
        {"webhook-signature": f"{FIRST},{FIRST}"},
        {"webhook-timestamp": "1614265330.0"},
        {"webhook-timestamp": " 1614265330"},
        {"webhook-timestamp": "-1614265330"},
        {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "9" * 10_000},
        {"webhook-id": "a b"},
        {"webhook-id": "msg_1\r\nx-admin: 1"},
        {"webhook-id": "é"},
        {"webhook-id": "m" * 201},
    ],
    ids=repr,
)
def test_what_was_changed_on_its_way_is_refused(changed: dict[str, str]) -> None:
    refused({**SIGNED, **changed})


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY.replace(b"4", b"5", 1), b"\xff\xfe"])
def test_another_body_is_refused(body: bytes) -> None:
    assert refused(SIGNED, body) == "no signature fits"


def test_every_bit_of_the_signature_counts() -> None:
    """S17: a delivery is known by its id, which is worth what its signature is."""
    signature = base64.b64decode(FIRST[3:])
    for bit in range(len(signature) * 8):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        refused({**SIGNED, "webhook-signature": f"v1,{base64.b64encode(flipped).decode()}"})


def test_one_fitting_signature_among_several_is_enough() -> None:
    several = f"v1,AAAA v1a,xyz {FIRST} v2,!!! broken"
    assert scheme()({**SIGNED, "webhook-signature": several}, BODY).id == SIGNED["webhook-id"]


def test_while_a_secret_is_replaced_both_are_accepted_and_the_new_one_signs() -> None:
    old, new, both = scheme(SECRET), scheme(OTHER), scheme(OTHER, SECRET)
    assert both(old.headers("1", BODY), BODY).id == "1"
    assert new(both.headers("2", BODY), BODY).id == "2"
    refused(both.headers("3", BODY), by=old)
    refused(old.headers("4", BODY), by=new)


@pytest.mark.parametrize("seconds", [300, -300, 0])
def test_within_five_minutes_it_is_of_now(seconds: int) -> None:
    assert scheme(now=AT + seconds)(SIGNED, BODY).id == SIGNED["webhook-id"]


@pytest.mark.parametrize("seconds", [301, -301, 10**9])
def test_what_was_signed_long_ago_or_is_of_the_future_is_refused(seconds: int) -> None:
    """S17: a call that somebody has kept isn't a delivery that comes again."""
    assert "too far from now" in refused(SIGNED, by=scheme(now=AT + seconds))


def test_whether_the_time_is_right_is_only_said_of_what_is_signed() -> None:
    assert refused({**SIGNED, "webhook-signature": "v1,AAAA"}, by=scheme(now=0)) == "no signature fits"


@pytest.mark.parametrize(
    ("secrets", "why"),
    [
        ((), "needs a secret"),
        (("",), "open door"),
        (("whsec_",), "open door"),
        ((b"",), "open door"),
        ((SECRET, ""), "open door"),
        (("whsec_###",), "this one isn't"),
        ((None,), "not NoneType"),
        ((7,), "not int"),
    ],
)
def test_without_a_secret_there_is_no_door(secrets: tuple[str, ...], why: str) -> None:
    with pytest.raises(InputInvalid, match=why):
        StandardWebhooks(*secrets)


def test_neither_its_name_nor_an_error_shows_a_secret() -> None:
    assert repr(scheme(SECRET, OTHER)) == "<StandardWebhooks, <2 keys>>"
    with pytest.raises(InputInvalid) as caught:
        StandardWebhooks("whsec_hunter2!")
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_window_of_ones_own() -> None:
    strict = StandardWebhooks(SECRET, window=dt.timedelta(seconds=10), clock=lambda: AT + 11)
    assert "too far from now" in refused(SIGNED, by=strict)
    with pytest.raises(InputInvalid, match="window"):
        StandardWebhooks(SECRET, window=dt.timedelta(0))


@pytest.mark.parametrize("id", ["", "a b", "a\nb", "é", "m" * 201])
def test_what_could_not_be_verified_is_not_signed(id: str) -> None:
    with pytest.raises(InputInvalid, match="delivery's id"):
        scheme().headers(id, BODY)

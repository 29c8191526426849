"""A signed request is verified as it was made: any other request, key, destination or form of the header is refused."""

from typing import Any

import nacl.signing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json
from unpaddedbase64 import encode_base64

from threepid.spec.signing import (
    BadSignature,
    Signature,
    SignedRequest,
    Signer,
    parse_authorization,
    verify,
)

KEY = decode_signing_key_base64("ed25519", "a_1", encode_base64(b"k" * 32))
PUBLIC = bytes(KEY.verify_key)
SIGNER = Signer("home.example:8448", KEY)
REQUEST = SignedRequest("POST", "/_matrix/identity/v2/3pid/unbind?a=b%20c", {"mxid": "@a:b", "n": [1, {"ö": None}]})
TO = "id.example"
SIG = "A" * 86


def changed(**members: Any) -> SignedRequest:
    whole = {"method": REQUEST.method, "uri": REQUEST.uri, "content": REQUEST.content}
    return SignedRequest(**{**whole, **members})


@pytest.mark.parametrize("member", ["destination", "destination_is"])
@pytest.mark.parametrize("content", [REQUEST.content, {}, None])
def test_the_header_holds_what_matrixs_own_library_signs(member: str, content: Any) -> None:
    request = changed(content=content)
    whole = {"method": "POST", "uri": REQUEST.uri, "origin": SIGNER.origin, member: TO}
    if content is not None:
        whole["content"] = content
    signature = sign_json(whole, SIGNER.origin, KEY)["signatures"][SIGNER.origin]["ed25519:a_1"]
    header = SIGNER.authorization(request, TO, member=member)
    assert header == f'X-Matrix origin="home.example:8448",destination="{TO}",key="ed25519:a_1",sig="{signature}"'
    parsed = parse_authorization(header)
    assert parsed == Signature("home.example:8448", "ed25519:a_1", signature, TO)
    verify(parsed, PUBLIC, request, TO)
    # Servers of before v1.3 signed the destination and did not name it.
    verify(Signature(parsed.origin, parsed.key_id, parsed.signature), PUBLIC, request, TO)


@pytest.mark.parametrize(
    "other",
    [
        changed(method="PUT"),
        changed(uri="/_matrix/identity/api/v1/3pid/unbind"),
        changed(uri=REQUEST.uri + "&"),
        changed(uri="/_matrix/identity/v2/3pid/unbind?a=b c"),
        changed(content={"mxid": "@b:b", "n": [1, {"ö": None}]}),
        changed(content={**(REQUEST.content or {}), "more": 1}),
        changed(content={}),
        changed(content=None),
    ],
    ids=str,
)
def test_a_signature_is_of_one_request(other: SignedRequest) -> None:
    parsed = parse_authorization(SIGNER.authorization(REQUEST, TO))
    with pytest.raises(BadSignature):
        verify(parsed, PUBLIC, other, TO)


def test_a_signature_is_for_one_server_by_one_key_of_one_server() -> None:
    parsed = parse_authorization(SIGNER.authorization(REQUEST, TO))
    unnamed = Signature(parsed.origin, parsed.key_id, parsed.signature)
    for signature in (parsed, unnamed):
        with pytest.raises(BadSignature):
            verify(signature, PUBLIC, REQUEST, "other.example")
        with pytest.raises(BadSignature):
            verify(signature, bytes(nacl.signing.SigningKey(b"o" * 32).verify_key), REQUEST, TO)
    with pytest.raises(BadSignature):
        verify(Signature("evil-home.example", parsed.key_id, parsed.signature, TO), PUBLIC, REQUEST, TO)
    with pytest.raises(BadSignature):
        verify(Signature(parsed.origin, parsed.key_id, SIG, TO), PUBLIC, REQUEST, TO)


@pytest.mark.parametrize(
    "header",
    [
        f'X-Matrix origin="o.example",destination="d.example",key="ed25519:1",sig="{SIG}"',
        f"X-Matrix origin=o.example,destination=d.example,key=ed25519:1,sig={SIG}",
        f'x-matrix   SIG="{SIG}",Key=ed25519:1,Destination=d.example,oRIGIN="o.example"',
        f'X-MATRIX origin = "o.example" , destination\t=\td.example, key="ed25519:1" ,sig={SIG}  ',
        f'X-Matrix origin="o\\.example",destination="\\d.example",key="ed25519\\:1",sig="{SIG}"',
        f'X-Matrix extra="a,b\\"=c",origin=o.example,destination=d.example,key=ed25519:1,sig={SIG},more=',
    ],
)
def test_a_header_is_read_as_it_may_be_written(header: str) -> None:
    if header.endswith("="):
        with pytest.raises(BadSignature):
            parse_authorization(header)
        header = header.removesuffix(",more=") + ",more=x"
    assert parse_authorization(header) == Signature("o.example", "ed25519:1", SIG, "d.example")


def test_a_signature_may_have_the_padding_of_base64() -> None:
    """https://spec.matrix.org/latest/appendices/#unpadded-base64."""
    padded = SIGNER.authorization(REQUEST, TO).removesuffix('"') + '=="'
    verify(parse_authorization(padded), PUBLIC, REQUEST, TO)
    with pytest.raises(BadSignature):
        verify(parse_authorization(padded), PUBLIC, changed(method="PUT"), TO)


REST = f"key=ed25519:1,sig={SIG}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "X-Matrix",
        "X-Matrix ",
        "Bearer abc",
        f"X-Matrixorigin=o.example,{REST}",
        f"X-Matrix\torigin=o.example,{REST}",
        f" X-Matrix origin=o.example,{REST}",
        f"X-Matrix origin=o.example,{REST},",
        f"X-Matrix origin=o.example,,{REST}",
        f"X-Matrix ,origin=o.example,{REST}",
        f"X-Matrix origin=o.example;{REST}",
        f"X-Matrix origin=o.example {REST}",
        f"X-Matrix origin=o.example,{REST},X-Matrix origin=o.example,{REST}",
        f"X-Matrix origin=o.example,{REST},origin=o.example",
        f"X-Matrix origin=o.example,{REST},ORIGIN=p.example",
        f"X-Matrix origin=o.example,{REST},x=1,X=2",
        f'X-Matrix origin="o.example,{REST}',
        f'X-Matrix origin="o.example"x,{REST}',
        f"X-Matrix origin='o.example',{REST}",
        f"X-Matrix origin=o.example/x,{REST}",
        f'X-Matrix origin="o.example\x00",{REST}',
        f'X-Matrix origin="o.example\n",{REST}',
        f"X-Matrix origin=,{REST}",
        f'X-Matrix origin="",{REST}',
        f'X-Matrix origin="o example",{REST}',
        f'X-Matrix origin="@a:o.example",{REST}',
        f"X-Matrix {REST}",
        f"X-Matrix origin=o.example,sig={SIG}",
        "X-Matrix origin=o.example,key=ed25519:1",
        f"X-Matrix origin=o.example,key=ed448:1,sig={SIG}",
        f"X-Matrix origin=o.example,key=ed25519:,sig={SIG}",
        f"X-Matrix origin=o.example,key=ed25519:a-b,sig={SIG}",
        f"X-Matrix origin=o.example,key=rsa,sig={SIG}",
        f"X-Matrix origin=o.example,key=ed25519:1,sig={SIG}A",
        f'X-Matrix origin=o.example,key=ed25519:1,sig="{SIG}="',
        f'X-Matrix origin=o.example,key=ed25519:1,sig="{SIG}==="',
        f'X-Matrix origin=o.example,key=ed25519:1,sig="=={SIG}"',
        f'X-Matrix origin=o.example,key=ed25519:1,sig="{SIG[:-1]}-"',
        "X-Matrix origin=o.example,key=ed25519:1,sig=",
        f"X-Matrix origin=o.example,{REST},x=" + "y" * 5000,
    ],
)
def test_any_other_header_is_refused(header: str) -> None:
    with pytest.raises(BadSignature):
        parse_authorization(header)


@given(st.text(max_size=200))
def test_no_text_after_the_scheme_is_more_than_refused(text: str) -> None:
    with pytest.raises(BadSignature):
        parse_authorization(f"X-Matrix {text}")


@given(
    st.dictionaries(
        st.text(max_size=5), st.recursive(st.integers(-(2**53), 2**53) | st.text(max_size=5), st.lists, max_leaves=5)
    )
)
def test_any_content_is_verified(content: dict[str, Any]) -> None:
    request = changed(content=content)
    verify(parse_authorization(SIGNER.authorization(request, TO)), PUBLIC, request, TO)

"""Whatever the words, a post is the form that anybody's library makes of them."""

import json
from urllib.parse import parse_qsl, urlencode

import requests
from anything import WORDS
from hypothesis import example, given
from hypothesis import strategies as some

from worker.errors import GatewayUnavailable
from worker.gateway import http
from worker.storable import is_storable

URL = "https://shop:secret@sms.example/smsgateway/"
ALL_ASCII = "".join(map(chr, range(128)))
FORMS = some.fixed_dictionaries({"login": WORDS, "password": WORDS}, optional={"nickname": WORDS})


@given(form=FORMS, texts=some.lists(WORDS | some.text(), max_size=3))
@example(form={"login": ALL_ASCII, "password": "пароль"}, texts=[ALL_ASCII, "Ўғил: “5 + 3”\n&data=%5B %2B"])
def test_a_post_is_the_form_that_requests_would_make(form: dict[str, str], texts: list[str]) -> None:
    data = json.dumps([{"phone": "998901234567", "text": text} for text in texts], separators=(",", ":"))
    try:
        request = http._prepared(URL, form, data)
    except GatewayUnavailable:
        assert not all(map(is_storable, "".join(form.values()).replace("\0", "")))  # half a surrogate pair
        return

    expected = requests.Request("POST", URL, data=form | {"data": data}, headers={"User-Agent": "getsms-worker"})
    whole = expected.prepare()
    assert (request.method, request.url, request.body) == (whole.method, whole.url, whole.body)
    assert request.headers == whole.headers
    assert parse_qsl(str(request.body), keep_blank_values=True) == [*form.items(), ("data", data)]


@given(first=WORDS.filter(str.isascii), second=WORDS.filter(str.isascii))
def test_one_post_leaves_nothing_in_the_next(first: str, second: str) -> None:
    posts = [http._prepared(URL, {"login": login}, "[]") for login in (first, second)]

    assert [post.body for post in posts] == [urlencode({"login": one, "data": "[]"}) for one in (first, second)]
    assert [post.headers["Content-Length"] for post in posts] == [str(len(post.body or "")) for post in posts]

"""The names of a refusal that the log may have."""

import pytest

from lib.model._refusals.names import known_name, safe_id
from lib.model._refusals.refusal import Refusal

SENT = '[{"messages": [{"role": "user", "content": "My PIN is 4711, xylocarp!"}]}, "sk-ab12cd34"]'


@pytest.mark.parametrize(
    "name",
    [
        "",
        "invalid_request_error",
        "model_not_found",
        "insufficient_quota",
        "context_length_exceeded",
        "responsibleaipolicyviolation",
        "badrequesterror",
        "rate_limit_exceeded",
        "invalid_api_key",
        "string_above_max_length",
        "extra_forbidden",
        "exceed_context_size_error",
        "data_inspection_failed",
        "messages[2].reasoning_content",
        "tools[0].function.parameters",
        "reasoning.effort",
        "max_completion_tokens",
        "stream_options.include_usage",
    ],
)
def test_a_code_and_a_field_of_known_words_are_logged(name: str) -> None:
    assert known_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "xylocarp",
        "invalid_xylocarp",
        "messages[0].xylocarp",
        "sk1234567890abcdef",
        "gsk_abcdefghijklmnop",
        "ip_203.0.113.77_4711",
        "ann.example.com",
        "invalid" * 9 + "x",
    ],
)
def test_a_code_or_a_field_with_any_other_word_is_logged_as_other(name: str) -> None:
    assert known_name(name) == "other"


@pytest.mark.parametrize(
    "request_id",
    [
        "req_011CSHoEeqs5C35K2UUqR7Fy",
        "req_01jbd6g2qdfw2adyrt2az8hz4w",
        "8b6f1c9e-3d2a-4f57-9e11-6f0a5f3c2d10",
    ],
)
def test_a_providers_id_of_a_request_is_logged(request_id: str) -> None:
    refusal = Refusal(500, {"message": "no"}, {"x-request-id": request_id}, SENT)

    assert refusal.log_fields["provider_request_id"] == request_id
    assert str(refusal) == f"500 {request_id}"


@pytest.mark.parametrize(
    "echo",
    [
        "sk-ab12cd34",
        "req_xylocarp_1",
        "REQ-XYLOCARP-1",
        "id-4711-00000",
        "My PIN is",
        "a",
        "x" * 101,
    ],
)
def test_an_id_that_repeats_what_was_sent_or_is_none_is_not_logged(echo: str) -> None:
    assert safe_id(echo, SENT) == ""

"""docs/schemas says what the models of the orders say. Run as a script, this file writes the schemas anew."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field

from models.lifecycle import TOLD
from worker.order_fields import BlockFields, CancelFields, ManySms, ResolveFields, Sms
from worker.orders import TASKS

FOLDER = Path(__file__).parents[2] / "docs/schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
NULL = {"type": "null"}
FIRST = ("type", "enum", "description", "examples", "required", "properties")
UID = "0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11"
GIVEN_TO_EACH = ("phone", "text")  #: what a message of many may have from the defaults for all

MEANINGS = {
    "sms.send": "One SMS. A field that is not here is kept in its tags.",
    "sms.send_many": "Many SMS in one order of 512 KiB at most. What stands beside messages is a default for all.",
    "sms.cancel": "A message that is to be stopped if it is not posted yet, by its uid, or by producer and key.",
    "sms.resolve": "What to do with messages of which nobody knows whether they were taken.",
    "sms.block": "Numbers that are to get nothing more.",
    "sms.unblock": "Numbers that may be written to again; why they were blocked is not asked.",
}
MODELS: dict[str, type[BaseModel]] = {
    "sms.send": Sms,
    "sms.cancel": CancelFields,
    "sms.resolve": ResolveFields,
    "sms.block": BlockFields,
    "sms.unblock": BlockFields,
}


class Event(BaseModel):
    """What a callback is told, as the only argument of its task, or as the body of its post."""

    model_config = ConfigDict(extra="forbid")
    event_id: str = Field(description="The same on a repeat: events are told at least once.", examples=[UID])
    uid: str | None = Field(description="Of the message.", examples=[UID])
    key: str | None = Field(description="The producer's own name for the message.", examples=["order-1734"])
    producer: str | None = Field(description="Which application ordered it.", examples=["shop"])
    state: Literal[*sorted(map(str, TOLD)), "refused"] = Field(  # type: ignore[valid-type]
        description="What it became; refused: the order was not accepted."
    )
    reason: str | None = Field(description="Why, in a word, if there is a why.", examples=["phone_invalid"])
    phone: str | None = Field(description="Of the message, international, digits only.", examples=["998901234567"])
    parts: int | None = Field(description="SMS parts by our own count.", examples=[1])
    at: datetime = Field(description="When it became so.", examples=["2026-11-30T12:00:00+00:00"])


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its file."""
    orders = {name: schema_of(model, name, MEANINGS[name]) for name, model in MODELS.items()}
    orders["sms.send_many"] = schema_of_many(orders["sms.send"])
    event = headed("event", str(Event.__doc__), readable(Event.model_json_schema()))
    return {f"{name}.json": schema for name, schema in {**orders, "event": event}.items()}


def headed(title: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    head = {"$schema": DRAFT, "title": title, "description": description}
    return head | {name: value for name, value in schema.items() if name not in head}


def schema_of(model: type[BaseModel], task: str, description: str) -> dict[str, Any]:
    """The fields of a task, all by name."""
    schema = readable(model.model_json_schema())
    required = schema.get("required", [])
    schema["properties"] = {
        name: field if name in required else or_null(field) for name, field in schema["properties"].items()
    }
    return headed(task, f"{description} What is null counts as not given.", schema)


def schema_of_many(one: dict[str, Any]) -> dict[str, Any]:
    """Each message, and the defaults for all, have the fields of *one*; phone and text must be in one of the two."""
    messages = readable(ManySms.model_json_schema())["properties"]["messages"] | {"items": {"$ref": "#/$defs/Sms"}}
    each_has = [
        {"anyOf": [{"required": [name]}, {"properties": {"messages": {"items": {"required": [name]}}}}]}
        for name in GIVEN_TO_EACH
    ]
    many = {"$ref": "#/$defs/Sms", "required": ["messages"], "properties": {"messages": messages}, "allOf": each_has}
    sms = {"type": "object", "properties": one["properties"], "additionalProperties": True}
    description = f"{MEANINGS['sms.send_many']} What is null counts as not given."
    return headed("sms.send_many", description, many | {"$defs": {"Sms": sms, **one["$defs"]}})


def readable(schema: Any) -> Any:
    """The same in an order in which people read, without the titles and empty defaults that Pydantic adds."""
    if isinstance(schema, list):
        return [readable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema and NULL in schema["anyOf"]:
        schema = or_null(schema)
    kept = [name for name in (*FIRST, *schema) if name in schema and not is_noise(name, schema[name])]
    found = {name: readable(schema[name]) for name in kept}
    if "properties" in schema:
        found["properties"] = {name: readable(field) for name, field in schema["properties"].items()}
    return found


def is_noise(name: str, value: Any) -> bool:
    return (name == "title" and isinstance(value, str)) or (name == "default" and value is None)


def or_null(field: dict[str, Any]) -> dict[str, Any]:
    """The field, or null; one type and null stand together."""
    kinds = [kind for kind in field.get("anyOf", []) if kind != NULL]
    if len(kinds) > 1:
        return {**field, "anyOf": [*kinds, NULL]}
    alone = {name: value for name, value in field.items() if name != "anyOf"} | (kinds[0] if kinds else {})
    kind = alone.get("type")
    return {**alone, "type": [kind, "null"]} if isinstance(kind, str) else alone


def written(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.check
def test_there_is_a_schema_of_every_task_and_of_what_a_callback_is_told() -> None:
    expected = {f"{name}.json" for name in (*TASKS, "event")}

    assert expected == {file.name for file in FOLDER.glob("*.json")} == set(schemas())


@pytest.mark.check
@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_says_what_the_model_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == written(schemas()[name]), "run `make docs`"


@pytest.mark.check
@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_is_one_and_every_field_of_it_is_described_with_an_example(name: str) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)

    for field, said in schema["properties"].items():
        assert said["description"], field
        for example in said.get("examples", []):
            part = {"$defs": schema.get("$defs", {}), **said}
            Draft202012Validator(part, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example)


if __name__ == "__main__":
    for name, schema in schemas().items():
        (FOLDER / name).write_text(written(schema), encoding="utf-8")

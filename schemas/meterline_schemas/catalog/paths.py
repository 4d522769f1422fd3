"""Where a mistake lies in a model that has models in it: paths without the tags of unions that pydantic puts there."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def path_of(kind: type[BaseModel], place: Sequence[int | str]) -> tuple[list[int | str], type[BaseModel] | None]:
    """The names and numbers that lead to a place, and the model that its last one is a field of."""
    names: list[int | str] = []
    found: Any = kind
    model: type[BaseModel] | None = None
    for step in place:
        models = models_of(found)
        tagged = [each for each in models if step in tags_of(each)] if len(models) > 1 else []
        if tagged:
            found = tagged[0]
            continue
        names.append(step)
        if isinstance(step, int):
            found, model = element_of(found), None
            continue
        model = models[0] if len(models) == 1 else None
        field = model.model_fields.get(step) if model is not None else None
        found = field.annotation if field is not None else None
    return names, model


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value of this type may be."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return models_of(arguments[0])
    if origin in (Union, UnionType):
        return [model for each in arguments for model in models_of(each)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def tags_of(model: type[BaseModel]) -> set[str]:
    """What tells the model from others of its union: the values of its literal fields."""
    return {
        tag
        for field in model.model_fields.values()
        if get_origin(field.annotation) is Literal
        for tag in get_args(field.annotation)
    }


def element_of(annotation: Any) -> Any:
    """The type of an element of a list or tuple."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, tuple, list):
        return element_of(arguments[0]) if origin is Annotated else arguments[0]
    if origin in (Union, UnionType):
        return next((element_of(each) for each in arguments if element_of(each) is not None), None)
    return None

"""Declarations of assets and checks, from which each question gets its own; those in `SHARED` exist once.

A declaration is a decorated function and the options of Dagster's decorator, in the names of the deployment's own
question. For another question, keys of assets get its prefix, and parameters ask for its resources.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from types import ModuleType
from typing import Annotated, Any, get_origin

import dagster as dg
import pydantic

from assets.automation import find_condition
from resources.question import Question
from resources.shares import SHARED
from resources.spark.session import POOL

Dep = str | dg.AssetKey | dg.AssetDep
Function = Callable[..., Any]
Definition = dg.AssetsDefinition | dg.AssetChecksDefinition


@dataclass(frozen=True)
class Declaration:
    """A function, and how to define it for a question; calling it calls the function.

    Attributes:
        function: what the asset or check computes.
        asset: name of the asset, or of the one that is checked.
        define: makes Dagster's definition.
    """

    function: Function
    asset: str
    define: Callable[[Question], Definition]

    @property
    def name(self) -> str:
        """Name of the asset or check, without a prefix."""
        return self.function.__name__

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Computes, without Dagster."""
        return self.function(*arguments, **named)


def declare_asset(*, deps: Sequence[Dep] = (), **options: Any) -> Callable[[Function], Declaration]:
    """Declares an asset of the function's name.

    The options are those of `dg.asset`; one that depends on the question is a function of it.
    """

    def declare(function: Function) -> Declaration:
        def define(question: Question) -> dg.AssetsDefinition:
            given = {name: each(question) if callable(each) else each for name, each in options.items()}
            own = {
                "key": question.key(function.__name__),
                "ins": {name: dg.AssetIn(question.key(name)) for name in _list_inputs(function)},
                "deps": [_map_dep(dep, question) for dep in deps],
                "group_name": question.word(given["group_name"]),
                "io_manager_key": question.resource(given.get("io_manager_key", "io_manager")),
                "owners": question.owners,
                "automation_condition": find_condition(question, function.__name__, given["group_name"]),
            }
            return dg.asset(**given | own)(_bind(function, question))

        return Declaration(function, function.__name__, define)

    return declare


training_asset = partial(declare_asset, pool=POOL, group_name="training")
"""Declares an asset without days."""


def declare_check(*, asset: str, **options: Any) -> Callable[[Function], Declaration]:
    """Declares a check of an asset; inputs other than this asset are additional ones."""

    def declare(function: Function) -> Declaration:
        def define(question: Question) -> dg.AssetChecksDefinition:
            more = {name: dg.AssetIn(question.key(name)) for name in _list_inputs(function) if name != asset}
            decorate = dg.asset_check(asset=question.key(asset), additional_ins=more, **options)
            return decorate(_bind(function, question))

        return Declaration(function, asset, define)

    return declare


def declare_checks(
    *, name: str, asset: str, descriptions: Mapping[str, str], **options: Any
) -> Callable[[Function], Declaration]:
    """Declares blocking checks of an asset that one function judges, by name with their descriptions."""

    def declare(function: Function) -> Declaration:
        def define(question: Question) -> dg.AssetChecksDefinition:
            key, inputs = question.key(asset), {each: question.key(each) for each in _list_inputs(function)}
            others = [other for other in inputs.values() if other != key]
            specs = [
                dg.AssetCheckSpec(check, asset=key, description=text, blocking=True, additional_deps=others)
                for check, text in descriptions.items()
            ]
            ins = {each: dg.AssetIn(other) for each, other in inputs.items()}
            return dg.multi_asset_check(name=question.word(name), specs=specs, ins=ins, **options)(
                _bind(function, question)
            )

        return Declaration(function, asset, define)

    return declare


def define_all(package: ModuleType, question: Question) -> dg.Definitions:
    """Defines what the modules of a package declare, for a question; what all share is defined for the first only."""
    found = [each for each in _find_declarations(package) if not question.name or each.asset not in SHARED]
    checks, assets = [], []
    for each in found:
        definition = each.define(question)
        if isinstance(definition, dg.AssetChecksDefinition):
            checks.append(definition)
        else:
            assets.append(definition)
    return dg.Definitions(assets=assets, asset_checks=checks)


def _find_declarations(package: ModuleType) -> Iterator[Declaration]:
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if isinstance(value, Declaration) and value.function.__module__ == module.__name__:
                yield value


def _map_dep(dep: Dep, question: Question) -> dg.AssetDep:
    given = dg.AssetDep.from_coercible(dep)
    name, *more = given.asset_key.path
    return dg.AssetDep(given.asset_key if more else question.key(name), partition_mapping=given.partition_mapping)


def _list_inputs(function: Function) -> list[str]:
    """Names of the parameters that are assets."""
    return [
        each.name
        for each in inspect.signature(function).parameters.values()
        if each.name not in ("context", "config") and not _is_resource(each.annotation)
    ]


def _is_resource(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated or issubclass(annotation, dg.ConfigurableResource)


def _bind(function: Function, question: Question) -> Function:
    """Wraps a function so that Dagster gives it the resources, and the defaults of the launchpad, of a question."""
    given = inspect.signature(function).parameters
    defaults = question.defaults.get(function.__name__, {})
    parameters = [
        each.replace(
            name=question.resource(each.name),
            annotation=_with_defaults(each.annotation, defaults) if each.name == "config" else each.annotation,
        )
        for each in given.values()
    ]
    names = {new.name: name for name, new in zip(given, parameters, strict=True)}

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **{names[name]: value for name, value in named.items()})

    @wraps(function)
    def iterate(*arguments: Any, **named: Any) -> Iterator[Any]:
        yield from call(*arguments, **named)

    bound: Any = iterate if inspect.isgeneratorfunction(function) else call
    annotations = {each.name: each.annotation for each in parameters}
    bound.__annotations__ = annotations | {"return": function.__annotations__["return"]}
    bound.__signature__ = inspect.signature(function).replace(parameters=parameters)
    return bound


def _with_defaults(config: type[dg.Config], defaults: Mapping[str, Any]) -> type[dg.Config]:
    """Returns the options of a launch with other defaults."""
    if not defaults:
        return config
    fields: dict[str, Any] = {}
    for name, value in defaults.items():
        field = config.model_fields[name]
        fields[name] = (field.annotation, pydantic.Field(default=value, description=field.description))
    return pydantic.create_model(config.__name__, __base__=config, **fields)

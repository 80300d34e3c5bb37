"""Schemas of the contract's request bodies, with strict validation.

An invalid request is refused as a whole, before anything is done, and the message names
the field. A valid entry of a write that cannot be carried out (a `..` in its path, a digest that differs)
gets an error of its own.
"""

# Annotations are not deferred: pydantic would evaluate each of them by itself, which takes longer.

import functools
import hashlib
import re
import unicodedata
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import Request

from arker.contract import LARGEST_CHUNK, LARGEST_FILE, LARGEST_PAGE, PAGE, SORTS
from arker.ids import is_vm_id
from arker.local.service.errors import ApiError
from arker.local.service.files import Entry
from arker.local.service.uploads import Chunk, Commit, UploadRequest

from .slices import Cut, StructureError

#: Maximum size of a run's body in bytes; other bodies have the limit of the app.
MAX_RUN_BODY = 4 * 1024 * 1024
#: Maximum number of wrong fields that an error names.
_VIOLATIONS: Final = 20


class Body(BaseModel):
    """Base of all request bodies: no unknown fields, no conversion between types, base64 decoded to bytes."""

    # Built on first use: all of them take a third of the time to start a deployment.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", val_json_bytes="base64", frozen=True, defer_build=True
    )

    #: Fields that may be null.
    _nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        for name in self.model_fields_set - self._nullable:
            if getattr(self, name) is None:
                raise PydanticCustomError("null", "`{name}` must not be null; leave it out", {"name": name})
        return self


Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Region = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Path = Annotated[str, StringConstraints(pattern=r"^/", max_length=4096)]
UploadId = Annotated[str, StringConstraints(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _whole(value: object) -> object:
    """Accept 1.0 as the integer 1, because JSON does not distinguish them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _session_name(value: object) -> object:
    """Treat `0` and `"0"` as the same session."""
    value = _whole(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else value


Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0)]


#: Path segments with a meaning of their own.
_NO_NAMES: Final = frozenset({".", "..", "list", "fork"})


class ForkRequest(Body):
    """A request to fork a computer."""

    is_public: bool
    name: Name | None = None
    region: Region | None = None

    @model_validator(mode="after")
    def _addressable(self) -> Self:
        if self.name in _NO_NAMES:
            raise ValueError("name: no path can contain it")
        return self


class ForkByNameRequest(ForkRequest):
    """A request to fork a computer by name."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(alias="from")


def check_name(name: str) -> None:
    """Refuse a name by which no path could lead to a computer.

    Raises:
        ValueError: saying why.
    """
    if is_vm_id(name):
        raise ValueError("name: it has the form of an id")
    if name in _NO_NAMES or any(unicodedata.category(letter) == "Cc" for letter in name):
        raise ValueError("name: no path can contain it")


class RenameRequest(Body):
    """A request to change the name of a computer."""

    name: Name

    @model_validator(mode="after")
    def _addressable(self) -> Self:
        check_name(self.name)
        return self


class RunRequest(Body):
    """A request to run a command in a session."""

    command: str
    session_id: Annotated[
        str,
        StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]*$", max_length=64),
        BeforeValidator(_session_name),
    ]
    timeout: Whole = 0


class CancelRequest(Body):
    """A request to cancel the run with this Idempotency-Key."""

    idempotency_key: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,64}$")]


class WriteEntry(Body):
    """An entry of a write. `check_sync` checks which of the three kinds it is, and that it is complete."""

    _nullable: ClassVar[frozenset[str]] = frozenset({"sha256"})

    path: Path
    size: Whole
    upload_id: UploadId | None = None
    start: Whole | None = None
    end: Whole | None = None
    content: bytes | None = None
    sha256: Sha256 | None = None
    presigned: bool | None = None
    #: Has no effect: a deployment never logs contents.
    is_secret: bool = False

    def entry(self) -> Entry:
        """Return the entry for the service; `check_sync` must have passed it."""
        if self.presigned:
            return UploadRequest(self.path, self.size)
        assert self.upload_id is not None
        if self.content is None:
            return Commit(self.path, self.size, self.upload_id, self.sha256)
        assert self.start is not None
        assert self.end is not None
        return Chunk(self.path, self.size, self.upload_id, self.start, self.end, self.content, self.sha256)


class SyncRequest(Body):
    """A read, a write or a manifest. `check_sync` checks which one it is, and that it is complete."""

    op: str
    path: Path | None = None
    writes: Annotated[list[WriteEntry], Field(min_length=1)] | None = None


def number(value: object) -> int:
    """Return a number of a query. Raises ValueError."""
    # int() would also accept signs, blanks, underscores and digits of other scripts.
    digits = str(value)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ValueError("expected a whole number")
    return int(digits)


def _truth(value: object) -> object:
    # Python clients send `True`.
    match str(value).lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise ValueError("expected true or false")


#: A number that is not negative, and a truth value, in a query.
Number = Annotated[int, BeforeValidator(number)]
Truth = Annotated[bool, BeforeValidator(_truth)]


class ListQuery(Body):
    """The query of a list."""

    limit: Annotated[Number, Field(ge=1, le=LARGEST_PAGE)] = PAGE
    offset: Number = 0
    q: Annotated[str, StringConstraints(max_length=128)] = ""
    sort: Annotated[str, StringConstraints(pattern=f"^({'|'.join(SORTS)})$")] = "-created_at"


B = TypeVar("B", bound=BaseModel)


def parse(model: type[B], data: bytes | bytearray) -> B:
    """Parse a request body.

    Raises:
        ApiError: `bad_request` naming the first field that is wrong.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise refused(error) from None


def parse_large(model: type[B], data: bytes | bytearray, array: str | None, structure: int) -> B:
    """Parse a body of any size in short steps, in a worker thread.

    Args:
        array: the field that may have many elements, or None; its elements are parsed in batches.

    Raises:
        ApiError: as `parse`, and when there is more structure than any valid body has.
    """
    text = Cut(data, array, structure)
    elements: list[Any] = []
    last: bytes | None = None
    try:
        for part in text.slices():
            if last is not None:
                elements += _parse_elements(model, array or "", last, len(elements))
            last = part
    except StructureError:
        raise ApiError(
            "bad_request",
            f"the body has brackets or quotes that do not match, or a value with more than {structure} bytes "
            "that are not text",
        ) from None
    if last is None or array is None:
        return parse(model, text.before)
    if elements:
        elements += _parse_elements(model, array, last, len(elements))
    rest = parse(model, text.before + last + text.after)
    return rest.model_copy(update={array: elements}) if elements else rest


@functools.cache
def _elements_of(model: type[BaseModel], field: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[field].rebuild_annotation())


def _parse_elements(model: type[BaseModel], field: str, data: bytes, skipped: int) -> list[Any]:
    """Parse some elements of a field, after `skipped` earlier ones."""
    try:
        parsed: list[Any] = _elements_of(model, field).validate_json(b"[" + data + b"]")
    except ValidationError as error:
        where = re.match(r"\[(\d+)]", message := refused(error).message)
        raise ApiError(
            "bad_request", f"{field}[{int(where[1]) + skipped}]{message[where.end() :]}" if where else message
        ) from None
    return parsed


def parse_query(model: type[B], pairs: list[tuple[str, str]]) -> B:
    """Parse a query string, split into pairs.

    Raises:
        ApiError: `bad_request` naming the first parameter that is unknown, given twice or wrong.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ApiError("bad_request", f"{name}: given more than once")
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise refused(error) from None


def query(model: type[B], request: Request) -> B:
    """Parse the query of a request; raises as `parse_query`."""
    return parse_query(model, request.query_params.multi_items())


def check_sync(request: SyncRequest) -> None:
    """Check that a sync request is a complete read, write or manifest.

    Raises:
        ApiError: `unsupported_op`, `bad_request` or `payload_too_large`.
    """
    fields = request.model_fields_set
    if request.op == "read":
        _demand("a read", "", fields, {"op", "path"}, set())
    elif request.op == "write":
        _demand("a write", "", fields, {"op", "writes"}, set())
        for index, entry in enumerate(request.writes or ()):
            _check_shape(f"writes[{index}].", entry)
    elif request.op == "manifest":
        _demand("a manifest", "", fields, {"op", "path"}, set())
    else:
        raise ApiError(
            "unsupported_op", f"op: {request.op[:40]!r} is not known; it is `read`, `write` or `manifest`"
        )


def _check_shape(prefix: str, entry: WriteEntry) -> None:
    fields = entry.model_fields_set
    if fields & {"start", "end", "content"}:
        _demand(
            "a chunk",
            prefix,
            fields,
            {"path", "size", "upload_id", "start", "end", "content"},
            {"sha256", "is_secret"},
        )
    elif "presigned" in fields:
        _demand("an upload request", prefix, fields, {"path", "size", "presigned"}, {"is_secret"})
        if not entry.presigned:
            raise ApiError("bad_request", f"{prefix}presigned: expected true")
    else:
        _demand("a commit", prefix, fields, {"path", "size", "upload_id"}, {"sha256"})
    for name in ("size", "start", "end"):
        if (getattr(entry, name) or 0) > LARGEST_FILE:
            raise ApiError(
                "payload_too_large",
                f"{prefix}{name}: a file has at most {LARGEST_FILE} bytes",
                details={"maximum_bytes": LARGEST_FILE},
            )
    if entry.content is not None and len(entry.content) > LARGEST_CHUNK:
        raise ApiError(
            "payload_too_large",
            f"{prefix}content: a chunk has at most {LARGEST_CHUNK} bytes",
            details={"maximum_bytes": LARGEST_CHUNK},
        )


def _demand(what: str, prefix: str, given: set[str], required: set[str], optional: set[str]) -> None:
    for name in sorted(required - given):
        raise ApiError("bad_request", f"{prefix}{name}: missing; {what} needs {_listed(required)}")
    for name in sorted(given - required - optional):
        raise ApiError(
            "bad_request", f"{prefix}{name}: not a field of {what}, which has {_listed(required | optional)}"
        )


def digest(body: Body) -> bytes:
    """Return the SHA-256 of a body's values, independent of their spelling in JSON."""
    return hashlib.sha256(body.model_dump_json().encode()).digest()


def refused(error: ValidationError) -> ApiError:
    """Return the error for a request that is not valid; its details name the wrong fields. Values, which may be secret
    or large, are left out."""
    found = [
        _problem(one) for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    where, message = found[0]
    violations = [{"field": field or "body", "message": text} for field, text in found[:_VIOLATIONS]]
    return ApiError(
        "bad_request", f"{where}: {message}" if where else message, details={"violations": violations}
    )


def _problem(error: ErrorDetails) -> tuple[str, str]:
    """Return the field of an error, empty for the whole body, and what is wrong."""
    where = ""
    steps = error["loc"]
    # Pydantic's mark of a problem with a key of a mapping, not with its value.
    of_key = steps[-1:] == ("[key]",)
    for step in steps[:-1] if of_key else steps:
        where += f"[{step}]" if isinstance(step, int) else f".{step}" if where else step
    message = error["msg"]
    match error["type"]:
        case "extra_forbidden":
            return where, "unknown field"
        case "missing":
            return where, "missing"
        case "json_invalid":
            return where, f"the body is not JSON: {message.removeprefix('Invalid JSON: ')}"
        case "model_type":
            return where or "body", "expected a JSON object"
        case "value_error":
            return where, message.removeprefix("Value error, ")
    if of_key:
        message = message.replace("String", "Its name", 1)
    return where, f"{message[:1].lower()}{message[1:]}"


def _listed(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))

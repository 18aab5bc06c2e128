"""AdmissionReview v1 as bytes: decoded once into typed values, answered with the fewest bytes.

What cannot be read is refused with the reason; nothing that cannot be read is ever let through.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ringfence.controls import pod
from ringfence.controls.pod import Owner, Pod
from ringfence.model.errors import RingfenceError
from ringfence.model.resources import PodSecurityException
from ringfence.model.signatures import Wanted

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
OPERATIONS: Final = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})
_NULL: Final = b"null"


class BadReview(RingfenceError):
    """A body that is no AdmissionReview that can be judged; ``uid`` is "" when not even that could be read."""

    def __init__(self, message: str, uid: str = "") -> None:
        self.uid = uid
        super().__init__(message)


class Struct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Kubernetes' spelling outside, Python's inside; unknown fields are skipped."""


class UserInfo(Struct, frozen=True):
    username: str = ""
    groups: list[str] | None = None


class GroupVersionKind(Struct, frozen=True):
    group: str = ""
    version: str = ""
    kind: str = ""


class GroupVersionResource(Struct, frozen=True):
    group: str = ""
    version: str = ""
    resource: str = ""


class Head(Struct, frozen=True):
    """What every request says beside its objects."""

    uid: str = ""
    kind: GroupVersionKind = GroupVersionKind()
    resource: GroupVersionResource = GroupVersionResource()
    sub_resource: str | None = None
    name: str | None = None
    namespace: str | None = None
    operation: str = ""
    user_info: UserInfo = UserInfo()
    dry_run: bool | None = None

    @property
    def by_node(self) -> bool:
        """Whether a kubelet asks: the authenticator gives this group to nobody else."""
        return "system:nodes" in (self.user_info.groups or ()) and self.user_info.username.startswith("system:node:")


class Request(Head, frozen=True):
    """A request about anything: its objects stay bytes until somebody knows their kind."""

    object: msgspec.Raw = msgspec.Raw()
    old_object: msgspec.Raw = msgspec.Raw()

    @property
    def has_object(self) -> bool:
        return _there(self.object)

    @property
    def has_old_object(self) -> bool:
        return _there(self.old_object)

    def pods(self) -> tuple[Pod, Pod | None]:
        """The object and the old object read as pods; raises msgspec.MsgspecError."""
        return pod.decode(self.object), pod.decode(self.old_object) if self.has_old_object else None

    def whole_pods(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The same with all of their fields; empty for one that is not there."""
        return (
            _mapping.decode(self.object) if self.has_object else {},
            _mapping.decode(self.old_object) if self.has_old_object else {},
        )


class PodRequest(Head, frozen=True):
    """A request about a pod, read in the same pass: reading the bytes is most of what a review costs."""

    object: Pod | None = None
    old_object: Pod | None = None
    #: The review as it came; never what a review says itself.
    body: bytes = msgspec.field(default=b"", name="(body)")

    @property
    def has_object(self) -> bool:
        return self.object is not None

    @property
    def has_old_object(self) -> bool:
        return self.old_object is not None

    def pods(self) -> tuple[Pod, Pod | None]:
        """The object and the old object."""
        return self.object or Pod(), self.old_object

    def whole_pods(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The same with all of their fields, read a second time; empty for one that is not there."""
        request = _decoder.decode(self.body).request
        return request.whole_pods() if request is not None else ({}, {})


class _Review(Struct, frozen=True):
    api_version: str = ""
    kind: str = ""
    request: Request | None = None


class _PodReview(Struct, frozen=True):
    api_version: str = ""
    kind: str = ""
    request: PodRequest | None = None


class _Uid(Struct, frozen=True):
    uid: str = ""


class _UidOnly(Struct, frozen=True):
    request: _Uid | None = None


AnyRequest = Request | PodRequest


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell on an object of the cluster, where people look: ``about`` is whom, ``reason`` a stable code."""

    about: Owner
    namespace: str
    reason: str
    note: str
    warning: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server is told. ``patch`` are RFC 6902 operations; ``code`` and ``reason`` those of a refusal.

    ``controls`` are the ids of what refused, for logs and metrics; ``warnings`` are shown to the user by kubectl;
    ``audit`` goes to the API server's audit log. ``used`` is the exception without which it were a refusal, ``notices``
    what is to be said on objects of the cluster, ``wanted`` are images that the worker shall look at.
    """

    allowed: bool
    message: str = ""
    code: int = 403
    reason: str = "Forbidden"
    warnings: tuple[str, ...] = ()
    patch: tuple[dict[str, Any], ...] = ()
    controls: tuple[str, ...] = ()
    audit: Mapping[str, str] = field(default_factory=dict)
    used: PodSecurityException | None = None
    notices: tuple[Notice, ...] = ()
    wanted: tuple[Wanted, ...] = ()


ALLOWED: Final = Answer(True)

_decoder: Final = msgspec.json.Decoder(_Review)
_mapping: Final = msgspec.json.Decoder(dict[str, Any])
_pod_decoder: Final = msgspec.json.Decoder(_PodReview)
#: As the API server writes the kind of a request, near the beginning of the body; a guess that is checked.
_POD_KIND: Final = b'"kind":"Pod"'
_NEAR: Final = 512
_uid_decoder: Final = msgspec.json.Decoder(_UidOnly)
_encoder: Final = msgspec.json.Encoder()

#: The API server cuts warnings to 256 characters each and 4096 together; longer ones are cut here, at the same place.
MAX_WARNING: Final = 256
MAX_WARNINGS: Final = 4096


def decode(body: bytes) -> AnyRequest:
    """The request of an AdmissionReview; raises BadReview."""
    try:
        if not body.isascii():
            # What the decoder skips it does not look at; a body that is no text is refused whole.
            body.decode()
        review = _pod_review(body) or _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadReview(f"the body is no AdmissionReview: {str(error) or type(error).__name__}", _uid(body)) from error
    request = review.request
    if isinstance(request, PodRequest):
        msgspec.structs.force_setattr(request, "body", body)
    uid = request.uid if request else ""
    if review.api_version != API_VERSION or review.kind != KIND:
        message = f"the body is {review.api_version or '(no apiVersion)'} {review.kind or '(no kind)'}"
        raise BadReview(f"{message}; this webhook speaks {API_VERSION} {KIND}", uid)
    if request is None:
        raise BadReview("the AdmissionReview has no request")
    if not uid:
        raise BadReview("request.uid is missing, so no answer could be told from another's")
    _check(request)
    return request


def encode(uid: str, answer: Answer) -> bytes:
    """The AdmissionReview that answers the request of this uid."""
    response: dict[str, Any] = {"uid": uid, "allowed": answer.allowed}
    if not answer.allowed:
        response["status"] = {
            "status": "Failure",
            "message": answer.message,
            "reason": answer.reason,
            "code": answer.code,
        }
    if answer.warnings:
        response["warnings"] = fitting(answer.warnings)
    if answer.patch and answer.allowed:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(_encoder.encode(answer.patch)).decode("ascii")
    if answer.audit:
        response["auditAnnotations"] = answer.audit
    return _encoder.encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})


def fitting(warnings: tuple[str, ...]) -> list[str]:
    """The warnings as far as the API server passes them on."""
    kept: list[str] = []
    room = MAX_WARNINGS
    for warning in warnings:
        text = warning if len(warning) <= MAX_WARNING else warning[: MAX_WARNING - 1] + "…"
        room -= len(text.encode())
        if room < 0:
            break
        kept.append(text)
    return kept


def _pod_review(body: bytes) -> _PodReview | None:
    """The review of a pod in one pass; None when it is of something else, or when a pod in it cannot be read."""
    if body.find(_POD_KIND, 0, _NEAR) < 0:
        return None
    try:
        review = _pod_decoder.decode(body)
    except msgspec.ValidationError:
        return None
    kind = review.request.kind if review.request else None
    return review if kind is not None and kind.kind == "Pod" and not kind.group else None


def _check(request: AnyRequest) -> None:
    """What must be there for its operation."""
    if request.operation not in OPERATIONS:
        raise BadReview(f"request.operation is {request.operation!r}, which is unknown", request.uid)
    if request.operation in {"CREATE", "UPDATE"} and not request.has_object:
        raise BadReview(f"request.object is missing on {request.operation}", request.uid)
    if request.operation in {"UPDATE", "DELETE"} and not request.has_old_object:
        raise BadReview(f"request.oldObject is missing on {request.operation}", request.uid)


def _uid(body: bytes) -> str:
    """The uid of a review that is otherwise wrong, so that the refusal can say which it answers."""
    try:
        review = _uid_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return review.request.uid if review.request else ""


def _there(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and bytes(raw) != _NULL

"""Every program has a ServiceAccount of its own: rights given to ``default`` are rights of everybody.

Fields: spec.serviceAccountName (and its former name, spec.serviceAccount). Allowed: any but ``default``; absent means
``default``.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Found, PolicyControl, switch
from ringfence.controls.pod import DEFAULT_SERVICE_ACCOUNT, Subject
from ringfence.model.demands import ControlId


def check(subject: Subject) -> Iterator[Found]:
    named = subject.spec.service_account_name or subject.spec.service_account
    if named in {None, "", DEFAULT_SERVICE_ACCOUNT}:
        yield Found(
            f"{subject.prefix}spec.serviceAccountName",
            f'is "{DEFAULT_SERVICE_ACCOUNT}"' if named else f'is not set, which means "{DEFAULT_SERVICE_ACCOUNT}"',
            "create a ServiceAccount for this program and name it",
        )


CONTROL: Final = PolicyControl(
    id=ControlId.DEFAULT_SERVICE_ACCOUNT,
    title="Pods do not run under the ServiceAccount default",
    prepare=switch(check),
)

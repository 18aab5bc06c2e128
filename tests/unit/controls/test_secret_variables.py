from ringfence.controls.secret_variables import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, complaints, every_kind, spec

FROM_SECRET = {
    "env": [{"name": "A", "value": "x"}, {"name": "PIN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pin"}}}],
    "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "t"}}],
}


def test_every_kind_of_container_is_judged() -> None:
    expected = [
        f"{each}.{field}" for each in EVERY_KIND for field in ("env[1].valueFrom.secretKeyRef", "envFrom[1].secretRef")
    ]
    assert asked(CONTROL, every_kind(FROM_SECRET)) == expected


def test_other_sources_and_files_pass() -> None:
    variables = [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a"}}},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "C", "valueFrom": None},
    ]
    volumes = [{"name": "v", "secret": {"secretName": "s"}}]
    container = {"env": variables, "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": None}]}
    assert asked(CONTROL, spec(container, volumes=volumes)) == []


def test_names_the_secret_and_the_variable() -> None:
    one, other = (each.message for each in complaints(CONTROL, spec(FROM_SECRET)))
    assert one == 'puts Secret "s" into variable "PIN" of container "c0"'
    assert other == 'puts all of Secret "t" into the environment of container "c0"'

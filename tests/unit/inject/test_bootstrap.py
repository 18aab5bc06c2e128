"""The bootstrap: what follows from the settings."""

import json

from ringfence.inject import bootstrap, sidecar
from ringfence.inject.injection import Injection
from ringfence.model.proxy_settings import ProxySettings

from tests.unit.inject.making import HOW


def test_the_same_settings_make_the_same_bytes() -> None:
    assert bootstrap.text(HOW) == bootstrap.text(Injection(HOW.settings, HOW.namespace))
    assert json.loads(bootstrap.text(HOW)) == bootstrap.bootstrap(HOW)


def test_the_kubelet_finds_its_variables_and_no_others() -> None:
    text = bootstrap.text(HOW)
    assert text.count("$(") == 3
    assert {each["name"] for each in sidecar.container(HOW, 1)["env"]} == {"POD_NAME", "POD_NAMESPACE", "POD_UID"}


def test_tls_is_1_3_and_proxyd_is_checked_by_name() -> None:
    (proxyd,) = (
        each for each in bootstrap.bootstrap(HOW)["static_resources"]["clusters"] if each["name"] == "ringfence-proxyd"
    )
    context = proxyd["transport_socket"]["typed_config"]["common_tls_context"]
    assert set(context["tls_params"].values()) == {"TLSv1_3"}
    (name,) = context["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "DNS", "matcher": {"exact": "ringfence-proxyd.ringfence-system.svc"}}


def test_work_is_refused_before_the_limit_of_memory() -> None:
    manager = bootstrap.bootstrap(Injection(ProxySettings(limits=(("memory", "100Mi"),))))["overload_manager"]
    (heap,) = (each for each in manager["resource_monitors"] if each["name"].endswith("fixed_heap"))
    assert heap["typed_config"]["max_heap_size_bytes"] == 85 * 1024 * 1024
    without = bootstrap.bootstrap(Injection(ProxySettings(limits=())))["overload_manager"]
    assert "actions" not in without


def test_what_a_proxy_asks_for_by_itself_is_bounded() -> None:
    (layer,) = bootstrap.bootstrap(HOW)["layered_runtime"]["layers"]
    assert layer["static_layer"] == {"http.async_response_buffer_limit": 1024 * 1024}

"""CONNECT on its way to a program: the program gets it as it is, and opens the tunnel or does not (ADR 0271).

A proxy refuses CONNECT wherever no route takes it; nothing here connects to where a tunnel is asked for.
"""

from typing import Final

from envoy.config.route.v3 import route_components_pb2

from ringfence.model.requests import CONNECT
from ringfence.translate.envoy.messages import Message

#: What a CONNECT does not have: one with them asks for something else (RFC 8441, and what came before it).
_NEVER: Final = ("upgrade", ":protocol", ":path")


def route(to: Message) -> Message:
    """The route of CONNECT to where a RouteAction leads; other routes do not match it."""
    on = route_components_pb2.RouteAction()
    on.CopyFrom(to)
    # Without a connect_config the request goes on as CONNECT; what is in the tunnel follows once that is answered.
    on.upgrade_configs.append(route_components_pb2.RouteAction.UpgradeConfig(upgrade_type=CONNECT))
    absent = [route_components_pb2.HeaderMatcher(name=name, present_match=True, invert_match=True) for name in _NEVER]
    connect = route_components_pb2.RouteMatch.ConnectMatcher()
    return route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(connect_matcher=connect, headers=absent), route=on
    )

"""Clusters beside each other must never share an address, a name or a port."""

import ipaddress
from itertools import combinations
from pathlib import Path

from e2e.cluster.layout import MAX_CLUSTERS, MAX_NODES, Layout


def _layouts() -> list[Layout]:
    return [
        Layout(f"c{index}", index, MAX_NODES, Path("/state") / f"c{index}", dual=True) for index in range(MAX_CLUSTERS)
    ]


def test_ranges_of_all_clusters_are_disjoint() -> None:
    ranges = [
        ipaddress.ip_network(cidr, strict=False)
        for layout in _layouts()
        for cidr in (
            *layout.pod_cidrs,
            *layout.service_cidrs,
            f"{layout.host_address}/24",
            f"{layout.host_address6}/64",
            f"{layout.outside_address}/32",
        )
    ]
    assert [pair for pair in combinations(ranges, 2) if pair[0].overlaps(pair[1])] == []


def test_each_node_has_its_own_part_of_the_pods_range() -> None:
    layout = _layouts()[3]
    parts = [ipaddress.ip_network(node.pod_cidr) for node in layout.nodes]
    assert len(set(parts)) == MAX_NODES
    assert all(part.subnet_of(ipaddress.ip_network(layout.pod_cidr)) for part in parts)
    parts6 = [ipaddress.ip_network(node.pod_cidr6) for node in layout.nodes]
    assert len(set(parts6)) == MAX_NODES
    assert all(part.subnet_of(ipaddress.ip_network(layout.pod_cidrs[1])) for part in parts6)


def test_ipv6_is_there_only_where_it_is_asked_for() -> None:
    one = Layout("c", 0, 1, Path("/state/c"))
    assert [one.host_address6, one.nodes[0].address6, one.nodes[0].pod_cidr6] == ["", "", ""]
    assert [len(one.pod_cidrs), len(one.service_cidrs), len(one.nodes[0].addresses)] == [1, 1, 1]
    assert one.endpoints.service_cidr == one.service_cidr


def test_services_addresses_are_in_their_range() -> None:
    layout = _layouts()[15]
    services = ipaddress.ip_network(layout.service_cidr)
    assert ipaddress.ip_address(layout.dns_address) in services
    assert ipaddress.ip_address(layout.endpoints.service_address) == services[1]


def test_interface_names_fit_the_kernel() -> None:
    names = [name for layout in _layouts() for name in (layout.bridge, *(node.veth for node in layout.nodes))]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 15


def test_ports_and_registries_differ() -> None:
    assert len({layout.registry for layout in _layouts()}) == MAX_CLUSTERS

package main

import (
	"fmt"
	"net/netip"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// verdictRequest is a world, its policies and the questions about them.
type verdictRequest struct {
	Namespaces map[string]map[string]string  `json:"namespaces"`
	Pods       []pod                         `json:"pods"`
	Policies   []*networkingv1.NetworkPolicy `json:"policies"`
	Traffic    []traffic                     `json:"traffic"`
	// Raw leaves out normalise: what cyclonus itself says, deviations included.
	Raw bool `json:"raw"`
}

type pod struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	IP          string            `json:"ip"`
	Ports       []port            `json:"ports"`
	HostNetwork bool              `json:"hostNetwork"`
}

type port struct {
	Number   int             `json:"port"`
	Protocol corev1.Protocol `json:"protocol"`
	Name     string          `json:"name"`
}

// traffic is one question. An end is "namespace/name" of a pod or an address.
type traffic struct {
	Source      string          `json:"s"`
	Destination string          `json:"d"`
	Port        int             `json:"p"`
	Protocol    corev1.Protocol `json:"t"`
}

// Bits of an answer: one small number a question keeps thousands of answers cheap.
const (
	ingressAllowed = 1
	egressAllowed  = 2
)

func verdict(req verdictRequest) ([]int, error) {
	if !req.Raw {
		normalise(&req)
	}
	ends, err := index(req)
	if err != nil {
		return nil, err
	}
	policy := matcher.BuildNetworkPolicies(false, req.Policies)
	result := make([]int, len(req.Traffic))
	for i, question := range req.Traffic {
		source, err := ends.peer(question.Source)
		if err != nil {
			return nil, fmt.Errorf("traffic[%d].s: %w", i, err)
		}
		destination, err := ends.peer(question.Destination)
		if err != nil {
			return nil, fmt.Errorf("traffic[%d].d: %w", i, err)
		}
		result[i] = judge(policy, source, destination, question)
	}
	return result, nil
}

// judge asks for every name that the port has on the destination, since one
// container port may carry several names and cyclonus takes one at a time.
func judge(policy *matcher.Policy, source, destination *end, question traffic) int {
	bits := 0
	for _, name := range destination.names(question.Port, question.Protocol) {
		allowed := policy.IsTrafficAllowed(&matcher.Traffic{
			Source: source.peer, Destination: destination.peer,
			ResolvedPort: question.Port, ResolvedPortName: name, Protocol: question.Protocol,
		})
		if allowed.Ingress.IsAllowed() {
			bits |= ingressAllowed
		}
		if allowed.Egress.IsAllowed() {
			bits |= egressAllowed
		}
	}
	return bits
}

type end struct {
	peer  *matcher.TrafficPeer
	ports []port
}

// names of a port number and protocol on this end; a lone empty name when it has none.
func (e *end) names(number int, protocol corev1.Protocol) []string {
	var names []string
	for _, p := range e.ports {
		if p.Number == number && p.Protocol == protocol && p.Name != "" {
			names = append(names, p.Name)
		}
	}
	if names == nil {
		return []string{""}
	}
	return names
}

// endIndex finds ends by pod or by address.
type endIndex struct {
	pods      map[string]*end
	addresses map[netip.Addr]*end
}

func index(req verdictRequest) (*endIndex, error) {
	ends := &endIndex{pods: map[string]*end{}, addresses: map[netip.Addr]*end{}}
	for i, p := range req.Pods {
		address, err := netip.ParseAddr(p.IP)
		if err != nil {
			return nil, fmt.Errorf("pods[%d].ip: %w", i, err)
		}
		labels, known := req.Namespaces[p.Namespace]
		if !known {
			return nil, fmt.Errorf("pods[%d].namespace: %q is not among namespaces", i, p.Namespace)
		}
		key := p.Namespace + "/" + p.Name
		if ends.pods[key] != nil {
			return nil, fmt.Errorf("pods[%d]: %s is there twice", i, key)
		}
		made := &end{peer: &matcher.TrafficPeer{IP: p.IP}, ports: p.Ports}
		ends.pods[key] = made
		// Policies neither select nor name pods in the host's network: they are their node.
		if p.HostNetwork {
			made.ports = nil
			continue
		}
		made.peer.Internal = &matcher.InternalPeer{PodLabels: p.Labels, NamespaceLabels: labels, Namespace: p.Namespace}
		if ends.addresses[address] != nil {
			return nil, fmt.Errorf("pods[%d].ip: %s belongs to another pod already", i, p.IP)
		}
		ends.addresses[address] = made
	}
	return ends, nil
}

func (e *endIndex) peer(name string) (*end, error) {
	if found := e.pods[name]; found != nil {
		return found, nil
	}
	address, err := netip.ParseAddr(name)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a pod of this request (namespace/name) nor an address", name)
	}
	if found := e.addresses[address]; found != nil {
		return found, nil
	}
	found := &end{peer: &matcher.TrafficPeer{IP: name}}
	e.addresses[address] = found
	return found, nil
}

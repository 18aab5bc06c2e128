package main

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cyclonus v0.5.6 departs from the Kubernetes API in a few places that its own
// cases never meet. normalise rewrites the input so that they are not met here
// either; README.md lists them, and the tests show each with Raw.

const (
	// notInPrefix starts the stand-in keys of NotIn. No real key may contain two slashes.
	notInPrefix = "judge/notin/"
	// absent stands for "this object has no such label"; no real label value contains a slash.
	absent = "judge/absent"
	// metadataName is put on every namespace by the API server.
	metadataName = "kubernetes.io/metadata.name"
)

func normalise(req *verdictRequest) {
	namespaces := make(map[string]map[string]string, len(req.Namespaces))
	for name, labels := range req.Namespaces {
		full := clone(labels)
		full[metadataName] = name
		namespaces[name] = full
	}
	req.Namespaces = namespaces
	keys := map[string]bool{}
	policies := make([]*networkingv1.NetworkPolicy, 0, len(req.Policies))
	for _, given := range req.Policies {
		policy := given.DeepCopy()
		defaultTypes(&policy.Spec)
		for _, selector := range selectors(&policy.Spec) {
			rewriteSelector(selector, keys)
		}
		policies = append(policies, policy)
	}
	req.Policies = policies
	for _, labels := range req.Namespaces {
		markAbsent(labels, keys)
	}
	pods := make([]pod, len(req.Pods))
	for i, p := range req.Pods {
		p.Labels = clone(p.Labels)
		markAbsent(p.Labels, keys)
		p.Ports = defaultProtocols(p.Ports)
		pods[i] = p
	}
	req.Pods = pods
}

// defaultTypes does what the API server does when policyTypes is left out:
// always Ingress, and Egress when there are egress rules. cyclonus panics.
func defaultTypes(spec *networkingv1.NetworkPolicySpec) {
	if len(spec.PolicyTypes) > 0 {
		return
	}
	spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(spec.Egress) > 0 {
		spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
}

func defaultProtocols(ports []port) []port {
	result := make([]port, len(ports))
	for i, p := range ports {
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		result[i] = p
	}
	return result
}

func selectors(spec *networkingv1.NetworkPolicySpec) []*metav1.LabelSelector {
	found := []*metav1.LabelSelector{&spec.PodSelector}
	ofPeers := func(peers []networkingv1.NetworkPolicyPeer) {
		for _, peer := range peers {
			for _, selector := range []*metav1.LabelSelector{peer.PodSelector, peer.NamespaceSelector} {
				if selector != nil {
					found = append(found, selector)
				}
			}
		}
	}
	for _, rule := range spec.Ingress {
		ofPeers(rule.From)
	}
	for _, rule := range spec.Egress {
		ofPeers(rule.To)
	}
	return found
}

// rewriteSelector mends two readings of a missing label. matchLabels with an
// empty value matches it in cyclonus (a Go map's zero value): an In expression
// does not. NotIn does not match it in cyclonus, though Kubernetes says that it
// does: the expression is moved to a stand-in key that every object has.
func rewriteSelector(selector *metav1.LabelSelector, keys map[string]bool) {
	for key, value := range selector.MatchLabels {
		if value == "" {
			delete(selector.MatchLabels, key)
			selector.MatchExpressions = append(selector.MatchExpressions,
				metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{""}})
		}
	}
	for i := range selector.MatchExpressions {
		expression := &selector.MatchExpressions[i]
		if expression.Operator == metav1.LabelSelectorOpNotIn {
			keys[expression.Key] = true
			expression.Key = notInPrefix + expression.Key
		}
	}
}

func markAbsent(labels map[string]string, keys map[string]bool) {
	for key := range keys {
		value, has := labels[key]
		if !has {
			value = absent
		}
		labels[notInPrefix+key] = value
	}
}

func clone(labels map[string]string) map[string]string {
	result := make(map[string]string, len(labels)+2)
	for key, value := range labels {
		result[key] = value
	}
	return result
}
